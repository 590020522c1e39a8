"""The parts that reconcile is made of, one rule at a time."""

import json
from dataclasses import replace

import polars as pl
import pytest

from batch.reconcile.arrival import BronzeArrival
from batch.reconcile.findings import Fault, Findings
from batch.reconcile.history import Examples
from batch.reconcile.kinds import kind_of
from batch.reconcile.records import read_changes
from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.shop import read_rows
from batch.reconcile.table import Comparison, compare_table, slices_for
from batch.reconcile.tables import CatalogRow, SourceTable, describe, key_text
from batch.reconcile.unchanged import fill_unchanged
from batch.reconcile.visibility import Visibility
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.offsets import TopicPartition
from tests.unit.reconcile_model import (
    KEYLESS,
    NOW_US,
    TABLE,
    Change,
    Shop,
    column,
    faults,
    reconcile,
    records,
)

ALL_SEEN = Visibility(xmax=1_000, in_progress=frozenset(), taken_us=NOW_US)
ORDERS = TopicPartition(topic="shop.public.orders", topic_id="id", partition=2)


def catalog_row(name, **facts):
    row = CatalogRow(
        table_name="things",
        column_name=name,
        type_name="text",
        type_kind="b",
        is_array=False,
        key_position=None,
        is_counted=False,
    )
    return replace(row, **facts)


def shop_of(*changes, rows):
    return Shop(changes=changes, seen_commits=99, rows=rows, visibility=ALL_SEEN)


def sees(visibility, tx_id, committed_us=NOW_US):
    frame = pl.DataFrame({"tx": [tx_id], "at": [committed_us]})
    return frame.select(visibility.sees(pl.col("tx"), pl.col("at"))).item()


def test_snapshot_is_read_as_postgres_writes_it():
    found = Visibility.parse("100:105:101,103", taken_us=NOW_US)
    assert [sees(found, xid) for xid in range(99, 106)] == [
        True,
        True,
        False,
        True,
        False,
        True,
        False,
    ]


def test_change_of_an_hour_ago_is_seen_though_the_ids_went_round():
    found = Visibility.parse("100:105:101", taken_us=NOW_US)
    assert not sees(found, 200)
    assert sees(found, 200, committed_us=NOW_US - 7_200_000_000)


def test_snapshot_row_read_again_at_the_same_position_repeats_no_change():
    read = Change(commit=1, op="r", key=1, version=3, value="a", lsn=7, offset=1)
    again = replace(read, offset=2)
    assert faults(reconcile(shop_of(read, again, rows={1: ("a", 3)}))) == ({}, set())


def test_changes_from_before_a_key_was_changed_are_no_lives_of_a_row_without_a_key():
    """Their records lack its columns, and no extraction ever ends such a row."""
    old = [
        Change(commit=1, op="c", key=None, version=1, value="a", lsn=1, offset=1),
        Change(commit=2, op="c", key=None, version=1, value="b", lsn=2, offset=2),
        Change(commit=3, op="u", key=None, version=4, value="b", lsn=3, offset=3,
               old_value="b", old_version=3),
    ]  # fmt: skip
    unread = reconcile(shop_of(*old, rows={1: ("a", 1), 2: ("b", 4)}))
    assert (faults(unread)[1], unread.missing.count, unread.changes) == ({"1", "2"}, 2, 3)
    read = [
        Change(commit=4, op="r", key=1, version=1, value="a", lsn=4, offset=4),
        Change(commit=4, op="r", key=2, version=4, value="b", lsn=4, offset=5),
    ]
    found = reconcile(shop_of(*old, *read, rows={1: ("a", 1), 2: ("b", 4)}))
    assert (faults(found), found.changes) == (({}, set()), 5)


