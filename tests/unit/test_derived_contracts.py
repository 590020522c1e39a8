"""Contracts from the shop's catalog: names, types, keys; and what silver makes of them."""

import base64
import random
import tempfile
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.contracts.derive import OURS, derive, digits, merged, name_tables, silver_names
from batch.silver.bronze import BronzeSource
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import consolidate_silver
from lakehouse.contracts import Type
from lakehouse.offsets import OffsetRange
from replay.silver import SilverReplayer
from tests.unit.bronze_maker import RULES, START, live, new_lake, rows_of
from tests.unit.foreign_maker import catalog_row, contract_of, foreign, modifier

PLACES = [
    catalog_row("stock", "shelf", "text", key=2),
    catalog_row("stock", "Größe, cm", "numeric", modifier=modifier(10, 2)),
    catalog_row("stock", "site", "int4", key=1),
    catalog_row("stock", "lsn", "text"),
    catalog_row("stock", "operation", "text"),
    catalog_row("stock", "_offset", "int8"),
]
STOCK = contract_of(PLACES)
ROW = {"Größe, cm": "1.50", "lsn": "a", "operation": None, "_offset": 7}


def base64_of(data):
    return base64.b64encode(data).decode()


def test_every_type_is_what_its_name_says(tmp_path):
    rows = [catalog_row("t", "id", "int8", key=1)]
    told = {}
    expected = {}
    for name, kind, options, written, value in (
        ("n", "numeric", {"modifier": modifier(38, 6)}, "9" * 32 + ".999999",
         Decimal("9" * 32 + ".999999")),
        ("free", "numeric", {}, "1E+3", "1E+3"),
        ("cash", "money", {}, "-12.30", Decimal("-12.30")),
        ("f", "float8", {}, 0.1, 0.1),
        ("inf", "float4", {}, "-Infinity", float("-inf")),
        ("yes", "bool", {}, True, True),
        ("bit1", "bit", {"modifier": 1}, False, False),
        ("day", "date", {}, -1, date(1969, 12, 31)),
        ("instant", "timestamptz", {}, "2026-03-01T12:00:00.5Z",
         datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)),
        ("wall", "timestamp", {}, 1_500_000, datetime(1970, 1, 1, 0, 0, 1, 500_000)),  # noqa: DTZ001
        ("noon", "time", {}, 43_200_000_001, "12:00:00.000001"),
        ("midnight", "time", {}, 86_400_000_000, "24:00:00.000000"),
        ("blob", "bytea", {}, base64_of(b"\x00\xff"), b"\x00\xff"),
        ("id2", "uuid", {}, "0b0e", "0b0e"),
        ("doc", "jsonb", {}, '{"a": [1, 2]}', '{"a": [1, 2]}'),
        ("mood", "mood", {"kind": "e"}, "sad", "sad"),
        ("pair", "pair", {"kind": "c"}, base64_of("(1,é)".encode()), "(1,é)"),
        ("place", "point", {}, {"x": 1.5, "y": 2.5}, '{"x": 1.5, "y": 2.5}'),
        ("ints", "int4", {"is_array": True}, [1, None, 3], [1, None, 3]),
        ("words", "text", {"is_array": True}, ['a "b", [c]', None, ""], ['a "b", [c]', None, ""]),
        ("none", "text", {"is_array": True}, [], []),
        ("floats", "float8", {"is_array": True}, [0.5, -1e300, 1e-300, None, 3],
         [0.5, -1e300, 1e-300, None, 3]),
        ("days", "date", {"is_array": True}, [0, None], [date(1970, 1, 1), None]),
        ("sums", "numeric", {"is_array": True, "modifier": modifier(5, 2)}, ["1.25"],
         [Decimal("1.25")]),
        ("blobs", "bytea", {"is_array": True}, [base64_of(b"x")], [b"x"]),
        ("grid", "int4", {"is_array": True, "dimensions": 2}, [[1], [2]], "[[1], [2]]"),
    ):  # fmt: skip
        rows.append(catalog_row("t", name, kind, **options))
        told[name], expected[name] = written, value
    source = foreign(new_lake(tmp_path), contract_of(rows), told)
    source.change({"id": 1}, "c").change({"id": 2}, "c", **dict.fromkeys(told)).land()
    (report,) = consolidate_silver(source.lake, RULES, [source.contract])
    assert report.quarantined == 0
    first, second = sorted(live(source.lake, "t"), key=lambda row: row["id"])
    assert {name: first[name] for name in expected} == expected
    assert {name: second[name] for name in expected} == dict.fromkeys(expected)
    assert "Text as Debezium writes it" in source.contract.column("free").description
    assert "Text as Debezium writes it" in source.contract.column("place").description
    rebuild_silver(source.lake, RULES, [source.contract])
    again = sorted(live(source.lake, "t"), key=lambda row: row["id"])
    assert again == [first, second]
    history = rows_of(source.lake, "t_history")
    assert {row["valid_to_at"] for row in history} == {None}
    feeds = {
        name: source.lake.open("silver", name).metadata().configuration.get(
            "delta.enableChangeDataFeed")
        for name in ("t", "t_history")
    }  # fmt: skip
    assert feeds == {"t": "true", "t_history": None}, "nothing follows it, and it is costly"


