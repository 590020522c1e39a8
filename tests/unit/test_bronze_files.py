"""Bronze's Parquet files beside those of delta-rs: the same rows, statistics and names."""

import json
import random
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Message
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.delta_log import DeltaLog
from batch.lake_sql import attach, connect
from consumers.bronze.table import DeltaBronzeTable
from consumers.records import to_arrow
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import TopicIdentity, TopicPartition

P = TopicPartition(topic="t", topic_id="id", partition=0)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OFFSETS = [f"{name}._offset" for name in ("min", "max")]
_payloads = st.none() | st.binary(max_size=40) | st.just(b"long" * 20_000)
_headers = st.lists(
    st.fixed_dictionaries({"key": st.text(max_size=3), "value": st.none() | st.binary(max_size=3)}),
    max_size=2,
)
_instants = st.integers(-(10**6), 10**12).map(lambda ms: NOON + timedelta(milliseconds=ms))


@st.composite
def tables(draw):
    """Rows of bronze, as any client of Kafka may have written them, in chunks as polled."""
    days = draw(st.lists(st.none() | st.dates(date(2020, 1, 1)), min_size=1, max_size=3))
    rows = draw(
        st.lists(
            st.fixed_dictionaries({
                "key": _payloads, "value": _payloads,
                "_topic_id": st.sampled_from(["a", "b"]), "_epoch": st.integers(0, 2),
                "_partition": st.none() | st.integers(0, 2**31 - 1),
                "_offset": st.integers(0, 2**63 - 1),
                "_timestamp": st.none() | _instants, "_headers": st.none() | _headers,
                "_date": st.sampled_from(days),
            }),
            max_size=12,
        )
    )  # fmt: skip
    cut = draw(st.integers(0, len(rows)))
    parts = [pa.Table.from_pylist(part, BRONZE_SCHEMA) for part in (rows[:cut], rows[cut:])]
    return pa.concat_tables(parts)


def made(folder, name):
    return DeltaBronzeTable.open_or_create(str(folder / name), {}, retention_hours=24)


def contents(uri):
    return in_order(pl.DataFrame(DeltaTable(uri).to_pyarrow_table()))


def in_order(rows):
    columns = rows.select(BRONZE_SCHEMA.names)
    return columns.sort(columns.select(pl.all().exclude("_headers")).columns)


def files(uri):
    """Return what the log says of each file; sizes, times and random names differ."""
    actions = pl.DataFrame(pa.table(DeltaTable(uri).get_add_actions(flatten=True)))
    told = [
        one for one in actions.columns if one not in {"path", "size_bytes", "modification_time"}
    ]
    folder = pl.col("path").str.split("/").list.first().alias("folder")
    return actions.select(folder, *sorted(told)).sort("folder")


