"""A shop whose keys are uuids, through silver, gold, warehouse and live."""

import psycopg

from batch.live import trim
from batch.pipeline_run import PipelineRun, consolidate
from batch.reconcile.gold import compare_gold
from batch.reconcile.history import Examples
from batch.reconcile.warehouse import compare_warehouse
from batch.warehouse.migrate import migrate, pending
from batch.warehouse.shop import describe_shop
from consumers.buffer import Batch
from consumers.live.changes import ChangeReader
from consumers.live.overlay import ChangeSet, Overlay
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.keys import key_types
from lakehouse.offsets import OffsetRange, TopicPartition
from lakehouse.settings import ShopSettings
from tests.unit.bronze_maker import RULES, new_lake, source_of
from tests.warehouse import LIMIT

KEYS = key_types(ENTITIES.values())
SALES = "select to_jsonb(s) - 'product_key' from mart.live_sales as s order by s.order_line_id"
INTEGERS = """
select a.attrelid::regclass::text || '.' || a.attname
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid
where
    c.relnamespace::regnamespace::text in ('entity', 'live', 'resolved', 'mart', 'etl')
    and a.attname = any(%s)
    and a.atttypid <> 'text'::regtype"""


def name(number):
    """A uuid; the order of the numbers is not that of the texts."""
    return (
        None
        if number is None
        else f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}"
    )


class Shop:
    def __init__(self, folder, dsn, live_dsn):
        self.lake, self.dsn = new_lake(folder), dsn
        self.tables = {table: source_of(self.lake, table, partitions=1) for table in ENTITIES}
        self.readers = {
            table: ChangeReader(validator=RULES.validator(entity))
            for table, entity in ENTITIES.items()
        }
        self.overlay = Overlay(dsn=live_dsn, readers=self.readers)

    def change(self, table, number, op="c", **values):
        source = self.tables[table]
        given = {**source.row, **values}
        keys = {column: name(given[column]) for column in given if column in KEYS}
        if op == "u":
            keys = {column: key for column, key in keys.items() if column in values}
        source.change(name(number), op, **(values | keys if op != "d" else {}))

    def read_live(self):
        """What the live consumer does with everything that has not landed."""
        for table, source in self.tables.items():
            if not source.waiting:
                continue
            rows = source.landing()
            start = source.waiting[0]["_offset"]
            at = TopicPartition(topic=table, topic_id=table, partition=0)
            batch = Batch(rows=rows, ranges={at: OffsetRange(start=start, stop=start + len(rows))})
            read = self.readers[table].read(rows)
            assert not read.quarantined
            self.overlay.apply([ChangeSet(entity=table, epoch=0, batch=batch, rows=read)])

    def consolidate(self):
        for source in self.tables.values():
            source.land()
        consolidate(PipelineRun(lake=self.lake, rules=RULES, limit=LIMIT, warehouse=self.dsn))
        reports = [
            *compare_warehouse(self.lake, self.dsn, Examples(limit=3)),
            *compare_gold(self.lake, self.dsn, Examples(limit=3)),
        ]
        assert [(one.table, one.findings, one.note) for one in reports
                if not one.findings.is_exact or one.note] == []  # fmt: skip

    def query(self, statement, *values):
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement, values or None).fetchall()


def run(folder, dsn, live_dsn):
    migrate(dsn)
    describe_shop(dsn, ShopSettings(time_zone="Europe/Paris"))
    shop = Shop(folder, dsn, live_dsn)
    assert shop.query(INTEGERS, [*KEYS, "supplier_key", "similar_product_id"]) == []
    with psycopg.connect(dsn) as connection:
        assert pending(connection) == []
    for table in ENTITIES:
        if table not in ("orders", "order_lines", "payments", "products"):
            shop.change(table, 1)
    for number in (1, 2, 3):
        shop.change("products", number, supplier_id=1 + number % 2)
        shop.change(
            "orders",
            number,
            subtotal_amount="0.03",
            discount_amount="0.01",
            shipping_amount="0.02",
            total_amount="0.04",
            base_total_amount="0.04",
        )
        # A tie for each cent: the first key gets it, in bytes.
        for line in (1, 2, 3):
            shop.change(
                "order_lines",
                10 * number + line,
                order_id=number,
                product_id=line,
                line_number=line,
                quantity=1,
                unit_price_amount="0.01",
                line_total_amount="0.01",
            )
        shop.change("payments", number, order_id=number, kind="refund", amount="0.01")
    shop.change("order_lines", 99, order_id=77, product_id=88)
    shop.consolidate()
    for table in ENTITIES:
        shop.query(
            "insert into live.topic (entity, topic_id, epoch, partition_count) "
            "values (%s, %s, 0, 1) on conflict do nothing returning 1",
            table,
            table,
        )
        shop.query(
            "insert into live.watermark (entity, topic_id, epoch, partition, last_offset) "
            "values (%s, %s, 0, 0, %s) returning 1",
            table,
            table,
            shop.tables[table].next_offset.get(0, 0) - 1,
        )
    shop.change("orders", 77)
    shop.change("products", 88, supplier_id=5)
    shop.change("products", 1, "u", price_amount="10.99")
    shop.change("orders", 2, "u", status="cancelled", cancelled_at="2026-03-01T12:00:00.000000Z")
    shop.change("order_lines", 31, "d")
    shop.change("suppliers", 1, "d")
    shop.change("stock_movements", 2, product_id=2)
    shop.read_live()
    live = shop.query(SALES)
    assert len(live) == 9
    shop.query(
        "select customer_id, product_id from mart.live_stock as s cross join entity.customers"
    )
    shop.consolidate()
    trim(dsn)
    assert shop.query("select count(*) from live.overlaid_orders") == [(0,)]
    assert shop.query(SALES) == live
    assert shop.query("select distinct supplier_key from mart.dim_products") == [("-1",)]