def test_changes_that_were_committed_before_a_snapshot_read_the_table_count():
    """A row has the time at which its table was read, long after the snapshot was taken."""
    began, read, end = 30, 60, 70
    old = Change(commit=10, op="c", key=1, version=1, value="old", lsn=70, offset=1)
    shown = Change(commit=read, op="r", key=1, version=1, value="old", lsn=100, offset=2)
    open_then = Change(commit=began + 1, op="c", key=2, version=1, value="open", lsn=90, offset=3)
    later = Change(commit=began + 5, op="c", key=3, version=1, value="later", lsn=120, offset=4)
    gone = Change(commit=began + 6, op="d", key=1, version=1, value="old", old_value="old",
                  old_version=1, lsn=130, offset=5)  # fmt: skip
    # In partitions without rows of the snapshot, what was sent once it began: also what a
    # transaction wrote before that, and nothing of before, though that server's log was longer.
    other_old = Change(commit=9, op="c", key=4, version=1, value="was", lsn=60, partition=1,
                       offset=1)  # fmt: skip
    other_gone = Change(commit=11, op="d", key=4, version=1, value="was", old_value="was",
                        old_version=1, lsn=80, partition=1, offset=2)  # fmt: skip
    longer = Change(commit=12, op="c", key=1, version=1, value="old", lsn=500, partition=1,
                    offset=3)  # fmt: skip
    other_open = Change(commit=began + 2, op="c", key=5, version=1, value="x", lsn=95, partition=1,
                        offset=4, sent=read)  # fmt: skip
    last = Change(commit=read + 1, op="c", key=6, version=1, value="y", lsn=96, partition=1,
                  offset=5)  # fmt: skip
    rows = {2: ("open", 1), 3: ("later", 1), 5: ("x", 1), 6: ("y", 1)}
    changes = (old, shown, *(replace(one, sent=end) for one in (open_then, later, gone)),
               other_old, other_gone, longer, other_open, last)  # fmt: skip
    found = reconcile(shop_of(*changes, rows=rows), table=KEYLESS)
    assert (faults(found), found.changes) == (({}, set()), 6)
    # A snapshot that was interrupted has begun before.
    first = replace(shown, commit=20, lsn=75)
    moved = [replace(one, offset=one.offset + 1) for one in changes[1:5]]
    again = reconcile(shop_of(old, first, *moved, *changes[5:], rows=rows), table=KEYLESS)
    assert (faults(again), again.changes) == (({}, set()), 6)


def test_change_of_another_table_in_the_same_bronze_table_is_not_counted():
    ours = Change(commit=1, op="c", key=1, version=1, value="a", offset=1)
    foreign = replace(ours, table="others", key=2, offset=2)
    found = reconcile(shop_of(ours, foreign, rows={1: ("a", 1)}))
    assert (faults(found), found.changes) == (({}, set()), 1)


@pytest.mark.parametrize(
    ("type_name", "shop", "debezium"),
    [
        ("numeric", "1.50", "1.5"),
        ("numeric", "100", "100"),
        ("numeric", "0.000", "-0"),
        ("numeric", "NaN", "NAN"),
        ("numeric", "-Infinity", "NEGATIVE_INFINITY"),
        ("float8", "1e+22", "10000000000000000000000"),
        ("float4", "1e-45", "1.4e-45"),
        ("bpchar", "ab   ", "ab"),
        ("date", "infinity", "2146033979"),
        ("timestamptz", "2020-01-01T00:00:00.120000Z", "2020-01-01T00:00:00.12Z"),
        ("timestamptz", "2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:00Z"),
    ],
)
def test_two_spellings_of_one_value_are_equal(type_name, shop, debezium):
    kind = kind_of(type_name, "b", is_array=False)
    spelled = pl.DataFrame({"a": [shop, debezium]}).select(kind.canonical(pl.col("a")))["a"]
    assert spelled[0] == spelled[1]


