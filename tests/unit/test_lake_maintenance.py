"""Maintenance: who still reads a table, keeps it readable; what nobody needs goes."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batch.catalogue import LakeTable
from batch.delta_log import DeltaLog
from batch.maintenance import Limits, Need, gold_needs, maintain_tables
from batch.maintenance.needs import oldest_hold
from batch.maintenance.table import TableMaintenance
from batch.silver.commit import append
from lakehouse import maintenance
from lakehouse.delta import CHECKPOINT_COMMITS, open_or_create, table_properties
from lakehouse.offsets import bronze_app_id
from tests.unit.lake_shop import (
    TOPIC,
    add,
    lake_in,
    land,
    make_gold,
    merge,
    opened,
    rows_of,
    silver_rows,
)

SALES = LakeTable(layer="silver", name="cleaned_sales")
AT_ONCE = 0.0
"""Hours of retention: all that nobody needs goes."""


@pytest.fixture
def lake(tmp_path):
    """Silver with five appends and two merges, all of them long ago."""
    lake = lake_in(tmp_path)
    for n in range(5):
        add(lake, silver_rows(range(n * 6, n * 6 + 6)), read_to=n * 6 + 5)
    merge(lake, silver_rows([1, 2], cents=200), read_to=30)
    merge(lake, silver_rows([2, 3], cents=300), read_to=31)
    return lake


def run(lake, *, needs=(), retention_hours=AT_ONCE, table=SALES):
    limits = {table.layer: Limits(lake=lake, retention_hours=retention_hours)}
    (done,) = maintain_tables([table], limits, needs if needs is None else list(needs))
    return done


def need(lake, version, by="gold.sales_kpi"):
    table_id = str(opened(lake, "silver", "cleaned_sales").metadata().id)
    return Need(by=by, table="cleaned_sales", table_id=table_id, version=version)


def feed(lake, first, last=None):
    table = opened(lake, "silver", "cleaned_sales")
    return pl.DataFrame(
        pa.table(table.load_cdf(starting_version=first, ending_version=last).read_all())
    )


def log_of(lake):
    return Path(lake.uri("silver", "cleaned_sales")) / "_delta_log"


def grow_old(lake, *, hours):
    """Make the log look as if it had been written long ago, to a clean-up."""
    then = time.time() - hours * 3600
    for file in log_of(lake).iterdir():
        os.utime(file, (then, then))


def test_maintenance_joins_files_and_leaves_rows_and_watermarks(lake):
    done = run(lake)
    table = opened(lake, "silver", "cleaned_sales")
    assert done.files_before > done.files_after == 3
    assert done.bytes_after < done.bytes_before
    assert rows_of(table) == 30
    assert table.transaction_version(bronze_app_id(TOPIC, 0, 0)) == 31
    assert done.kept == ()


def test_maintenance_makes_no_change_for_those_who_follow_the_feed(lake):
    version = opened(lake, "silver", "cleaned_sales").version()
    run(lake)
    assert feed(lake, version + 1).is_empty()


def test_versions_that_nobody_needs_go_with_their_feed(lake):
    done = run(lake)
    assert done.vacuumed_files > 10
    changes = Path(lake.uri("silver", "cleaned_sales"), "_change_data")
    assert not list(changes.rglob("*.parquet"))


def test_second_maintenance_leaves_no_trace(lake):
    run(lake)
    before = sorted(log_of(lake).iterdir())
    done = run(lake)
    assert (done.files_before, done.vacuumed_files) == (done.files_after, 0)
    assert sorted(log_of(lake).iterdir()) == before


def test_reader_of_a_pinned_version_continues_within_the_retention(lake):
    pinned = opened(lake, "silver", "cleaned_sales")
    expected = pl.scan_delta(pinned).sort("order_id").collect()
    run(lake, retention_hours=1)
    assert pl.scan_delta(pinned).sort("order_id").collect().equals(expected)


def test_feed_that_gold_has_not_read_yet_outlives_the_retention(lake):
    expected = feed(lake, 6)
    make_gold(lake, 5)
    done = run(lake, needs=gold_needs(lake))
    assert feed(lake, 6, 7).sort(pl.all()).equals(expected.sort(pl.all()))
    assert rows_of(opened(lake, "silver", "cleaned_sales", 5)) == 30
    assert done.kept == ("gold.sales_kpi has read up to version 5: later ones are kept",)


def test_the_one_furthest_behind_decides(lake):
    needs = [need(lake, 7), need(lake, 6, by="the warehouse")]
    done = run(lake, needs=needs)
    assert done.kept == ("the warehouse has read up to version 6: later ones are kept",)
    assert feed(lake, 7, 7).height == 4


def test_reader_that_has_read_all_holds_nothing_back(lake):
    done = run(lake, needs=[need(lake, 7)])
    assert done.vacuumed_files > 10
    assert done.kept == ()


def test_reader_that_lacks_only_maintenance_holds_no_file_back(lake):
    run(lake, retention_hours=1)
    assert opened(lake, "silver", "cleaned_sales").version() > 7
    assert run(lake, needs=[need(lake, 7)]).vacuumed_files > 10


def test_need_of_a_table_recreated_under_the_name_counts_for_nothing(lake):
    other = Need(by="gold.old", table="cleaned_sales", table_id="another", version=1)
    assert run(lake, needs=[other]).vacuumed_files > 10


def test_need_of_a_feed_that_is_gone_holds_nothing_back(lake):
    run(lake)
    grow_old(lake, hours=100)
    run(lake)
    add(lake, silver_rows([100]), read_to=100)
    log = DeltaLog(opened(lake, "silver", "cleaned_sales"))
    assert oldest_hold(log, [need(lake, 0)]) is None


def test_log_entries_past_retention_go(lake):
    run(lake)
    grow_old(lake, hours=100)
    run(lake)
    assert not (log_of(lake) / f"{1:020}.json").exists()
    assert rows_of(opened(lake, "silver", "cleaned_sales")) == 30


def test_log_entries_that_a_reader_needs_stay(lake):
    make_gold(lake, 5)
    run(lake, needs=gold_needs(lake))
    grow_old(lake, hours=100)
    run(lake, needs=gold_needs(lake))
    assert all((log_of(lake) / f"{n:020}.json").exists() for n in (6, 7))
    assert feed(lake, 6, 7).height == 8


def test_nothing_is_deleted_when_readers_cannot_be_asked(lake):
    done = run(lake, needs=None)
    assert done.vacuumed_files == 0
    assert done.files_after == 3
    assert done.kept == ("nothing deleted: the needs of its readers are unknown",)
    assert feed(lake, 6, 7).height == 8
    assert (log_of(lake) / "_last_checkpoint").exists()


def test_files_are_told_by_their_tombstones_beyond_the_tables_own_retention(lake):
    """A full vacuum would take a file that was written long ago and removed just now."""
    maintenance_of = TableMaintenance(
        table=SALES,
        delta=opened(lake, "silver", "cleaned_sales"),
        uri=lake.uri("silver", "cleaned_sales"),
        options={},
        needs=[],
        retention_hours=48,
    )
    pinned = opened(lake, "silver", "cleaned_sales")
    for file in Path(lake.uri("silver", "cleaned_sales")).rglob("*.parquet"):
        if "_delta_log" not in str(file):
            os.utime(file, (time.time() - 1e6, time.time() - 1e6))
    done = maintenance_of.run()
    assert done.vacuumed_files == 0
    assert pl.scan_delta(pinned).collect().height == 30
    assert done.kept == ("log kept: the table's own retention is shorter",)


def test_busy_table_is_left_to_its_writer_after_a_few_tries(lake, monkeypatch):
    def always_late(_table):
        raise maintenance.CompactionLostError

    monkeypatch.setattr("batch.maintenance.table.compact", always_late)
    waited = []
    maintenance_of = TableMaintenance(
        table=SALES,
        delta=opened(lake, "silver", "cleaned_sales"),
        uri=lake.uri("silver", "cleaned_sales"),
        options={},
        needs=[],
        retention_hours=1,
        pause=waited.append,
    )
    done = maintenance_of.run()
    assert waited == [2.0, 4.0]
    assert done.kept == ("not compacted: writers kept interfering",)


def test_table_that_somebody_else_compacts_is_left_to_them(lake):
    maintenance._claim(opened(lake, "silver", "cleaned_sales"), time.time)
    done = run(lake, retention_hours=1)
    assert done.kept == ("not compacted: another process compacts it",)
    assert done.files_after == done.files_before


def test_bronze_is_the_landers_unless_it_is_overdue(lake):
    land(lake, 0, 3)
    land(lake, 4, 5)
    bronze = LakeTable(layer="bronze", name="raw_sales")
    for overdue, joined in ((2, 2), (1, 1)):
        limits = {"bronze": Limits(lake=lake, retention_hours=1, overdue_files=overdue)}
        (done,) = maintain_tables([bronze], limits, [])
        assert opened(lake, "bronze", "raw_sales").get_add_actions().num_rows == joined
        assert bool(done.kept) == (joined == 2)


def test_commits_of_silver_leave_a_checkpoint_now_and_then(tmp_path):
    schema = pa.schema([("sale_id", pa.int64())])
    properties = table_properties(retention_hours=168, has_change_feed=False)
    table = open_or_create(str(tmp_path / "sales"), {}, schema, properties=properties)
    for n in range(2 * CHECKPOINT_COMMITS + 1):
        append(table, pa.table({"sale_id": [n]}, schema=schema), {"kafka/0": n})
    names = (file.name for file in (tmp_path / "sales" / "_delta_log").glob("*.checkpoint.parquet"))
    versions = sorted(int(name.split(".")[0]) for name in names)
    assert versions == [CHECKPOINT_COMMITS - 1, 2 * CHECKPOINT_COMMITS - 1]
    again = DeltaTable(tmp_path / "sales")
    assert again.transaction_version("kafka/0") == 2 * CHECKPOINT_COMMITS
    assert again.to_pyarrow_table().num_rows == 2 * CHECKPOINT_COMMITS + 1


def test_tables_that_do_not_exist_are_passed_over(lake):
    (Path(lake.silver) / "no_table").mkdir()
    limits = {"silver": Limits(lake=lake, retention_hours=1)}
    assert not list(maintain_tables([LakeTable(layer="silver", name="no_table")], limits, []))


def test_hold_begins_with_the_first_change_that_was_not_read(lake):
    log = DeltaLog(opened(lake, "silver", "cleaned_sales"))
    hold = oldest_hold(log, [need(lake, 6)])
    assert hold.version == 6
    assert abs((datetime.now(tz=UTC) - hold.since).total_seconds()) < 60
