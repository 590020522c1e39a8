"""The overlay on a real warehouse: at every moment, charts show the shop at the offsets applied."""

import random
from dataclasses import replace

import psycopg
import pytest

from batch.live import trim
from batch.warehouse.checks import FailedCheckError
from consumers.live.overlay import Overlay
from lakehouse.coordinates import TopicPartition
from lakehouse.errors import RetryLaterError
from tests.live_shop import LiveShop, readers
from tests.warehouse import LIMIT, MemorySilver, load_warehouse, new_warehouse, rebuild_warehouse

STEPS = 10
SALES = """
select to_jsonb(s) - 'brand' from mart.live_sales as s order by s.order_line_id"""
STAR = """
select to_jsonb(s) - 'brand'
from (
    select
        f.order_line_id, f.order_id, f.line_number, f.placed_at, f.date_key, f.counts, f.status,
        f.channel, f.currency, f.ship_country, f.ship_region, f.ship_region_code, f.ship_city,
        f.customer_id, f.product_id, p.name as product_name, p.category, p.brand, f.warehouse_code,
        f.units, f.gross_revenue_cents, f.discount_cents, f.net_revenue_cents, f.shipping_cents,
        f.tax_cents, f.total_cents, f.refund_cents, f.cost_cents, f.margin_cents
    from mart.fact_transactions as f
    inner join mart.dim_products as p on f.product_key = p.product_key
) as s
order by s.order_line_id"""
# Where the last movement was deleted since the star was loaded, live still shows a row, with zero.
STOCK = """
select s.product_id, s.warehouse_code, s.on_hand_units from mart.live_stock as s
where s.on_hand_units <> 0 order by 1, 2"""
CURRENT = ("suppliers", "products", "customers", "orders", "order_lines", "payments",
           "stock_movements", "interactions")  # fmt: skip


class Story:
    """A shop, a warehouse that consolidations and live keep, and one that is always right."""

    def __init__(self, seed, warehouse, reference):
        self.random = random.Random(seed)
        self.shop = LiveShop(seed)
        self.warehouse, self.reference = warehouse, reference
        self.silver, self.right = MemorySilver(), MemorySilver()
        self.star = dict.fromkeys(CURRENT, 0)
        self.shown = dict.fromkeys(CURRENT, 0)
        self.overlay = Overlay(dsn=warehouse.live_dsn, readers=readers())
        self.live = dict.fromkeys(CURRENT, 0)
        self._know_partitions()

    def _know_partitions(self):
        for table in CURRENT:
            self.warehouse.execute(
                "insert into live.watermark (entity, topic_id, epoch, partition, last_offset) "
                "values (%s, %s, 0, 0, -1)", table, table,
            )  # fmt: skip

    def batch(self):
        """Live polls a little of some topics, perhaps what it has had already."""
        parts = []
        for table in self.random.sample(CURRENT, self.random.randint(1, len(CURRENT))):
            start = max(0, self.live[table] - self.random.choice((0, 0, 0, 3)))
            stop = min(len(self.shop.topics[table]), self.live[table] + self.random.randint(0, 30))
            if start < stop:
                parts.append(self.shop.part(table, start, stop))
                self.live[table] = max(self.live[table], stop)
        return parts

    def poll(self):
        if parts := self.batch():
            assert self.overlay.take_in(parts).gaps == {}

    def poll_and_die_before_the_commit(self):
        before = dict(self.live)
        if not (parts := self.batch()):
            return
        write = self.overlay._commit

        def commit(connection, parts):
            write(connection, parts)
            raise psycopg.OperationalError

        self.overlay._commit = commit
        with pytest.raises(RetryLaterError):
            self.overlay.take_in(parts)
        self.overlay = Overlay(dsn=self.warehouse.live_dsn, readers=readers())
        self.live = before

    def poll_and_lose_the_answer(self):
        """The commit happened, live does not know, and does it again."""
        if parts := self.batch():
            self.overlay.take_in(parts)
            self.overlay.close()
            assert self.overlay.take_in(parts).rows == 0

    def a_gap_is_refused(self):
        table = self.random.choice(CURRENT)
        start = self.live[table] + 1
        if start < len(self.shop.topics[table]):
            part = self.shop.part(table, start, start + 1)
            place = TopicPartition(topic=table, topic_id=table, partition=0)
            assert self.overlay.take_in([part]).gaps == {place: self.live[table]}

    def consolidate(self):
        want = {
            table: self.random.randint(self.star[table], len(log))
            for table, log in self.shop.topics.items()
        }
        self.shop.bring(self.silver, self.star, want)
        load_warehouse(self.warehouse.dsn, self.silver)
        self.star = want

    def consolidate_in_vain(self):
        table = self.random.choice(CURRENT)
        want = {**self.star, table: len(self.shop.topics[table])}
        if want == self.star:
            return
        self.shop.bring(self.silver, self.star, want)
        self.silver.counts.add(seen=10, quarantined=10)
        with pytest.raises(FailedCheckError):
            load_warehouse(self.warehouse.dsn, self.silver)
        # Silver has it: once somebody has looked, it is brought.
        load_warehouse(self.warehouse.dsn, self.silver, limit=replace(LIMIT, max_share=1))
        self.star = want

    def rebuild(self):
        rebuild_warehouse(self.warehouse.dsn, self.silver)

    def trim(self):
        trim(self.warehouse.dsn)

    def restart_live(self):
        """It goes on behind the star where that is ahead."""
        self.overlay.close()
        for table in CURRENT:
            if self.star[table] > self.live[table]:
                self.live[table] = self.star[table]
                self.warehouse.execute(
                    "update live.watermark set last_offset = %s where entity = %s",
                    self.star[table] - 1, table,
                )  # fmt: skip
        self.warehouse.execute("select live.settle()")

    def check(self):
        want = {table: max(self.live[table], self.star[table]) for table in CURRENT}
        self.shop.bring(self.right, self.shown, want)
        load_warehouse(self.reference.dsn, self.right)
        self.shown = want
        assert self.warehouse.query(SALES) == self.reference.query(STAR)
        assert self.warehouse.query(STOCK) == self.reference.query(STOCK)
        for table in CURRENT:
            rows = "select to_jsonb(t)::text from {} as t order by 1"
            assert self.warehouse.query(rows.format(f"resolved.{table}")) == self.reference.query(
                rows.format(f"entity.{table}")
            ), table


STEP_WEIGHTS = {
    "poll": 10, "poll_and_die_before_the_commit": 2, "poll_and_lose_the_answer": 2,
    "a_gap_is_refused": 1, "consolidate": 4, "consolidate_in_vain": 1, "rebuild": 1, "trim": 3,
    "restart_live": 2,
}  # fmt: skip


def test_charts_show_the_shop_at_the_offsets_applied(request, warehouse_server):
    """At random: changes, batches, loads, trims, crashes, a consumer that lags or is down."""
    rounds = request.config.getoption("--rounds")
    first = request.config.getoption("--seed") or random.randrange(10**6)
    for seed in range(first, first + rounds):
        with new_warehouse(warehouse_server) as warehouse, new_warehouse(warehouse_server) as right:
            story = Story(seed, warehouse, right)
            told = []
            for _ in range(STEPS):
                story.shop.happen()
                step = story.random.choices(list(STEP_WEIGHTS), STEP_WEIGHTS.values())[0]
                told.append(step)
                getattr(story, step)()
                try:
                    story.check()
                except AssertionError as error:
                    error.add_note(f"--seed {seed}, after {told}")
                    raise
            story.overlay.close()
