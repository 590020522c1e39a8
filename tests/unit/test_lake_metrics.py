"""What is said of the lake's tables, from their logs alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import pytest
from deltalake import DeltaTable

from batch.catalogue import LakeReader, LakeTable, lake_metrics, lake_tables
from batch.delta_log import DeltaLog
from cli.tables import age_text, size_text
from lakehouse.errors import RetryLaterError
from lakehouse.lake import EPOCHS_PROPERTY, Lake
from lakehouse.offsets import EpochPartition
from lakehouse.trouble import plain
from tests.unit.lake_shop import (
    NOON,
    TOPIC,
    add,
    lake_in,
    land,
    make_gold,
    merge,
    opened,
    silver,
    silver_rows,
)

SALES = ("silver", "cleaned_sales")


@pytest.fixture
def lake(tmp_path):
    return lake_in(tmp_path)


def metrics(lake, *layers):
    return {
        str(one.table): one for one in lake_metrics(lake, layers or ("bronze", "silver", "gold"))
    }


def test_transactions_are_read_from_commits_and_checkpoints_alike(lake):
    for n in range(3):
        table = land(lake, n, n, partition=n)
    expected = {f"kafka/{TOPIC}/{n}": n for n in range(3)}
    assert DeltaLog(table).transactions() == expected
    table.create_checkpoint()
    assert DeltaLog(table).transactions() == expected
    land(lake, 7, 7, partition=1)
    later = DeltaLog(opened(lake, "bronze", "raw_sales"))
    assert later.transactions() == expected | {f"kafka/{TOPIC}/1": 7}
    assert later.checkpoint == 3


def test_log_of_an_older_version_knows_nothing_later(lake):
    land(lake, 0, 0)
    land(lake, 1, 1).create_checkpoint()
    log = DeltaLog(opened(lake, "bronze", "raw_sales", version=1))
    assert log.checkpoint is None
    assert log.transactions() == {f"kafka/{TOPIC}/0": 0}
    assert [commit.version for commit in log.after(0)] == [1]


def test_commits_that_change_no_row_are_told_from_those_that_do(lake):
    add(lake, silver_rows([1, 4]), read_to=1)
    add(lake, silver_rows([7]), read_to=2)
    silver(lake).optimize.compact()
    merge(lake, silver_rows([1]), read_to=3)
    commits = DeltaLog(opened(lake, *SALES)).after(0)
    assert [(c.version, c.changes_data) for c in commits] == [
        (1, True),
        (2, True),
        (3, False),
        (4, True),
    ]


def test_commits_end_where_the_log_was_cleaned_up(lake):
    for n in range(4):
        add(lake, silver_rows([n]), read_to=n)
    Path(lake.uri(*SALES), "_delta_log", f"{2:020}.json").unlink()
    log = DeltaLog(opened(lake, *SALES, version=1))
    assert not [commit.version for commit in log.after(1)]


def test_reader_that_reads_again_knows_what_one_that_begins_does(lake, monkeypatch):
    reader = LakeReader(lake)

    def require_the_same():
        assert reader.metrics() == lake_metrics(lake)

    land(lake, 0, 0)
    require_the_same()
    land(lake, 1, 1, partition=1)
    add(lake, silver_rows([1, 4]), read_to=0)
    require_the_same()
    opened(lake, "bronze", "raw_sales").create_checkpoint()
    land(lake, 2, 2, partition=1)
    require_the_same()
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "open", None)
        known = reader.metrics()
        reader.metrics()
    assert known == lake_metrics(lake)
    # Another table of the same name and version.
    folder = Path(lake.uri("bronze", "raw_sales"))
    rmtree(folder)
    for n in range(4):
        land(lake, n, n, partition=5)
    require_the_same()
    # Its version's entry was cleaned up before the reader came back.
    table = land(lake, 4, 4, partition=5)
    table.create_checkpoint()
    for entry in range(table.version()):
        (folder / "_delta_log" / f"{entry:020}.json").unlink()
    require_the_same()
    rmtree(folder)
    require_the_same()


def test_metrics_of_an_empty_lake_are_none(lake):
    assert lake_metrics(lake) == []


def test_folder_without_a_table_has_no_metrics(lake):
    (Path(lake.silver) / "half_made").mkdir()
    assert lake_metrics(lake) == []
    assert lake_tables(lake) == [LakeTable(layer="silver", name="half_made")]


def test_table_without_rows_has_figures(lake):
    silver(lake)
    one = metrics(lake)["silver.cleaned_sales"]
    assert (one.rows, one.files, one.bytes, one.newest_at) == (0, 0, 0, None)


def test_bronze_says_what_offsets_it_has_passed_and_how_new_it_is(lake):
    land(lake, 0, 9)
    land(lake, 0, 4, partition=1)
    one = metrics(lake)["bronze.raw_sales"]
    assert (one.rows, one.position, one.behind) == (15, 15, None)
    assert one.newest_at == NOON + timedelta(seconds=9)
    assert one.age_seconds(NOON + timedelta(seconds=30)) == 21


def test_a_record_of_the_future_is_as_old_as_its_file(lake):
    """Connect's clock was thirty years ahead, for one record."""
    land(lake, 10**9, 10**9)
    one = metrics(lake)["bronze.raw_sales"]
    assert one.newest_at < NOON + timedelta(seconds=10**8)
    land(lake, 10**9 + 1, 10**9 + 1)
    assert one.newest_at <= metrics(lake)["bronze.raw_sales"].newest_at
    assert one.age_seconds(NOON) >= 0