@pytest.mark.parametrize(
    ("kind", "options", "written", "rule"),
    [
        ("numeric", {"modifier": modifier(5, 2)}, "1.005", "x_out_of_range"),
        ("numeric", {"modifier": modifier(5, 2)}, "NaN", "x_out_of_range"),
        ("timestamp", {}, 2**63 - 1, "x_out_of_range"),
        ("time", {}, -1, "x_unreadable"),
        ("bytea", {}, "no base64!", "x_unreadable"),
        ("int4", {"is_array": True}, [1, "one"], "x_unreadable"),
        ("int4", {"is_array": True}, [[1], [2]], "x_unreadable"),
        ("text", {"is_array": True}, "no list", "x_unreadable"),
        ("text", {"is_array": True}, ["a", 1e300], "x_unreadable"),
    ],
)
def test_value_that_silver_cannot_hold_is_quarantined_not_guessed_at(
    tmp_path, kind, options, written, rule
):
    rows = [catalog_row("t", "id", "int8", key=1), catalog_row("t", "x", kind, **options)]
    source = foreign(new_lake(tmp_path), contract_of(rows))
    source.change({"id": 1}, "c", x=written).change({"id": 2}, "c", x=None).land()
    consolidate_silver(source.lake, RULES, [source.contract])
    assert [row["id"] for row in live(source.lake, "t")] == [2]
    assert [row["rule"] for row in rows_of(source.lake, "quarantine")] == [rule]


@given(st.integers(1, 1000), st.integers(-1000, 1000))
def test_digits_of_a_numeric_hold_every_value_of_it(precision, scale):
    """Scales may be negative, or larger than the precision."""
    found = digits(modifier(precision, scale))
    whole, fraction = max(precision - scale, 0), max(scale, 0)
    if whole + fraction > 38:
        assert found is None
    else:
        assert found == (max(whole + fraction, 1), fraction)


@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=30))
def test_silver_names_are_unique_in_any_case_and_need_no_quotes(sources):
    named = silver_names(sources)
    assert list(named) == sources
    folded = [name.casefold() for name in named.values()]
    assert len(set(folded)) == len(folded)
    for name in named.values():
        assert name.replace("_", "a").isalnum()
        assert not name.startswith("_")


TABLES = st.sets(st.sampled_from([
    "a", "A", "a_history", "A_history", "a_history_history", "users_history", "Users_History",
    "quarantine", "contracts", "enriched_users", "users",
]), max_size=8)  # fmt: skip


@given(first=TABLES, later=TABLES)
def test_each_table_has_silver_tables_of_its_own_and_keeps_them(first, later):
    before = name_tables(first, {})
    after = name_tables(first | later, before)
    assert {table: after[table] for table in first} == before
    names = [n.casefold() for one in after.values() for n in (one.silver, one.history)]
    assert len(set(names)) == len(names)
    assert not set(names) & {name.casefold() for name in OURS}
    assert name_tables(sorted(first, reverse=True), {}) == before


def test_table_that_is_named_like_a_history_keeps_its_name():
    named = name_tables(["a", "a_history"], {})
    assert (named["a_history"].silver, named["a"].history) == ("a_history", "public.a_history")


def test_names_of_any_kind_become_columns_and_say_where_they_come_from():
    columns = {column.source: column for column in STOCK.columns}
    assert columns["Größe, cm"].name == "Größe__cm"
    assert "In the shop: Größe, cm." in columns["Größe, cm"].description
    assert columns["_offset"].name == "offset_"
    assert STOCK.key == "_key"
    assert STOCK.key_names == ("_key", "site", "shelf")


