"""Silver as the warehouse reads it, from Delta tables in a folder."""

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake

from batch.warehouse.entities import BY_SILVER
from batch.warehouse.source import DeltaSource, FeedGoneError, silver_sources
from lakehouse.contracts.schemas import silver_schema
from lakehouse.delta import open_or_create, table_properties, with_watermarks
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.offsets import bronze_app_id
from tests.warehouse import silver_row

ORDERS = BY_SILVER["cleaned_sales"]
SCHEMA = silver_schema(ORDERS.entity)
COLUMNS = ("order_id", "status", "placed_month", "_offset")
GONE_AT = datetime(2026, 3, 11, tzinfo=UTC)
APRIL = datetime(2026, 4, 10, tzinfo=UTC)


def frame(*rows):
    filled = [silver_row(ORDERS, offset, values) for offset, values in rows]
    given = pl.DataFrame(
        filled, schema={n: pl.DataFrame(SCHEMA.empty_table()).schema[n] for n in filled[0]}
    )
    missing = [pl.lit(None).alias(name) for name in SCHEMA.names if name not in given.columns]
    return given.with_columns(*missing).select(SCHEMA.names).to_arrow().cast(SCHEMA)


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "cleaned_sales")
    properties = table_properties(retention_hours=1, has_change_feed=True)
    open_or_create(uri, {}, SCHEMA, partition_by=["placed_month"], properties=properties)
    return uri


def append(uri, *rows, watermark=None):
    watermarks = {} if watermark is None else {bronze_app_id("t", 0, 0): watermark}
    write_deltalake(
        DeltaTable(uri), frame(*rows), mode="append", commit_properties=with_watermarks(watermarks)
    )


def merge(uri, *rows):
    merging = DeltaTable(uri).merge(
        frame(*rows), "s.order_id = t.order_id", source_alias="s", target_alias="t"
    )
    merging.when_matched_update_all().when_not_matched_insert_all().execute()


def source(uri):
    return DeltaSource(DeltaTable(uri))


def kept(frames):
    """What the loader keeps: of each key, the last row."""
    found = pl.concat(frames).sort("_commit_version", pl.col("_is_deleted").not_())
    last = found.unique("order_id", keep="last").sort("order_id")
    return last.select("order_id", "status", "_is_deleted").rows()


def test_feed_has_each_key_that_changed_as_it_is_now(uri):
    append(uri, (0, {"order_id": 1}), (1, {"order_id": 2}))
    since = source(uri).version
    merge(uri, (2, {"order_id": 2, "status": "paid"}))
    merge(uri, (3, {"order_id": 2, "status": "shipped"}), (4, {"order_id": 3}))
    changes = kept(source(uri).changes(COLUMNS, since=since))
    assert changes == [(2, "shipped", False), (3, "placed", False)]


def test_feed_ends_at_the_pinned_version(uri):
    append(uri, (0, {"order_id": 1}))
    pinned = source(uri)
    append(uri, (1, {"order_id": 2}))
    assert kept(pinned.changes(COLUMNS, since=0)) == [(1, "placed", False)]
    assert kept(pinned.rows(COLUMNS)) == [(1, "placed", False)]


def test_row_that_moves_to_another_month_is_not_gone(uri):
    append(uri, (0, {"order_id": 1}))
    since = source(uri).version
    merge(uri, (1, {"order_id": 1, "placed_at": APRIL, "status": "paid"}))
    assert kept(source(uri).changes(COLUMNS, since=since)) == [(1, "paid", False)]


def test_tombstone_and_removed_row_are_both_gone(uri):
    append(uri, (0, {"order_id": 1}), (1, {"order_id": 2}), (2, {"order_id": 3}))
    since = source(uri).version
    merge(uri, (3, {"order_id": 1, "_deleted_at": GONE_AT}))
    DeltaTable(uri).delete("order_id = 2")
    changes = kept(source(uri).changes(COLUMNS, since=since))
    assert [(key, gone) for key, _, gone in changes] == [(1, True), (2, True)]
    assert kept(source(uri).rows(COLUMNS)) == [(3, "placed", False)]


def test_overwrite_is_all_rows_again_and_the_lacking_ones_gone(uri):
    append(uri, (0, {"order_id": 1}), (1, {"order_id": 2}))
    since = source(uri).version
    write_deltalake(DeltaTable(uri), frame((5, {"order_id": 2, "status": "paid"})),
                    mode="overwrite")  # fmt: skip
    changes = kept(source(uri).changes(COLUMNS, since=since))
    assert [(key, gone) for key, _, gone in changes] == [(1, True), (2, False)]


def test_compaction_changes_nothing(uri):
    append(uri, (0, {"order_id": 1}))
    append(uri, (1, {"order_id": 2}))
    since = source(uri).version
    DeltaTable(uri).optimize.compact()
    frames = list(source(uri).changes(COLUMNS, since=since))
    assert sum(one.height for one in frames) == 0


def test_feed_without_its_files_is_gone(uri, tmp_path):
    append(uri, (0, {"order_id": 1}))
    since = source(uri).version
    merge(uri, (1, {"order_id": 1, "status": "paid"}))
    merge(uri, (2, {"order_id": 1, "status": "shipped"}))
    for file in tmp_path.rglob("_change_data/**/*.parquet"):
        file.unlink()
    with pytest.raises(FeedGoneError):
        list(source(uri).changes(COLUMNS, since=since))


def test_a_feed_beside_deletion_vectors_is_refused_with_the_way_out(uri):
    append(uri, (0, {"order_id": 1}))
    since = source(uri).version
    # As another engine enables them.
    DeltaTable(uri).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(StopPipelineError, match="deletion vectors") as told:
        list(source(uri).changes(COLUMNS, since=since))
    assert "DROP FEATURE deletionVectors TRUNCATE HISTORY" in str(told.value)


def test_feed_without_its_log_is_gone(uri, tmp_path):
    append(uri, (0, {"order_id": 1}))
    merge(uri, (1, {"order_id": 1, "status": "paid"}))
    merge(uri, (2, {"order_id": 1, "status": "shipped"}))
    DeltaTable(uri).create_checkpoint()
    for entry in sorted(tmp_path.rglob("_delta_log/*.json"))[:3]:
        entry.unlink()
    with pytest.raises(FeedGoneError):
        list(source(uri).changes(COLUMNS, since=0))


def test_watermark_is_that_of_the_pinned_version(uri):
    append(uri, (0, {"order_id": 1}), watermark=7)
    pinned = source(uri)
    append(uri, (1, {"order_id": 2}), watermark=9)
    assert pinned.watermark("t", 0, 0) == 7
    assert source(uri).watermark("t", 0, 0) == 9
    assert pinned.watermark("t", 1, 0) is None


def test_only_tables_that_there_are_become_sources(uri, tmp_path):
    found = silver_sources(Lake(bronze="", silver=str(tmp_path), gold="", options={}))
    assert set(found) == {"cleaned_sales"}
    assert found["cleaned_sales"].table_id == str(DeltaTable(uri).metadata().id)
    assert pa.schema(SCHEMA).names[0] == "order_id"