@pytest.mark.parametrize(
    ("type_name", "one", "other"),
    [
        ("numeric", "1.50", "1.05"),
        ("numeric", "100", "1"),
        ("text", "ab ", "ab"),
        ("float8", "0.1", "0.10000000000000002"),
        ("timestamptz", "2020-01-01T00:00:00.100000Z", "2020-01-01T00:00:00.010000Z"),
    ],
)
def test_values_that_differ_a_little_differ(type_name, one, other):
    kind = kind_of(type_name, "b", is_array=False)
    spelled = pl.DataFrame({"a": [one, other]}).select(kind.canonical(pl.col("a")))["a"]
    assert spelled[0] != spelled[1]


def test_null_and_empty_text_are_told_apart():
    rows = read_rows(b'1,1,,2\n1,2,"",2\n', TABLE)
    assert rows["shop:v"].to_list() == [None, ""]


def test_text_of_several_lines_stays_one_value():
    rows = read_rows(b'1,1,"a\n""b"",\\N",2\n', TABLE)
    assert rows["shop:v"].to_list() == ['a\n"b",\\N']


def test_key_of_several_columns_cannot_be_read_in_two_ways():
    columns = (column("a"), column("b"))
    rows = pl.DataFrame({"a": ["x,", "x", "x\\"], "b": ["y", ",y", ",y"]})
    keys = rows.select(
        key_text(columns, pl.struct(pl.col("a").alias("0"), pl.col("b").alias("1")))
    ).to_series()
    assert keys.n_unique() == 3


def test_columns_whose_type_has_no_common_text_are_named_and_left_out():
    table = describe([catalog_row("id", key_position=1), catalog_row("p", type_name="point")])
    assert [c.name for c in table.columns] == ["id"]
    assert table.skipped == ("p",)


@pytest.mark.parametrize("key", ["*", "^a.*$"])
def test_column_that_is_named_like_a_pattern_is_that_column_alone(key):
    names = ["a", "*", "^a.*$", "a.b"]
    table = describe([catalog_row(n, key_position=1 if n == key else None) for n in names])
    # A constant, the key, and the other columns in order, as the shop is asked for them.
    texts = ["1", key, *(name for name in names if name != key)]
    row = read_rows(",".join(texts).encode() + b"\n", table)
    assert row["key"].to_list() == [key]
    assert {name: row[f"shop:{name}"].item() for name in names} == {n: n for n in names}


def test_rows_of_a_table_without_a_key_have_none():
    assert read_rows(b"1,x\n", describe([catalog_row("a")]))["key"].to_list() == [None]


def test_array_declared_with_several_dimensions_is_named_and_left_out():
    grid = catalog_row("grid", type_name="int4", is_array=True, dimensions=2)
    assert describe([grid]).skipped == ("grid",)


def test_key_that_has_no_text_makes_a_table_without_key():
    table = describe([catalog_row("p", type_name="point", key_position=1), catalog_row("v")])
    assert table.key == ()


def test_version_counts_only_where_a_trigger_keeps_it():
    own = catalog_row("version", type_name="int4")
    key = catalog_row("id", key_position=1)
    assert not describe([key, own]).is_versioned
    assert describe([replace(key, is_counted=True), replace(own, is_counted=True)]).is_versioned


def test_column_added_later_is_not_asked_of_earlier_changes():
    change = Change(commit=1, op="c", key=1, version=1, value="a", offset=1)
    table = SourceTable(
        name="things",
        key=TABLE.key,
        columns=(*TABLE.columns, column("later")),
        is_versioned=False,
    )
    rows = read_rows(b"1,1,a,1,dflt\n", table)
    how = Comparison(visibility=ALL_SEEN, slices=1, examples=Examples(limit=3))
    found = compare_table(table, [rows], records([change]), how)
    assert found.is_exact
    assert found.untold.examples == ("1 (later)",)
    nothing = read_rows(b"1,1,a,1,\n", table)
    assert not compare_table(table, [nothing], records([change]), how).untold.count