def test_table_whose_rows_nothing_identifies_has_no_contract():
    rows = [catalog_row("log", "line", "text"), catalog_row("log", "number", "int8")]
    names = name_tables(["log"], {})["log"]
    assert derive(rows, names) is None
    by_kafka = derive(rows, names, key=["number"])
    assert by_kafka is not None
    assert by_kafka.key == "number"


steps = st.lists(
    st.tuples(
        st.sampled_from([(1, "a,b"), (1, 'a"]'), (11, "a"), (1, "1a"), (0, "é")]),
        st.sampled_from(["1.50", "-0.01", "bad", None]),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


def happen(source, script):
    for (site, shelf), size, is_delete in script:
        key = {"site": site, "shelf": shelf}
        exists = orjson.dumps(key) in source.rows
        if is_delete and exists:
            source.change(key, "d")
        elif not is_delete:
            source.change(key, "u" if exists else "c", **{"Größe, cm": size})
    return source


def truth(source):
    """The rows of the shop: what was valid last of each key that is not deleted."""
    return {(row["site"], row["shelf"]): row["Größe, cm"] for row in source.rows.values()}


@settings(max_examples=settings.default.max_examples // 12)
@given(script=steps, cuts=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers())
def test_composite_keys_are_exact_through_runs_rebuild_and_replay(script, cuts, seed):
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(Path(folder))
        source = foreign(lake, STOCK, ROW)
        random.Random(seed).shuffle(cuts)
        for cut in cuts:
            happen(source, script[:cut]).land()
            script = script[cut:]
            consolidate_silver(lake, RULES, [STOCK])
        happen(source, script).land()
        consolidate_silver(lake, RULES, [STOCK])
        told = {(row["site"], row["shelf"]): row["Größe__cm"] for row in live(lake, "stock")}
        for key, size in truth(source).items():
            if size != "bad":
                assert told.pop(key) == (size and Decimal(size))
            else:
                told.pop(key, None)
        assert not told
        tables = ("stock", "stock_history", "quarantine")
        before = {name: rows_of(lake, name) for name in tables}
        for row in before["stock"]:
            assert row["_key"] == orjson.dumps([str(row["site"]), row["shelf"]]).decode()
        rebuild_silver(lake, RULES, [STOCK])
        assert {name: rows_of(lake, name) for name in tables} == before
        work = Path(folder) / "work"
        work.mkdir()
        done = SilverReplayer(
            lake=lake, rules=RULES, entity=STOCK, folder=work, alone=nullcontext,
            ranges={p: OffsetRange(start=0, stop=1) for p in BronzeSource(source.bronze()).ends},
        ).run()  # fmt: skip
        assert all(diff.is_equal for diff in done.diffs)


def test_versions_are_valid_from_commit_to_commit(tmp_path):
    source = foreign(new_lake(tmp_path), STOCK, ROW, partitions=1)
    key = {"site": 1, "shelf": "a"}
    source.change(key, "c").change(key, "u", lsn="b").change(key, "d").land()
    consolidate_silver(source.lake, RULES, [STOCK])
    rows = sorted(rows_of(source.lake, "stock_history"), key=lambda row: row["valid_from_at"])
    minutes = [
        tuple(
            at and (at - START).seconds // 60 for at in (row["valid_from_at"], row["valid_to_at"])
        )
        for row in rows
    ]
    assert minutes == [(1, 2), (2, 3), (3, None)]
    assert [row["lsn"] for row in rows] == ["a", "b", None]
    assert rows[2]["site"] == 1


def test_column_that_the_shop_dropped_stays_and_a_retyped_one_is_not_misread():
    rows = [catalog_row("t", "id", "int8", key=1), catalog_row("t", "day", "date"),
            catalog_row("t", "n", "int4"), catalog_row("t", "gone", "text")]  # fmt: skip
    old = contract_of(rows)
    now = contract_of([
        catalog_row("t", "id", "int8", key=1), catalog_row("t", "day", "timestamp"),
        catalog_row("t", "n", "text"), catalog_row("t", "Gone", "bool"),
    ])  # fmt: skip
    both = {column.source: column for column in merged(now, old).columns}
    assert both["day"].type is Type.TEXT
    assert "its type has changed" in both["day"].description
    assert both["n"].type is Type.TEXT
    assert (both["Gone"].name, both["gone"].name) == ("Gone", "gone_2")