def test_silver_says_how_many_offsets_it_is_behind(lake):
    land(lake, 0, 9)
    land(lake, 0, 4, partition=1)
    add(lake, silver_rows(range(6)), read_to=5)
    assert metrics(lake)["silver.cleaned_sales"].behind.count == 4 + 5
    add(lake, silver_rows(range(6, 10)), read_to=9)
    assert metrics(lake)["silver.cleaned_sales"].behind.count == 5


def test_silver_of_a_lake_without_bronze_is_not_behind(lake):
    add(lake, silver_rows([1]), read_to=5)
    assert metrics(lake)["silver.cleaned_sales"].behind.count == 0


def test_bronze_ends_of_a_topic_are_those_of_its_newest_epoch(lake):
    table = land(lake, 0, 9)
    two = (
        f'[{{"epoch": 0, "topic_id": "{TOPIC}", "partition_count": 2}},'
        f' {{"epoch": 1, "topic_id": "{TOPIC}", "partition_count": 2}}]'
    )
    table.alter.set_table_properties({EPOCHS_PROPERTY: two}, raise_if_not_exists=False)
    (bronze,) = lake_metrics(lake, ["bronze"])
    assert bronze.offsets == {EpochPartition(epoch=1, topic_id=TOPIC, partition=0): 9}


def test_gold_says_which_versions_it_was_made_from_and_what_came_since(lake):
    add(lake, silver_rows([1, 4, 7]), read_to=1)
    make_gold(lake, 1)
    assert metrics(lake, "gold")["gold.sales_kpi"].behind.count == 0
    add(lake, silver_rows([10]), read_to=2)
    silver(lake).optimize.compact()
    one = metrics(lake, "gold")["gold.sales_kpi"]
    assert one.behind.count == 1
    assert one.versions == {"cleaned_sales": 1}


def test_gold_made_from_a_table_that_is_no_more_says_nothing_of_it(lake):
    add(lake, silver_rows([1]), read_to=1)
    make_gold(lake, 1)
    import shutil

    shutil.rmtree(lake.uri(*SALES))
    add(lake, silver_rows([1]), read_to=1)
    one = metrics(lake, "gold")["gold.sales_kpi"]
    assert (one.versions, one.behind.count) == ({}, 0)


def test_age_of_a_table_that_keeps_no_time_is_that_of_its_last_change(lake):
    add(lake, silver_rows([1]), read_to=1)
    table = make_gold(lake, 1)
    changed_at = table.history(1)[0]["timestamp"]
    table.create_checkpoint()
    one = metrics(lake, "gold")["gold.sales_kpi"]
    assert one.newest_at == datetime.fromtimestamp(changed_at / 1000, tz=UTC)


def test_metrics_as_json_name_everything(lake):
    land(lake, 0, 9)
    found = metrics(lake)["bronze.raw_sales"].to_json(NOON + timedelta(seconds=30))
    assert found | {"bytes": 0} == {
        "layer": "bronze",
        "table": "raw_sales",
        "rows": 10,
        "rows_are_estimate": False,
        "files": 1,
        "bytes": 0,
        "version": 1,
        "position": 10,
        "behind": None,
        "newest_at": "2026-11-24T12:00:09+00:00",
        "age_seconds": 21.0,
        "watermark": [{"source": TOPIC, "epoch": 0, "partition": 0, "reached": 9}],
        "note": None,
    }


def test_log_that_cannot_be_read_says_which(lake):
    land(lake, 0, 0)
    table = DeltaTable(lake.uri("bronze", "raw_sales"))
    log = DeltaLog(table)
    Path(lake.uri("bronze", "raw_sales"), "_delta_log", f"{1:020}.json").unlink()
    with pytest.raises(RetryLaterError, match=r"raw_sales.*cannot be read"):
        log.transactions()


def test_message_of_the_store_is_one_plain_line():
    assert plain(OSError("Generic\n   \x1b[31m↳\x1b[0m refused\n")) == "Generic ↳ refused"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-3, "0 s"), (59.6, "60 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_age_is_told_in_one_unit(seconds, text):
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_500_000_000, "2.5 GB")]
)
def test_size_is_told_in_a_unit_that_fits(size, text):
    assert size_text(size) == text
