"""Rows at the edges of their types on the way through all stores, on real ones.

What one of the stores cannot hold is in quarantine by a rule, and holds up nothing beside it.
"""

import random
import re
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from batch.gold.run import consolidate_gold, rebuild_gold
from batch.silver.run import consolidate_silver
from batch.warehouse.source import silver_sources
from batch.warehouse.validated import QuarantineLimit
from batch.warehouse.views import refresh_views
from consumers.buffer import Batch
from consumers.live.overlay import ChangeSet, Overlay
from consumers.live.service import change_readers
from lakehouse.contracts import ENTITIES, Cleaning, Derivation, Type
from lakehouse.contracts.gold import GOLD_TABLES, MONTH
from lakehouse.delta import scan
from lakehouse.lake import Lake
from lakehouse.offsets import OffsetRange, TopicPartition
from lakehouse.settings import ShopSettings
from tests.edges import edges, plain
from tests.unit.bronze_maker import RULES, Source
from tests.warehouse import load_warehouse

pytestmark = pytest.mark.integration
NORMAL = (11, 12, 13)
ANY_SHARE = QuarantineLimit(max_share=1, min_changes=10**9)
FACTS = {"order_lines": "fact_transactions", "payments": "fact_payments",
         "interactions": "fact_user_interactions"}  # fmt: skip


@pytest.fixture
def lake(warehouse_server):
    """A lake of its own in a real object store."""
    warehouse_server.up("minio")
    all_lakes = Lake.of(warehouse_server.minio, warehouse_server.secrets, user="admin")
    name = uuid.uuid4().hex
    layers = {layer: all_lakes.uri(layer, name) for layer in ("bronze", "silver", "gold")}
    return replace(all_lakes, **layers)


MADE_UP = """
select 'products', d.product_key, d.name from mart.dim_products as d where d.product_key < 0
union all
select 'customers', d.customer_key, d.city from mart.dim_customers as d where d.customer_key < 0
union all
select 'suppliers', d.supplier_key, d.name from mart.dim_suppliers as d where d.supplier_key < 0
union all
select 'dates', -1, d.month_name from mart.dim_dates as d where d.month_name = 'unknown'
order by 1, 2"""
UNKNOWN_DAY = """
select count(*) from mart.{} as f where f.date_key = '0001-01-01'"""


class Shop:
    """Bronze, what follows from it by the hourly run, and what live makes of it."""

    def __init__(self, lake, warehouse):
        self.lake, self.warehouse = lake, warehouse
        readers = change_readers(ShopSettings(time_zone=RULES.time_zone))
        self.overlay = Overlay(dsn=warehouse.live_dsn, readers=readers)
        self.sources = {
            table: Source(lake=lake, table=table, row=plain(table), partitions=1, topic_id=table)
            for table in ENTITIES
        }
        for table in ENTITIES:
            warehouse.execute(
                "insert into live.watermark (entity, topic_id, epoch, partition, last_offset) "
                "values (%s, %s, 0, 0, -1)", table, table,
            )  # fmt: skip
        self.seen = dict.fromkeys(ENTITIES, 0)

    def live(self, table):
        """What waits, as the live consumer takes it."""
        source = self.sources[table]
        records = source.landing()
        rows = self.overlay.readers[table].read(records)
        offsets = OffsetRange(start=self.seen[table], stop=source.next_offset[0])
        self.seen[table] = offsets.stop
        coordinate = TopicPartition(topic=table, topic_id=table, partition=0)
        batch = Batch(rows=records, ranges={coordinate: offsets})
        self.overlay.apply([ChangeSet(entity=table, epoch=0, batch=batch, rows=rows)])

    def hour(self):
        for source in self.sources.values():
            source.land()
        consolidate_silver(self.lake, RULES, list(ENTITIES.values()))
        consolidate_gold(self.lake, retention_hours=1)
        silver = silver_sources(self.lake)
        load_warehouse(self.warehouse.dsn, silver, limit=ANY_SHARE)
        refresh_views(self.warehouse.dsn)

    def silver(self, table):
        rows = scan(self.lake.open("silver", table)).filter(pl.col("_deleted_at").is_null())
        return rows.collect()

    def stored(self, schema, table):
        """Its rows by key, in Postgres' own words: Python knows no year 0."""
        key = ENTITIES[table].key
        return dict(self.warehouse.query(f"select {key}, to_jsonb(t) from {schema}.{table} as t"))


@pytest.fixture
def shop(lake, warehouse):
    found = Shop(lake, warehouse)
    yield found
    found.overlay.close()


