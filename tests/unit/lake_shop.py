"""A small lake in a folder: a bronze, a silver and a gold table that know of each other."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse.delta import NO_HOOKS, open_or_create, table_properties, with_watermarks
from lakehouse.lake import BRONZE_SCHEMA, EPOCHS_PROPERTY, Lake
from lakehouse.offsets import bronze_app_id, kafka_app_id

TOPIC = "AAAA/topic+"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
SILVER_SCHEMA = pa.schema(
    [
        ("order_id", pa.int64()),
        ("total_cents", pa.int64()),
        ("placed_month", pa.string()),
        ("_epoch", pa.int32()),
        ("_offset", pa.int64()),
        ("_committed_at", TIMESTAMP),
        ("_deleted_at", TIMESTAMP),
    ]
)
GOLD_SCHEMA = pa.schema([("day", pa.date32()), ("orders", pa.int64()), ("share", pa.float64())])


def lake_in(folder):
    for layer in ("bronze", "silver", "gold"):
        (folder / layer).mkdir()
    return Lake(
        bronze=str(folder / "bronze"),
        silver=str(folder / "silver"),
        gold=str(folder / "gold"),
        options={},
    )


def land(lake, first, last, *, partition=0):
    """Offsets `first` to `last`, each a second later, into bronze."""
    epochs = f'[{{"epoch": 0, "topic_id": "{TOPIC}", "partition_count": 2}}]'
    table = open_or_create(
        lake.uri("bronze", "raw_sales"),
        lake.options,
        BRONZE_SCHEMA,
        partition_by=["_date"],
        properties={
            "delta.dataSkippingStatsColumns": "_partition,_offset,_timestamp",
            EPOCHS_PROPERTY: epochs,
            **table_properties(retention_hours=1, has_change_feed=False),
        },
    )
    records = [
        {
            "key": b'{"order_id": %d}' % n,
            "value": b"\xff\x00" if n == 0 else f'{{"n": "é{n}"}}'.encode(),
            "_topic_id": TOPIC,
            "_epoch": 0,
            "_partition": partition,
            "_offset": n,
            "_timestamp": NOON + timedelta(seconds=n),
            "_headers": [{"key": "h", "value": b"v"}],
            "_date": NOON.date(),
        }
        for n in range(first, last + 1)
    ]
    write_deltalake(
        table,
        pa.Table.from_pylist(records, schema=BRONZE_SCHEMA),
        mode="append",
        commit_properties=with_watermarks({kafka_app_id(TOPIC, partition): last}),
        post_commithook_properties=NO_HOOKS,
    )
    return table


def silver_rows(ids, *, cents=100, deleted=()):
    return pa.table(
        {
            "order_id": list(ids),
            "total_cents": [None if n in deleted else cents for n in ids],
            "placed_month": [f"2026-{1 + n % 3:02}" for n in ids],
            "_epoch": [0 for _ in ids],
            "_offset": list(ids),
            "_committed_at": [NOON + timedelta(seconds=n) for n in ids],
            "_deleted_at": [NOON if n in deleted else None for n in ids],
        },
        schema=SILVER_SCHEMA,
    )


def silver(lake, name="cleaned_sales"):
    return open_or_create(
        lake.uri("silver", name),
        lake.options,
        SILVER_SCHEMA,
        partition_by=["placed_month"],
        properties=table_properties(retention_hours=1, has_change_feed=True),
    )


def add(lake, rows, *, read_to):
    """Append to silver."""
    table = silver(lake)
    write_deltalake(
        table,
        rows,
        mode="append",
        commit_properties=with_watermarks({bronze_app_id(TOPIC, 0, 0): read_to}),
        post_commithook_properties=NO_HOOKS,
    )
    return table


def merge(lake, rows, *, read_to):
    """Upsert into silver."""
    table = silver(lake)
    merging = table.merge(
        rows,
        "t.order_id = s.order_id",
        source_alias="s",
        target_alias="t",
        commit_properties=with_watermarks({bronze_app_id(TOPIC, 0, 0): read_to}),
        post_commithook_properties=NO_HOOKS,
    )
    merging.when_matched_update_all().when_not_matched_insert_all().execute()
    return table


def make_gold(lake, version, name="sales_kpi"):
    """A gold table made from silver at `version`."""
    table = open_or_create(
        lake.uri("gold", name),
        lake.options,
        GOLD_SCHEMA,
        properties=table_properties(retention_hours=1, has_change_feed=False),
    )
    source = f"silver/cleaned_sales/{silver(lake).metadata().id}"
    rows = pa.table({"day": [NOON.date()], "orders": [3], "share": [0.1]}, schema=GOLD_SCHEMA)
    write_deltalake(
        table,
        rows,
        mode="append",
        commit_properties=with_watermarks({source: version}),
        post_commithook_properties=NO_HOOKS,
    )
    return table


def opened(lake, layer, name, version=None):
    return DeltaTable(lake.uri(layer, name), version=version, storage_options=dict(lake.options))


def rows_of(table):
    return pa.table(table.to_pyarrow_table()).num_rows
