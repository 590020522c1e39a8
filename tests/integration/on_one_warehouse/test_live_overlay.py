"""The overlay on a real warehouse: at every moment, charts show the shop at the offsets applied."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from batch.live import trim
from batch.warehouse.checks import FailedCheckError
from consumers.live.overlay import Overlay
from lakehouse.contracts import ENTITIES
from lakehouse.errors import RetryLaterError
from lakehouse.offsets import TopicPartition
from monitoring import postgres
from monitoring.warehouse import read
from tests.live_shop import VERSIONED, LiveShop, readers
from tests.warehouse import LIMIT, MemorySilver, load_warehouse, new_warehouse, rebuild_warehouse

PATIENCE_SECONDS = 120
STEPS = 10
SALES = """
select to_jsonb(s) from mart.live_sales as s order by s.order_line_id"""
LOADED = """
select to_jsonb(s)
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
# Where the last movement was deleted since the warehouse was loaded, live still shows a row, with
# zero.
STOCK = """
select s.product_id, s.warehouse_code, s.on_hand_units from mart.live_stock as s
where s.on_hand_units <> 0 order by 1, 2"""
CURRENT = tuple(ENTITIES)


def know_partitions(warehouse):
    for table in CURRENT:
        warehouse.execute(
            "insert into live.watermark (entity, topic_id, epoch, partition, last_offset) "
            "values (%s, %s, 0, 0, -1)", table, table,
        )  # fmt: skip


def before_commit(overlay, happens):
    """Let something happen between what a batch writes and its commit."""
    write = overlay._commit

    def commit(connection, change_sets):
        with connection.transaction():
            positions = write(connection, change_sets)
            happens(connection)
        return positions

    overlay._commit = commit


class Story:
    """A shop, a warehouse that consolidations and live keep, and one that is always right."""

    def __init__(self, seed, warehouse, reference):
        self.random = random.Random(seed)
        self.shop = LiveShop(seed)
        self.warehouse, self.reference = warehouse, reference
        self.silver, self.right = MemorySilver(), MemorySilver()
        self.loaded = dict.fromkeys(CURRENT, 0)
        self.shown = dict.fromkeys(CURRENT, 0)
        self.overlay = Overlay(dsn=warehouse.live_dsn, readers=readers())
        self.live = dict.fromkeys(CURRENT, 0)
        know_partitions(warehouse)

    def batch(self):
        """Live polls a little of some topics, perhaps what it has had already."""
        change_sets = []
        for table in self.random.sample(CURRENT, self.random.randint(1, len(CURRENT))):
            start = max(0, self.live[table] - self.random.choice((0, 0, 0, 3)))
            stop = min(len(self.shop.topics[table]), self.live[table] + self.random.randint(0, 30))
            if start < stop:
                change_sets.append(self.shop.change_set(table, start, stop))
                self.live[table] = max(self.live[table], stop)
        return change_sets

    def poll(self):
        if change_sets := self.batch():
            assert self.overlay.apply(change_sets).gaps == {}

    def poll_and_die_before_the_commit(self):
        before = dict(self.live)
        if not (change_sets := self.batch()):
            return

        def die(_connection):
            raise psycopg.OperationalError

        before_commit(self.overlay, die)
        with pytest.raises(RetryLaterError):
            self.overlay.apply(change_sets)
        self.overlay = Overlay(dsn=self.warehouse.live_dsn, readers=readers())
        self.live = before

    def poll_and_lose_the_answer(self):
        """The commit happened, live does not know, and does it again."""
        if change_sets := self.batch():
            self.overlay.apply(change_sets)
            self.overlay.close()
            assert self.overlay.apply(change_sets).rows == 0

    def a_gap_is_refused(self):
        table = self.random.choice(CURRENT)
        start = self.live[table] + 1
        if start < len(self.shop.topics[table]):
            change_set = self.shop.change_set(table, start, start + 1)
            coordinate = TopicPartition(topic=table, topic_id=table, partition=0)
            assert self.overlay.apply([change_set]).gaps == {coordinate: self.live[table]}

    def consolidate(self):
        want = {
            table: self.random.randint(self.loaded[table], len(log))
            for table, log in self.shop.topics.items()
        }
        self.shop.bring(self.silver, self.loaded, want)
        load_warehouse(self.warehouse.dsn, self.silver)
        self.loaded = want

    def consolidate_in_vain(self):
        table = self.random.choice(CURRENT)
        want = {**self.loaded, table: len(self.shop.topics[table])}
        if want == self.loaded:
            return
        self.shop.bring(self.silver, self.loaded, want)
        self.silver.counts.add(seen=10, quarantined=10)
        with pytest.raises(FailedCheckError):
            load_warehouse(self.warehouse.dsn, self.silver)
        # Silver has it: once somebody has looked, it is brought.
        load_warehouse(self.warehouse.dsn, self.silver, limit=replace(LIMIT, max_share=1))
        self.loaded = want

    def redrive(self):
        """A rule was corrected: a row appears behind the watermarks of warehouse and live."""
        # A late version would move the ones after it, which live has seen without it.
        passed = [
            (table, offset)
            for table, offset in self.shop.quarantined
            if offset < self.loaded[table] and table not in VERSIONED
        ]
        if not passed:
            return
        table, offset = self.random.choice(passed)
        key = self.shop.correct(table, offset)
        self.shop.redrive(self.silver, table, key, self.loaded[table])
        self.shop.redrive(self.right, table, key, self.shown[table])
        load_warehouse(self.warehouse.dsn, self.silver)

    def rebuild(self):
        rebuild_warehouse(self.warehouse.dsn, self.silver)

    def trim(self):
        trim(self.warehouse.dsn)

    def restart_live(self):
        """It continues behind the warehouse where that is ahead."""
        self.overlay.close()
        for table in CURRENT:
            if self.loaded[table] > self.live[table]:
                self.live[table] = self.loaded[table]
                self.warehouse.execute(
                    "update live.watermark set last_offset = %s where entity = %s",
                    self.loaded[table] - 1, table,
                )  # fmt: skip
        self.warehouse.execute("select live.settle()")

    def check(self):
        want = {table: max(self.live[table], self.loaded[table]) for table in CURRENT}
        self.shop.bring(self.right, self.shown, want)
        load_warehouse(self.reference.dsn, self.right)
        self.shown = want
        assert self.warehouse.query(SALES) == self.reference.query(LOADED)
        assert self.warehouse.query(STOCK) == self.reference.query(STOCK)
        for table in CURRENT:
            rows = "select to_jsonb(t)::text from {} as t order by 1"
            assert self.warehouse.query(rows.format(f"resolved.{table}")) == self.reference.query(
                rows.format(f"entity.{table}")
            ), table