@settings(max_examples=30)
@given(tables())
def test_file_is_read_back_as_one_of_delta_rs(rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = made(folder, "ours"), made(folder, "theirs")
        ours.append(rows, {P: 1})
        write_deltalake(theirs.delta, rows, mode="append")
        ours, theirs = str(folder / "ours"), str(folder / "theirs")
        assert contents(ours).equals(contents(theirs))
        assert DeltaTable(ours).transaction_version(P.app_id) == 1
        if len(rows):
            assert files(ours).equals(files(theirs), null_equal=True)
        assert in_order(pl.read_delta(ours)).equals(contents(theirs))


def test_independent_reader_reads_it(tmp_path):
    ours = made(tmp_path, "ours")
    rows = polled(100)
    ours.append(rows, {P: 99})
    with connect({}, memory_mb=200) as connection:
        name = attach(connection, str(tmp_path / "ours"), version=ours.delta.version(), name="ours")
        found = connection.sql(f"from {name} order by _offset").pl()
    expected = pl.DataFrame(rows).sort("_offset")
    for column in ("key", "value", "_topic_id", "_partition", "_offset", "_date"):
        assert found[column].to_list() == expected[column].to_list()


def polled(count, day=NOON):
    at = int(day.timestamp() * 1000)
    messages = [
        Message(topic="t", partition=0, offset=n, key=b"k%d" % n, value=b"v" * n,
                timestamp=(1, at + n))
        for n in range(count)
    ]  # fmt: skip
    return pa.table(to_arrow(messages, {"t": TopicIdentity(topic_id="id", epoch=0)})["t"])


def test_batch_over_midnight_is_one_commit_of_two_files_whose_statistics_prune(tmp_path):
    ours = made(tmp_path, "ours")
    version = ours.delta.version()
    ours.append(polled(10, datetime(2026, 3, 1, 23, 59, 59, 995_000, tzinfo=UTC)), {P: 9})
    assert ours.delta.version() == version + 1
    found = files(str(tmp_path / "ours"))
    assert found.select("partition._date", *OFFSETS, "num_records").rows() == [
        (date(2026, 3, 1), 0, 4, 5),
        (date(2026, 3, 2), 5, 9, 5),
    ]
    assert [one.changes_data for one in DeltaLog(ours.delta).after(version)] == [True]


def test_value_larger_than_what_is_sent_at_a_time_is_kept(tmp_path):
    ours, value = made(tmp_path, "ours"), random.Random(3).randbytes(20_000_000)
    message = Message(topic="t", partition=0, offset=0, key=b"k", value=value, timestamp=(1, 0))
    rows = to_arrow([message], {"t": TopicIdentity(topic_id="id", epoch=0)})["t"]
    ours.append(pa.table(rows), {P: 0})
    assert contents(str(tmp_path / "ours"))["value"].to_list() == [value]


def test_watermark_moves_without_rows(tmp_path):
    ours = made(tmp_path, "ours")
    ours.append(BRONZE_SCHEMA.empty_table(), {P: 41})
    assert (ours.watermark(P), made(tmp_path, "ours").watermark(P)) == (41, 41)


def test_values_are_not_compared_for_statistics(tmp_path):
    """Comparing documents costs time, and half of a document is of no use in a footer."""
    ours = made(tmp_path, "ours")
    ours.append(polled(3), {P: 2})
    (path,) = DeltaTable(str(tmp_path / "ours")).file_uris()
    group = pq.read_metadata(path).row_group(0)
    with_bounds = {
        group.column(number).path_in_schema
        for number in range(group.num_columns)
        if group.column(number).is_stats_set and group.column(number).statistics.has_min_max
    }
    assert with_bounds == {"_topic_id", "_epoch", "_partition", "_offset", "_timestamp"}


def test_file_that_could_not_be_committed_is_not_part_of_the_table(tmp_path):
    zombie, successor = made(tmp_path, "ours"), made(tmp_path, "ours")
    successor.append(polled(3), {P: 2})
    with pytest.raises(Exception, match="Concurrent transaction"):
        zombie.append(polled(3), {P: 2})
    assert contents(str(tmp_path / "ours")).height == 3
    written = list((tmp_path / "ours").glob("_date=*/*.parquet"))
    assert len(written) == 2
    assert len(made(tmp_path, "ours").delta.file_uris()) == 1


def test_log_entry_names_the_rows_of_each_file(tmp_path):
    ours = made(tmp_path, "ours")
    ours.append(polled(3), {P: 2})
    entry = tmp_path / "ours" / "_delta_log" / f"{ours.delta.version():020}.json"
    (added,) = [json.loads(x)["add"] for x in entry.read_text().splitlines() if '"add"' in x]
    assert json.loads(added["stats"]) == {
        "numRecords": 3,
        "minValues": {"_partition": 0, "_offset": 0, "_timestamp": "2026-03-01T12:00:00.000Z"},
        "maxValues": {"_partition": 0, "_offset": 2, "_timestamp": "2026-03-01T12:00:00.002Z"},
        "nullCount": {"_partition": 0, "_offset": 0, "_timestamp": 0},
    }
