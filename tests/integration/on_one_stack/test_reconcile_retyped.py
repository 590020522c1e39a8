"""Columns whose type was changed: what bronze has is equal after a cast that loses nothing."""

import json
import shlex
from datetime import UTC, date, datetime

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.reconcile import reconcile
from batch.reconcile.kinds import kind_of
from batch.reconcile.recast import recast
from batch.reconcile.tables import Column
from batch.reconcile.values import canonical
from lakehouse.postgres import oltp_dsn

pytestmark = pytest.mark.integration
patient = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

NUMBERS = {"int4", "int8", "float8", "date", "timestamp"}
"""What Debezium writes as a number in its JSON."""
NAMES = {
    "integer": "int4", "bigint": "int8", "double precision": "float8", "boolean": "bool",
    "real": "float4",
    "char(4)": "bpchar", "char(9)": "bpchar", "varchar(4)": "varchar", "numeric(12,2)": "numeric",
    "timestamptz(0)": "timestamptz",
}  # fmt: skip
LETTERS = st.text("ab1é\"\\{},' ", max_size=8)
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)) | (  # noqa: DTZ001
    st.dates(date(1, 1, 2)).map(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC))
)
WALLS = INSTANTS.map(lambda at: at.replace(tzinfo=None))
DECIMALS = st.decimals(-(10**9), 10**9, places=2) | st.decimals(-99, 99, places=4)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | LETTERS,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(LETTERS, some, max_size=3),
    max_leaves=5,
).map(lambda found: json.dumps(found, indent=1))
INTEGERS = st.integers(-(2**31), 2**31 - 1)
RETYPED = [
    ("integer", "text", INTEGERS),
    ("integer", "numeric(12,2)", INTEGERS),
    ("text", "integer", INTEGERS.map(lambda number: f"{number:05}")),
    ("numeric", "numeric(12,2)", DECIMALS),
    ("numeric", "integer", DECIMALS),
    ("numeric", "text", DECIMALS),
    ("numeric", "double precision", DECIMALS),
    ("double precision", "text", st.floats(-1e30, 1e30)),
    ("boolean", "text", st.booleans()),
    ("boolean", "integer", st.booleans()),
    ("timestamptz", "date", INSTANTS),
    ("timestamptz", "timestamp", INSTANTS),
    ("timestamptz", "timestamptz(0)", INSTANTS),
    ("timestamptz", "text", INSTANTS),
    ("timestamp", "timestamptz", WALLS),
    ("timestamp", "date", WALLS),
    ("date", "timestamptz", st.dates(date(1, 1, 2), date(9999, 12, 30))),
    ("date", "text", st.dates()),
    ("json", "jsonb", DOCUMENTS),
    ("jsonb", "json", DOCUMENTS),
    ("text", "jsonb", DOCUMENTS),
    ("char(9)", "char(4)", LETTERS),
    ("text", "varchar(4)", LETTERS),
]


@pytest.fixture(scope="module")
def database(stack):
    with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="reconcile")) as connection:
        yield connection


def column(declared):
    name = NAMES.get(declared, declared)
    kind = kind_of(name, "b", is_array=False)
    return Column(name="c", kind=kind, declared=declared, type_name=name)


def written(connection, declared, *casts):
    """What a column of this type has, as the snapshot reads it; `casts` make its value."""
    kind = column(declared).kind
    value = psycopg.sql.SQL("{}::text").format(casts[0])
    for cast in casts[1:]:
        value = psycopg.sql.SQL("({})::{}").format(value, psycopg.sql.SQL(cast))
    asked = psycopg.sql.SQL("select ({})::text from (select {} as c) as x")
    found = connection.execute(asked.format(psycopg.sql.SQL(kind.sql.replace("{c}", "c")), value))
    return found.fetchone()[0]


def debezium(old, text):
    """The value in Debezium's JSON."""
    name = NAMES.get(old, old)
    if name == "bool":
        return text.encode()
    return text.encode() if name in NUMBERS else json.dumps(text).encode()


def is_equal(connection, new, said, now):
    """Whether reconcile takes what was said for what is there now."""
    own = column(new)
    spelled = recast(connection, own, [said])["spelled"].to_list()
    values = pl.DataFrame({"c": [now, *spelled]}, schema={"c": pl.String})
    first, *others = canonical(values, [own], prefix="")["c"].to_list()
    return first in others


@pytest.mark.parametrize(
    ("value", "is_kept"), [("0.1", True), ("16777216", True), ("1.23456789012", False)]
)
def test_digits_that_a_shorter_float_interrupted_are_a_difference(database, value, is_kept):
    text = psycopg.sql.Literal(value)
    said = debezium("double precision", written(database, "double precision", text, "numeric"))
    now = written(database, "real", text, "double precision", "real")
    assert is_equal(database, "real", said, now) is is_kept