HELD = {
    Type.INTEGER: int,
    Type.CENTS: lambda text: int(Decimal(text).scaleb(2)),
    Type.RATE: lambda text: int(Decimal(text).scaleb(8)),
    Type.DEGREES: float,
    Type.BOOLEAN: lambda text: text == "True",
    Type.DATE: lambda text: date(1970, 1, 1) + timedelta(days=int(text)),
    Type.TIMESTAMP: lambda text: datetime.fromisoformat(text).astimezone(UTC),
}
"""What silver has of a value that Debezium wrote, said without any of its code."""


def is_spelled(text, column):
    """Whether a text is in silver as it was given."""
    plain_text = re.fullmatch(r"[a-z0-9é]+", text) and column.cleaning is Cleaning.SPACES
    return plain_text and len(text.encode()) <= (column.most_bytes or len(text.encode()))


def test_row_at_an_edge_is_in_all_stores_or_in_quarantine_and_holds_up_no_other(request, shop):
    """Every value of `tests.edges` in every column of every contract, and some of them together."""
    seed = request.config.getoption("--seed") or random.randrange(10**6)
    given = {table: list(edges(table, seed, more=20)) for table in ENTITIES}
    first, second, third = NORMAL
    for source in shop.sources.values():
        source.change(first, "c")
    shop.hour()
    for table, source in shop.sources.items():
        source.change(second, "c")
        for edge in given[table]:
            if edge.written is None:
                source.change(edge.key, "c", **edge.values)
            else:
                source.record(edge.key, edge.written)
        source.change(third, "c")
        shop.live(table)
    shown = {table: shop.stored("resolved", table) for table in ENTITIES}
    shop.hour()
    try:
        for table in ENTITIES:
            check(shop, table, given[table], shown[table])
        assert shop.warehouse.query(MADE_UP) == [
            ("customers", -2, "none"), ("customers", -1, "unknown"), ("dates", -1, "unknown"),
            ("products", -2, "none"), ("products", -1, "unknown"), ("suppliers", -1, "unknown"),
        ]  # fmt: skip
        whole = Lake(bronze=shop.lake.bronze, silver=shop.lake.silver,
                     gold=f"{shop.lake.gold}-whole", options=shop.lake.options)  # fmt: skip
        rebuild_gold(whole, retention_hours=1)
        for name, table in GOLD_TABLES.items():
            both = [scan(one.open("gold", name)).collect() for one in (shop.lake, whole)]
            rows, fresh = (one.sort(table.key).to_dicts() for one in both)
            assert rows == fresh, name
    except AssertionError as error:
        error.add_note(f"--seed {seed}")
        raise


def test_sums_of_rows_at_their_edges_fit_all_stores(shop):
    """Lines that together exceed 64 bits as weights, refunds that would as money."""
    most, dear = "9999999999.99", "1000000.00000000"
    price = {"quantity": 1, "unit_price_amount": most, "line_total_amount": most}
    refund = {"kind": "refund", "status": "captured", "order_id": 1}
    shop.sources["orders"].change(1, "c", exchange_rate=dear, base_total_amount="2000000.00")
    for number in range(1, 101):
        shop.sources["order_lines"].change(number, "c", order_id=1, line_number=number, **price)
    for number in range(1, 21):
        shop.sources["payments"].change(number, "c", amount=most, **refund)
    shop.sources["payments"].change(21, "c", amount="1.00", **refund)
    for table in ("orders", "order_lines", "payments"):
        shop.live(table)
    shop.hour()
    expected = [(200_000_000, 100_000_000)]
    summed = "select sum(total_cents), sum(refund_cents) from {}"
    for name in ("fact_transactions", "daily_sales", "daily_geography", "customer_months"):
        assert shop.warehouse.query(summed.format(f"mart.{name}")) == expected, name
    gold = scan(shop.lake.open("gold", "sales_kpi")).collect()
    assert gold.select("total_cents", "refund_cents").sum().rows() == expected
    worth = "select count(*), count(base_amount_cents), sum(base_amount_cents)"
    assert shop.warehouse.query(f"{worth} from mart.fact_payments") == [(21, 1, 100_000_000)]