def test_large_value_that_an_update_left_alone_is_taken_from_the_change_before():
    unchanged = "__debezium_unavailable_value"
    changes = [
        {"op": "c", "before": None, "after": {"id": 1, "v": "long", "n": 1}},
        {"op": "u", "before": None, "after": {"id": 1, "v": unchanged, "n": 2}},
        {"op": "u", "before": None, "after": {"id": 1, "v": unchanged, "n": 3}},
    ]
    told = pl.DataFrame(
        {
            "key": ["1", "1", "1"],
            "op": [c["op"] for c in changes],
            "value": [json.dumps(c).encode() for c in changes],
        }
    )
    filled = fill_unchanged(told.tail(1), told)
    assert json.loads(filled["value"].item())["after"] == {"id": 1, "v": "long", "n": 3}


def test_text_that_looks_like_the_placeholder_stays():
    change = {"op": "c", "after": {"id": 1, "v": "__debezium_unavailable_value"}}
    told = pl.DataFrame({"key": ["1"], "op": ["c"], "value": [json.dumps(change).encode()]})
    assert fill_unchanged(told, told).equals(told)


@pytest.mark.parametrize("value", [b"not json", b"[1]", b'{"op"', b'"text"'])
def test_record_that_is_not_debeziums_stops_and_names_its_place(value):
    change = Change(commit=1, op="c", key=1, version=1, value="a", offset=17)
    [frame] = records([change])
    broken = frame.with_columns(value=pl.lit(value))
    with pytest.raises(StopPipelineError, match="offset 17"):
        read_changes(broken, TABLE, ALL_SEEN)


def test_slices_grow_with_the_records():
    assert slices_for(0, 0) == 1
    assert slices_for(1_000_000, 100_000_000) > 5


class FakeTable:
    """A bronze table whose watermark moves at each refresh."""

    def __init__(self, *watermarks):
        self.watermarks = list(watermarks)

    def watermark(self, partition):
        return self.watermarks[0]

    def refresh(self):
        self.watermarks = self.watermarks[1:] or self.watermarks


class FakeTopics:
    """A topic that has records at these offsets; the others are transaction markers."""

    def __init__(self, *offsets):
        self.offsets = offsets

    def first_records(self, ranges, *, deadline):
        return {
            partition: next((o for o in self.offsets if start <= o < end), None)
            for partition, (start, end) in ranges.items()
        }


def wait_for_bronze(table, topics, end, timeout_seconds=20):
    arrival = BronzeArrival(topics=topics, tables={ORDERS.topic: table})
    arrival.wait({ORDERS: end}, timeout_seconds=timeout_seconds)


def test_bronze_has_passed_an_end_behind_which_only_marks_stand():
    wait_for_bronze(FakeTable(5), FakeTopics(0, 5), end=8)


def test_empty_topic_needs_no_table():
    wait_for_bronze(FakeTable(None), FakeTopics(), end=0)
    wait_for_bronze(FakeTable(None), FakeTopics(), end=2)


def test_bronze_is_waited_for_until_it_holds_the_last_record():
    table = FakeTable(None, 2, 4, 6)
    wait_for_bronze(table, FakeTopics(1, 2, 4, 6, 7), end=7)
    assert table.watermarks == [6]


def test_bronze_that_does_not_move_is_named_and_may_get_there_later():
    with pytest.raises(RetryLaterError, match=r"shop\.public\.orders\[2\] has landed 5 of 9"):
        wait_for_bronze(FakeTable(4), FakeTopics(6), end=9, timeout_seconds=0.3)


def report_of(**found):
    findings = Findings(source_rows=3, bronze_rows=3, changes=5, **found)
    table = TableReport(table="orders", bronze="raw_sales", findings=findings, seconds=0.5)
    snapshot = SnapshotReport(snapshot="1:1:", lsn="0/1", taken_at=None)
    return Report(tables=(table,), snapshot=snapshot, seconds=1.0)