@pytest.mark.parametrize(("old", "new", "values"), RETYPED, ids=lambda one: str(one)[:20])
@patient
@given(data=st.data())
def test_value_is_equal_after_a_cast_if_and_only_if_that_lost_nothing(
    database, old, new, values, data
):
    value, other = data.draw(values), data.draw(values)
    text, another = (psycopg.sql.Literal(str(one)) for one in (value, other))
    said = debezium(old, written(database, old, text, old))
    now = written(database, new, text, old, new)
    # Of these, another spelling is what the cast is for.
    if "json" in old + new or (old, new) == ("text", "integer"):
        is_kept = True
    else:
        back = psycopg.sql.SQL(
            "select {v}::text::{old} is not distinct from {v}::text::{old}::{new}::{old}"
        )
        asked = back.format(v=text, old=psycopg.sql.SQL(old), new=psycopg.sql.SQL(new))
        [is_kept] = database.execute(asked).fetchone()
    assert is_equal(database, new, said, now) is is_kept
    # What the shop has instead of it is never taken for it.
    if written(database, new, another, old, new) != now and is_kept:
        assert not is_equal(database, new, said, written(database, new, another, old, new))


RESPELLED = {
    "number_text": ("int", "7", "text"),
    "terms": ("text", '\'{"b" : 1.10,  "a":[1e2]}\'', "jsonb using terms::jsonb"),
    "doc": ("json", '\'{"b" : 1, "b":2}\'', "jsonb"),
    "word": ("text", "'sad'", "{mood} using word::{mood}"),
    "wide": ("char(20)", "'ab'", "char(5)"),
    "cents": ("numeric", "12.5", "numeric(12,2)"),
    "day_text": ("date", "'2026-02-28'", "text"),
    "moment": ("timestamp", "'2026-02-28 10:00:00.5'", "timestamptz"),
    "midnight": ("timestamptz", "'2026-02-28 00:00:00Z'", "date"),
    "whole": ("numeric(9,3)", "3.000", "int"),
    "digits": ("text", "'007'", "int using digits::int"),
    "who": ("text", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "uuid using who::uuid"),
    "raw": ("text", "'\\xdeadbeef'", "bytea using raw::bytea"),
    "tags": ("text", "'{a,\"b c\"}'", "text[] using tags::text[]"),
    "docs": ("json[]", "array['{\"a\" :1}']::json[]", "jsonb[] using docs::text[]::jsonb[]"),
    "list_text": ("int[]", "'{1,null,2}'", "text"),
    "address": ("text", "'0::1'", "inet using address::inet"),
    "nothing": ("int", "null", "text"),
}
CHANGED = {
    "cut": ("numeric", "1.239", "numeric(12,2)"),
    "at": ("timestamptz", "'2026-02-28 10:11:12Z'", "date"),
    "short": ("text", "'abcdef'", "varchar(3) using left(short, 3)"),
    "loud": ("text", "'quiet'", "text using upper(loud)"),
    "filled": ("int", "null", "text using coalesce(filled::text, '?')"),
    "emptied": ("text", "'x'", "int using null"),
}


def retype(shop, table, columns, **names):
    changes = ", ".join(
        f"alter column {name} type {new.format(**names)}" for name, (_, _, new) in columns.items()
    )
    shop.run(f"alter table {table} {changes}")


@pytest.mark.long
def test_columns_of_other_types_are_equal_and_where_values_changed_the_advice_helps(running_shop):
    shop = running_shop
    table, mood = shop.name("retyped"), shop.name("mood")
    both = {**RESPELLED, **CHANGED}
    shop.run(
        f"create type {mood} as enum ('sad', 'glad')",
        f"create table {table} (id int primary key, "
        + ", ".join(f"{name} {old}" for name, (old, *_) in both.items())
        + ")",
        f"insert into {table} select g, {', '.join(value for _, value, _ in both.values())} "
        "from generate_series(1, 3) as g",
    )
    shop.assert_exact(table, changes=3)
    retype(shop, table, RESPELLED, mood=mood)
    shop.assert_exact(table, changes=3)
    shop.run(f"update {table} set number_text = 'lost' where id = 2")
    shop.assert_exact(table, changes=4)
    # A change behind it is in the new spelling, and the log's own.
    retype(shop, table, CHANGED)
    report = reconcile(shop.stack.secrets, shop.config())
    [found] = [one for one in report.tables if one.table == table]
    names = ", ".join(CHANGED)
    assert sorted(found.findings.different.examples) == [f"{key} ({names})" for key in (1, 2, 3)]
    assert found.findings.missing.count == found.findings.extra.count == 0
    [advice] = [
        line for line in report.verdict().splitlines() if line.startswith("./pipeline extract")
    ]
    _, *words = shlex.split(advice.split(" extracts ")[0])
    shop.stack.run(*words)
    shop.assert_exact(table, changes=7)
    shop.run(f"drop table {table}", f"drop type {mood}")