STEP_WEIGHTS = {
    "poll": 10, "poll_and_die_before_the_commit": 2, "poll_and_lose_the_answer": 2,
    "a_gap_is_refused": 1, "consolidate": 4, "consolidate_in_vain": 1, "rebuild": 1, "trim": 3,
    "restart_live": 2, "redrive": 3,
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


@pytest.mark.parametrize("is_ahead", [True, False], ids=["live ahead", "warehouse as far"])
def test_line_that_was_redriven_behind_both_is_shown_with_its_order(is_ahead, warehouse):
    """The order is live's, since it changes on; what live has computed of it lacked the line."""
    know_partitions(warehouse)
    shop, overlay = LiveShop(1), Overlay(dsn=warehouse.live_dsn, readers=readers())
    silver, loaded = MemorySilver(), {"orders": 1, "order_lines": 2}
    shop.append("orders", {"order_id": 1, "subtotal_cents": 300})
    shop.append("order_lines", {"order_line_id": 1, "order_id": 1})
    shop.append("order_lines", {"order_line_id": 2, "order_id": 1}, is_valid=False)
    shop.bring(silver, {}, loaded)
    load_warehouse(warehouse.dsn, silver)
    shop.append("orders", {"order_id": 1, "subtotal_cents": 200})
    overlay.apply([shop.change_set("orders", 0, 2), shop.change_set("order_lines", 0, 2)])
    overlay.close()
    lines = "select s.order_line_id from mart.live_sales as s order by 1"
    assert warehouse.query(lines) == [(1,)]
    shop.redrive(silver, "order_lines", shop.correct("order_lines", 1), 2)
    if not is_ahead:
        shop.bring(silver, loaded, {"orders": 2})
    load_warehouse(warehouse.dsn, silver)
    assert warehouse.query(lines) == [(1,), (2,)]
    kept = warehouse.query("select o.order_id from live.overlaid_orders as o")
    assert kept == ([(1,)] if is_ahead else [])


def test_hourly_run_leaves_it_to_the_trim_to_give_orders_back(warehouse):
    """Live waits for a load's end, so nothing that grows with the hourly run is done there."""
    know_partitions(warehouse)
    shop, overlay = LiveShop(1), Overlay(dsn=warehouse.live_dsn, readers=readers())
    silver, loaded = MemorySilver(), {"orders": 1, "order_lines": 1, "products": 1}
    shop.append("products", {"product_id": 1})
    shop.append("orders", {"order_id": 1})
    shop.append("order_lines", {"order_line_id": 1, "order_id": 1, "product_id": 1})
    shop.bring(silver, {}, loaded)
    load_warehouse(warehouse.dsn, silver)
    # The first version ends: its row changes, though the warehouse had passed it.
    shop.append("products", {"product_id": 1})
    shop.append("orders", {"order_id": 2})
    shop.append("order_lines", {"order_line_id": 2, "order_id": 2, "product_id": 1})
    overlay.apply([shop.change_set(table, 0, 2) for table in loaded])
    overlay.close()
    shop.bring(silver, loaded, dict.fromkeys(loaded, 2))
    load_warehouse(warehouse.dsn, silver)
    ended = warehouse.query("select count(valid_to_at) from entity.products_history")
    assert ended == [(1,)]
    assert (2,) in warehouse.query("select o.order_id from live.overlaid_orders as o")


def test_where_nothing_was_ever_seen_charts_are_not_live(warehouse):
    seen = "select seconds_behind, state from mart.live_freshness"
    assert warehouse.query(seen) == [(None, "stopped")]


about = partial(pytest.approx, abs=9)
"""Statements take their time on a busy machine."""
FRESH = "select state, seconds_behind, clock_ahead_seconds from mart.live_freshness"


class Heart:
    """Heartbeats that live applies, and time that passes: everything noted grows older."""

    def __init__(self, warehouse):
        self.warehouse = warehouse
        self.overlay = Overlay(dsn=warehouse.live_dsn, readers=readers())

    def heartbeat(self, *, ahead=0.0, held=0.0, times=1):
        for _ in range(times):
            (now,) = self.warehouse.query("select clock_timestamp()")[0]
            self.overlay.heartbeat(now + timedelta(seconds=ahead - held), held_seconds=held)

    def wait(self, seconds):
        self.warehouse.execute(
            "update live.heartbeat set sent_at = sent_at - make_interval(secs => %s), "
            "read_at = read_at - make_interval(secs => %s)", seconds, seconds,
        )  # fmt: skip

    def fresh(self):
        """State, age, and how far the shop's clock seems to be ahead."""
        return self.warehouse.query(FRESH)[0]


@pytest.fixture
def heart(warehouse):
    found = Heart(warehouse)
    yield found
    found.overlay.close()


def test_a_heartbeat_of_the_future_keeps_no_chart_live(heart):
    heart.heartbeat(ahead=3600)
    assert heart.fresh() == ("clock", about(0), about(3600))
    heart.wait(30)
    assert heart.fresh() == ("clock", about(30), about(3600))
    heart.wait(31)
    assert heart.fresh() == ("stopped", about(61), about(3600))


def test_a_heartbeat_of_the_future_is_forgotten_by_the_next(heart):
    heart.heartbeat(ahead=3600)
    heart.heartbeat()
    assert heart.fresh() == ("live", about(0), None)
    heart.wait(40)
    assert heart.fresh() == ("late", about(40), None)
    heart.wait(21)
    assert heart.fresh() == ("stopped", about(61), None)


def test_a_clock_a_little_ahead_hides_no_standstill(heart):
    heart.heartbeat(ahead=9)
    assert heart.fresh() == ("live", about(0), about(9))
    heart.wait(20)
    assert heart.fresh() == ("late", about(20), about(9))


def test_a_heartbeat_that_was_held_back_is_as_old_as_its_arrival(heart):
    """Live has caught up for 45 s since. An hour ahead, the instant would say nothing of that."""
    heart.heartbeat(ahead=3600, held=45)
    assert heart.fresh() == ("clock", about(45), about(3600))
    heart.heartbeat(held=45)
    assert heart.fresh() == ("late", about(45), None)


def test_a_clock_that_is_behind_is_told_from_changes_that_are_held_up(heart):
    heart.heartbeat(ahead=-3600)
    assert heart.fresh() == ("late", about(3600), None)
    heart.heartbeat(ahead=-3600, times=30)
    assert heart.fresh() == ("clock", about(3600), about(-3600))
    heart.heartbeat(ahead=3600)
    heart.heartbeat(ahead=-3600)
    assert heart.fresh() == ("clock", about(3600), about(-3600))
    heart.heartbeat()
    assert heart.fresh() == ("live", about(0), None)
    for behind in range(900, 0, -20):
        heart.heartbeat(ahead=-behind)
        assert heart.fresh()[0] in ("late", "live")


def test_a_warehouse_whose_clock_was_set_back_does_not_believe_what_is_ahead_of_it(heart):
    heart.heartbeat()
    heart.wait(-3600)
    assert heart.fresh() == ("stopped", None, None)
    heart.heartbeat()
    assert heart.fresh() == ("live", about(0), None)


def test_the_exporter_tells_of_clocks_and_of_how_far_charts_are_behind(warehouse, heart):
    heart.heartbeat(ahead=3600)
    told = {(one.name, *one.labels): one.value for one in read(warehouse.dsn)}
    assert told["pipeline_clock_ahead_seconds", "heartbeats"] == about(3600)
    assert told["pipeline_live_behind_seconds",] == about(0)
    heart.heartbeat()
    told = {(one.name, *one.labels): one.value for one in read(warehouse.dsn)}
    assert told["pipeline_clock_ahead_seconds", "heartbeats"] == 0
    # Of one machine, clocks are the same.
    told = {(one.name, *one.labels): one.value for one in postgres.read("warehouse", warehouse.dsn)}
    assert told["pipeline_clock_ahead_seconds", "warehouse"] == 0


def skew(lateness):
    """As etl.clock_skew says it."""
    if lateness[0] < -2:
        return -lateness[0]
    if len(lateness) < 30:
        return None
    newer, older = sorted(lateness[:15])[7], sorted(lateness[15:])[7]
    is_told = newer > 10 and lateness[0] > newer - 2 and abs(newer - older) < 2
    return -newer if is_told else None


def test_the_skew_of_a_clock_is_robust(warehouse):
    """Of lists of many kinds: noise, backlogs that shrink or grow, outliers on either side."""
    draw = random.Random(16)
    lists = []
    for _ in range(400):
        base, slope = draw.choice((0, 9, 11, 3600, -3600)), draw.choice((0, 0, 0.01, 1, -20))
        lists.append([
            base + slope * number + draw.random()
            + (draw.choice((-3600, 3600)) if draw.random() < 0.02 else 0)
            for number in range(draw.choice((1, 29, 30)))
        ])  # fmt: skip
    told = [warehouse.query("select etl.clock_skew(%s)", one)[0][0] for one in lists]
    assert told == [skew(one) for one in lists]
    assert {None} < set(told)
    # By less than a quarter of the heartbeats nothing is moved.
    steady = [3600 + draw.random() for _ in range(30)]
    for number in draw.sample(range(1, 30), 7):
        steady[number] = draw.choice((-9e9, 9e9))
    assert warehouse.query("select etl.clock_skew(%s)", steady)[0][0] == pytest.approx(-3600, abs=1)


def test_ages_of_what_clocks_ahead_have_dated_are_not_below_nothing(warehouse, heart):
    know_partitions(warehouse)
    heart.heartbeat(ahead=3600)
    warehouse.execute(
        "insert into etl.lake_table (layer, table_name, version, newest_at, measured_at) values "
        "('bronze', 'raw_sales', 1, now() + interval '1 hour', now()), "
        "('silver', 'cleaned_sales', 1, now(), now() + interval '1 hour')"
    )
    rows = warehouse.query("select age_seconds, measured_seconds_ago from mart.data_freshness")
    assert len(rows) > 2
    assert all(age is None or age >= 0 for row in rows for age in row)
    newest = "select max(newest_at) <= clock_timestamp() from mart.data_freshness"
    assert warehouse.query(newest) == [(True,)]


def test_a_change_of_the_future_is_not_the_newest_for_ever(warehouse):
    know_partitions(warehouse)
    shop, overlay = LiveShop(1), Overlay(dsn=warehouse.live_dsn, readers=readers())
    shop.append("orders", {"order_id": 1})
    shop.append("orders", {"order_id": 2})
    seen = "select last_change_at from mart.live_freshness"
    for number, ahead in enumerate((timedelta(hours=1), timedelta(hours=-1))):
        change_set = shop.change_set("orders", number, number + 1)
        (now,) = warehouse.query("select clock_timestamp()")[0]
        committed_us = int((now + ahead).timestamp() * 1_000_000)
        overlay.apply(
            [replace(change_set, rows=replace(change_set.rows, committed_us=committed_us))]
        )
        ((found,),) = warehouse.query(seen)
        assert now + min(ahead, timedelta()) <= found + timedelta(microseconds=1)
        assert found <= now + min(ahead, timedelta()) + timedelta(seconds=PATIENCE_SECONDS)
    overlay.close()


FILL = """
insert into live.{0} ({1}, _topic_id, _epoch, _partition, _offset, _is_deleted)
select n, {0!r}, 0, 1, n, false from generate_series(1000000, 1020000) as n"""
READ = """
select coalesce(sum(s.seq_tup_read), 0)
from pg_stat_xact_user_tables as s
where s.relname in ('orders', 'order_lines', 'sales') and s.schemaname in ('live', 'entity')"""


def test_a_batch_costs_by_its_orders_not_by_those_that_live_holds(warehouse):
    know_partitions(warehouse)
    for table, key in (("orders", "order_id"), ("order_lines", "order_line_id")):
        warehouse.execute(FILL.format(table, key))
        warehouse.execute(f"analyze live.{table}")
    shop, overlay = LiveShop(1), Overlay(dsn=warehouse.live_dsn, readers=readers())
    while not all(shop.topics[table] for table in CURRENT):
        shop.happen()
    read = []
    before_commit(overlay, lambda one: read.append(one.execute(READ).fetchone()[0]))
    overlay.apply([shop.change_set(table, 0, len(shop.topics[table])) for table in CURRENT])
    overlay.close()
    assert len(warehouse.query(SALES)) > 0
    assert read[0] < 1000


def test_what_the_warehouse_has_takes_no_room(warehouse):
    """Live was down, or full: a consolidation has overtaken it, and it comes up behind."""
    know_partitions(warehouse)
    shop, overlay = LiveShop(1), Overlay(dsn=warehouse.live_dsn, readers=readers())
    while not all(shop.topics[table] for table in CURRENT):
        shop.happen()
    silver, whole = MemorySilver(), {table: len(shop.topics[table]) for table in CURRENT}
    shop.bring(silver, dict.fromkeys(CURRENT, 0), whole)
    load_warehouse(warehouse.dsn, silver)
    outcome = overlay.apply([shop.change_set(table, 0, whole[table]) for table in CURRENT])
    overlay.close()
    assert len(outcome.landed) == len(CURRENT)
    kept = {
        table: warehouse.query(f"select count(*) from live.{table}")[0][0]
        for table in (*CURRENT, "products_history", "overlaid_orders", "sales")
    }
    assert set(kept.values()) == {0}, kept


class TwoConsumers:
    """Each owns some topics. The first is held before its commit until the second waits for it."""

    def __init__(self, warehouse, right, seed):
        self.shop = LiveShop(seed)
        self.warehouse, self.right = warehouse, right
        self.first, self.second, self.only = (
            Overlay(dsn=one.live_dsn, readers=readers()) for one in (warehouse, warehouse, right)
        )
        self.positions = dict.fromkeys(CURRENT, 0)
        for one in (warehouse, right):
            know_partitions(one)

    def change_sets(self, tables):
        topics = self.shop.topics
        found = [(t, self.positions[t], len(topics[t])) for t in tables]
        return [self.shop.change_set(*one) for one in found if one[1] < one[2]]

    def at_once(self, first, second):
        """Both apply something new; whether the second had to wait."""
        while not all(self.change_sets([table]) for table in CURRENT):
            self.shop.happen()
        others = self.change_sets([table for table in CURRENT if table not in first + second])
        one, two = self.change_sets(first), self.change_sets(second)
        self.positions = {table: len(log) for table, log in self.shop.topics.items()}
        self.only.apply(others + one + two)
        self.first.apply(others)
        written, goes_on = threading.Event(), threading.Event()
        write = self.first._commit

        def hold(_connection):
            written.set()
            assert goes_on.wait(PATIENCE_SECONDS)

        before_commit(self.first, hold)
        # It holds its locks until the second waits for them, however long that takes.
        idle = f"set idle_in_transaction_session_timeout = '{PATIENCE_SECONDS}s'"
        self.first.do(lambda connection: connection.execute(idle))
        self.second.do(lambda _: None)
        with ThreadPoolExecutor() as pool:
            ahead = pool.submit(self.first.apply, one)
            while not (written.wait(0.1) or ahead.done()):
                pass
            behind = pool.submit(self.second.apply, two)
            while not (behind.done() or self.is_waiting()):
                time.sleep(0.1)
            waited = not behind.done()
            goes_on.set()
            assert ahead.result().gaps == behind.result().gaps == {}
        self.first._commit = write
        return waited

    def is_waiting(self):
        # What another role's session waits for, pg_stat_activity tells to nobody but an admin.
        return self.warehouse.query("select exists (select from pg_locks where not granted)")[0][0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["orders"], ["order_lines"]),
        (["order_lines"], ["orders"]),
        (["order_lines"], ["payments"]),
        (["orders", "order_lines"], ["products"]),
        (["products"], ["orders", "order_lines"]),
    ],
    ids=lambda tables: "+".join(tables),
)
def test_two_consumers_that_hold_parts_of_an_order_are_as_one(first, second, warehouse_server):
    with new_warehouse(warehouse_server) as warehouse, new_warehouse(warehouse_server) as right:
        two = TwoConsumers(warehouse, right, seed=1)
        waited = 0
        for _ in range(4):
            waited += two.at_once(first, second)
            assert warehouse.query(SALES) == right.query(SALES)
        assert waited
        for overlay in (two.first, two.second, two.only):
            overlay.close()