def check(shop, table, given, shown):
    entity = ENTITIES[table]
    silver = {row[entity.key]: row for row in shop.silver(entity.silver).to_dicts()}
    stored = shop.stored("entity", table)
    assert stored.keys() == silver.keys()
    assert set(NORMAL) <= stored.keys()
    # Live began behind the first hour, and says the same of all rows since.
    assert stored == shown | {key: stored[key] for key in NORMAL[:1]}
    if entity.history:
        assert set(shop.silver(entity.history)[entity.key]) == silver.keys()
    check_facts(shop, table, stored)
    quarantine = scan(shop.lake.open("silver", "quarantine")).filter(pl.col("entity") == table)
    rules = dict(quarantine.select("_offset", "rule").collect().iter_rows())
    # The first hour took offset 0, and another normal row goes before the edges.
    for offset, edge in enumerate(given, 2):
        if edge.key in silver:
            check_values(entity, edge, silver[edge.key], stored[edge.key])
        else:
            assert rules[offset], edge


def check_facts(shop, table, stored):
    if table not in FACTS:
        return
    key, fact = ENTITIES[table].key, FACTS[table]
    keys = {key for (key,) in shop.warehouse.query(f"select {key} from mart.{fact}")}
    assert keys == stored.keys()
    if table != "order_lines":
        assert shop.warehouse.query(UNKNOWN_DAY.format(fact)) == [(0,)]


def check_values(entity, edge, silver, stored):
    for column in entity.columns:
        value = edge.values.get(column.source)
        if value is None:
            continue
        if column.type is not Type.TEXT:
            assert silver[column.name] == HELD[column.type](str(value)), (column, value)
        elif is_spelled(value, column):
            assert (silver[column.name], stored[column.name]) == (value, value)


INDEXED = """
select
    t.relnamespace::regnamespace::text || '.' || t.relname,
    c.relname,
    array_agg(case when a.atttypid = 'text'::regtype then b.attname end order by a.attnum)
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
inner join pg_class as t on i.indrelid = t.oid
inner join pg_attribute as a on i.indexrelid = a.attrelid
left join pg_attribute as b on i.indrelid = b.attrelid and i.indkey[a.attnum - 1] = b.attnum
where
    t.relnamespace in (
        'entity'::regnamespace, 'live'::regnamespace, 'mart'::regnamespace, 'etl'::regnamespace
    )
group by 1, 2"""
INDEX_ROW_BYTES = 2704
"""More does not fit into a row of an index (btree, on pages of 8 kB)."""
OTHER_BYTES = 24
"""What the row's head, or a value that is no text, takes of it at most."""
OURS = {
    # Names in Postgres, some with a few letters of ours before them.
    "entity": 63, "table_name": 80, "silver_table": 80, "view_name": 63,
    # Kafka's ids of topics.
    "topic_id": 22,
    # Words and paths of files in our own code.
    "check_name": 63, "column_name": 63, "kind": 20, "layer": 10, "method": 24, "model": 20,
    "name": 255, "period": 10,
    "rule": 100,
    "segment": 20, "source": 20, "table_id": 36,
    # Shortened to 100 characters before it is kept.
    "coupon": 400, "site": 400, "value": 400,
}  # fmt: skip
"""Longest texts, in bytes, of indexed columns that hold no text of the shop."""


def longest(table, name):
    """Bytes of the longest text in a column; None if nothing limits it.

    A column of the warehouse has what contracts let into columns of its name.
    """
    fields = [one for entity in ENTITIES.values() for one in entity.fields if one.name == name]
    if table.startswith("etl.") or not fields:
        return OURS.get(name)
    lengths = {_longest(field) for field in fields}
    return None if None in lengths else max(lengths)


def _longest(field):
    if getattr(field, "allowed_values", ()):
        return max(len(choice.encode()) for choice in field.allowed_values)
    if getattr(field, "cleaning", None) is Cleaning.COUNTRY:
        return len("unknown")
    return getattr(field, "most_bytes", None)


def test_every_text_in_an_index_has_a_length_that_fits(warehouse):
    indexes = warehouse.query(INDEXED)
    assert len(indexes) > 50
    unbounded, too_large = set(), {}
    for table, index, names in indexes:
        lengths = {name: longest(table, name) for name in names if name}
        unbounded |= {f"{table}.{name}" for name, length in lengths.items() if length is None}
        size = sum(OTHER_BYTES + (lengths.get(name) or 0) for name in [*names, "head"])
        if size > INDEX_ROW_BYTES:
            too_large[index] = size
    assert (unbounded, too_large) == (set(), {})


def test_every_text_that_splits_a_table_of_the_lake_has_a_length():
    """A month, or a name of ours: an object's path has 1,024 bytes at most."""
    split = {entity.partition for entity in ENTITIES.values() if entity.partition}
    split |= {table.partition for table in GOLD_TABLES.values() if table.partition}
    derived = {d.name for e in ENTITIES.values() for d in e.derived if d.how is Derivation.MONTH}
    assert split <= derived | {MONTH}