def test_report_counts_every_fault_by_its_name():
    report = report_of(missing=Fault(count=2, examples=("7",)))
    table = report.to_json()["tables"][0]
    counts = {k: table[k] for k in ("missing", "extra", "different", "missing_versions")}
    assert counts == {"missing": 2, "extra": 0, "different": 0, "missing_versions": 0}
    assert (table["table"], table["source_rows"], table["bronze_rows"]) == ("orders", 3, 3)
    assert table["duplicates"] == 0
    assert report.to_json()["exact"] is False


def test_verdict_names_table_and_keys():
    verdict = report_of(missing_versions=Fault(count=3, examples=("7", "8"))).verdict()
    assert "orders: 3 missing versions: 7, 8 and 1 more" in verdict


def test_verdict_says_what_a_truncate_left_and_what_ends_it():
    found = {"missing_deletes": Fault(count=1, examples=("7",)), "extra": Fault(count=1)}
    told = report_of(**found).verdict()
    assert "orders: 1 missing deletes: 7 (inserted again over a row without a delete" in told
    assert told.count("./pipeline extract orders --full") == 1


def test_verdict_tells_of_values_that_no_change_tells_and_the_command_that_reads_them():
    told = report_of(untold=Fault(count=3, examples=("1 (later)",)))
    assert told.exact
    words = "3 rows have values in columns that were added after their latest change"
    assert words in told.verdict()
    assert "orders 1 (later) and 2 more" in told.verdict()
    assert "./pipeline extract orders --full reads them" in told.verdict()


def unreadable(note, *, may_pass=False, **found):
    """A report of one table that was compared, and of one that could not be."""
    report = report_of(**found)
    hidden = TableReport(
        table="customers", bronze="raw_users", findings=Findings(), seconds=0.1, note=note,
        may_pass=may_pass,
    )  # fmt: skip
    return replace(report, tables=(*report.tables, hidden))


def test_report_of_a_table_that_could_not_be_compared_is_neither_exact_nor_faulty():
    report = unreadable("it hides rows")
    assert not report.exact
    assert not report.is_faulty
    assert report.verdict() == (
        "Cannot tell whether bronze is exact.\ncustomers was not compared: it hides rows"
    )
    with pytest.raises(StopPipelineError, match="customers was not compared: it hides rows"):
        report.require_all()
    with pytest.raises(RetryLaterError, match="customers was not compared: it was rewritten"):
        unreadable("it was rewritten", may_pass=True).require_all()


def test_report_names_faults_beside_what_could_not_be_compared():
    report = unreadable("it hides rows", missing=Fault(count=1, examples=("7",)))
    assert report.is_faulty
    assert report.verdict().splitlines() == [
        "Not exact.", "orders: 1 missing: 7", "customers was not compared: it hides rows",
        "./pipeline extract orders --full extracts rows again, such as those that `alter table` "
        "has rewritten without log entries, and finds missed deletes.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "has_key", "advice"),
    [
        ({"different": 1}, True, "./pipeline extract orders --full"),
        ({"extra": 1, "missing": 2}, True, "./pipeline extract orders --full"),
        ({"missing_deletes": 1}, True, "./pipeline extract orders --full"),
        ({"missing": 1, "extra": 1}, False, "./pipeline connect resnapshot extracts orders"),
        ({"missing_versions": 1}, True, "./pipeline replay --into bronze --all"),
        ({"duplicates": 1}, True, "./pipeline replay --into bronze --all"),
    ],
)
def test_verdict_advises_what_helps_against_the_fault_and_nothing_else(found, has_key, advice):
    report = report_of(**{name: Fault(count=n, examples=("7",)) for name, n in found.items()})
    report = replace(report, tables=(replace(report.tables[0], has_key=has_key),))
    assert [line for line in report.verdict().splitlines() if "./pipeline" in line] == [
        line for line in report.verdict().splitlines() if line.startswith(advice)
    ]
    assert advice in report.verdict()


def test_verdict_of_what_is_exact_says_so():
    assert report_of().verdict().startswith("Exact")