@pytest.mark.parametrize("code", ["40P01", "40001"], ids=["deadlock", "serialisation"])
def test_what_the_warehouse_gave_up_for_another_is_tried_again(code, warehouse):
    overlay = Overlay(dsn=warehouse.live_dsn, readers=readers())
    with pytest.raises(RetryLaterError, match="retried"):
        overlay.do(lambda c: c.execute(f"do $$ begin raise sqlstate '{code}'; end $$"))
    assert overlay.do(lambda c: c.execute("select 1").fetchone()) == (1,)
    overlay.close()


class Frozen:
    """A consumer that stands still where `here` is called, until the others have gone on."""

    def __init__(self, warehouse):
        self.warehouse = warehouse
        self.froze, self.wakes = threading.Event(), threading.Event()

    def here(self):
        self.froze.set()
        assert self.wakes.wait(3 * PATIENCE_SECONDS)

    def apply(self, overlay, change_sets):
        """What comes of it when it has woken up."""
        with ThreadPoolExecutor() as pool:
            frozen = pool.submit(overlay.apply, change_sets)
            try:
                assert self.froze.wait(PATIENCE_SECONDS)
                # Whoever loads, trims or takes over.
                limit = f"set statement_timeout = '{PATIENCE_SECONDS}s'"
                self.warehouse.execute(f"{limit}; select live.settle()")
            finally:
                self.wakes.set()
            return frozen.result()


@pytest.fixture
def two(warehouse_server):
    """Two consumers of one warehouse, and one of another; their first changes are there."""
    with new_warehouse(warehouse_server) as warehouse, new_warehouse(warehouse_server) as right:
        found = TwoConsumers(warehouse, right, seed=2)
        found.shop.happen()
        yield found
        for overlay in (found.first, found.second, found.only):
            overlay.close()


def assert_applied_once(two, change_sets):
    assert two.second.apply(change_sets).rows == 0
    two.only.apply(change_sets)
    assert two.warehouse.query(SALES) == two.right.query(SALES)


def test_a_consumer_that_froze_before_its_commit_holds_nobody_up(two):
    """Its locks are taken from it; when it wakes up, it tries again."""
    frozen, write, change_sets = Frozen(two.warehouse), two.first._commit, two.change_sets(CURRENT)

    before_commit(two.first, lambda _: frozen.here())
    with pytest.raises(RetryLaterError, match="idle-in-transaction"):
        frozen.apply(two.first, change_sets)
    two.first._commit = write
    assert two.first.apply(change_sets).rows
    assert_applied_once(two, change_sets)
