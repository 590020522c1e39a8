"""Reconcile with tables of every shape and values of every type, through the real services."""

import psycopg
import pytest
from psycopg import sql

pytestmark = pytest.mark.integration


ODD_TYPES = {
    "small": ("smallint", "-32768", "32767"),
    "big": ("bigint", "-9223372036854775808", "9223372036854775807"),
    "flag": ("boolean", "true", "false"),
    "exact": ("numeric", "'NaN'", "123456789012345678901234567890.1234567890"),
    "scaled": ("numeric(20, 4)", "1.5000", "-0.0001"),
    "endless": ("numeric", "'Infinity'", "'-Infinity'"),
    "single": ("real", "'NaN'", "3.4028235e38"),
    "double": ("double precision", "'-Infinity'", "0.1"),
    "cash": ("money", "'12.50'", "'-1234567.89'"),
    "words": ("text", "''", "E'tab\\t nl\\n quote\" back\\\\ é 𝄞 \\u0001'"),
    "null_word": ("varchar(20)", "'NULL'", "'\\N'"),
    "padded": ("char(10)", "'ab'", "''"),
    "who": ("uuid", "gen_random_uuid()", "gen_random_uuid()"),
    "doc": ("json", '\'{"a" : 1.10, "b":[1,null]}\'', "'null'"),
    "docb": ("jsonb", '\'{"a" : 1.10, "b":[1,null]}\'', "'\"x\"'"),
    "day": ("date", "'infinity'", "'0044-03-15 BC'"),
    "day_end": ("date", "'-infinity'", "'9999-12-31'"),
    "moment": ("timestamptz", "'infinity'", "'10000-01-01 00:00Z'"),
    "moment_end": ("timestamptz", "'-infinity'", "'0044-03-15 12:00:00 BC'"),
    "seconds": ("timestamptz(0)", "'2020-01-01 00:00Z'", "'2020-01-01 10:20:30Z'"),
    "millis": ("timestamptz(3)", "'2020-01-01 00:00:00.120Z'", "'1900-01-01 00:00Z'"),
    "wall": ("timestamp", "'infinity'", "'1582-10-10 00:00:00.000001'"),
    "clock": ("time", "'24:00'", "'00:00:00.000001'"),
    "zoned": ("timetz", "'12:00:00.5+02'", "'00:00Z'"),
    "offsets": ("interval", "'1 year 2 mons 3 days 04:05:06.789'", "'-1 day -00:00:00.5'"),
    "raw": ("bytea", "'\\xdeadbeef00'", "''"),
    "host": ("inet", "'10.0.0.1/8'", "'::1'"),
    "between": ("int4range", "'[1,5)'", "'empty'"),
    "ranges": ("int4multirange", "'{[1,2),[4,5)}'", "'{}'"),
    "place": ("pg_lsn", "'0/16B3748'", "'0/0'"),
    "numbers": ("int[]", "array[1,null,3]", "'{}'"),
    "texts": ("text[]", "array['a\"b\\','NULL',null,'x,y','']", "'{}'"),
    "decimals": ("numeric[]", "array[1.50,null]", "array[0.0]"),
    "days": ("date[]", "array['2020-01-01']::date[]", "'{}'"),
    "docs": ("jsonb[]", 'array[\'{"a":"\\\\"}\']::jsonb[]', "'{}'"),
    "point": ("point", "'(1,2.5)'", "'(0,0)'"),
}


WIDE = "(select string_agg(md5(i::text || g), '') from generate_series(1, 32000) as i)"
SHAPES = {
    "a megabyte that an update leaves alone": (
        ["create table {} (id int primary key, big text, small int)"],
        [
            f"insert into {{}} select g, {WIDE}, 1 from generate_series(1, 2) as g",
            "update {} set small = 2",
        ],
        4,
    ),
    "nulls in columns that have defaults": (
        ["create table {} (id int primary key, v text default 'x', n int default 5)"],
        ["insert into {} values (1, null, null)", "update {} set v = 'y'"],
        2,
    ),
    "a virtual column, beside large values": (
        [
            "create table {} (id int primary key, small int, big text, raw bytea, texts text[], "
            "twice int generated always as (small * 2) virtual)"
        ],
        [
            f"insert into {{}} (id, small, big, raw, texts) select g, 1, {WIDE}, {WIDE}::bytea, "
            f"array[{WIDE}] from generate_series(1, 2) as g",
            "update {} set small = 2",
            "update {} set small = 3 where id = 1",
            "delete from {} where id = 2",
        ],
        6,
    ),
    "no primary key": (
        ["create table {} (a int, b text, f float8)"],
        [
            "insert into {} values (1, 'a', 'NaN'), (1, 'a', 'NaN'), (2, null, null), "
            "(null, null, null), (3, E'x\\ny', 1e30)",
            "delete from {} where a = 2",
            "update {} set b = 'é' where a = 3",
        ],
        7,
    ),
    "a key of several columns, which changes": (
        [
            "create table {} (a text, b numeric(10, 2), c date, v text, primary key (c, a, b))",
        ],
        [
            "insert into {} values ('a,b', 1.50, '2020-01-01', 'v'), "
            "('a', 1.5, 'infinity', 'v'), ('a\\', -0, '2020-01-01', 'v'), ('', 100, 'epoch', 'w')",
            "update {} set b = 2 where a = 'a'",
            "update {} set v = 'z'",
            "delete from {} where a = ''",
        ],
        11,
    ),
    "names that have to be quoted": (
        [
            'create table {} ("Id" int primary key, "wëird, col" text, "a.b" text, '
            '"quo""te" text, "back\\slash" text, "op" text, "version" int)'
        ],
        [
            "insert into {} values (1, 'a', 'b', 'd', 'e', 'f', 4)",
            'insert into {} ("Id") values (2)',
            'update {} set "version" = 9 where "Id" = 1',
        ],
        3,
    ),
    "columns added, renamed and dropped while it runs": (
        ["create table {} (id int primary key, v text, gone text)"],
        [
            "insert into {} values (1, 'a', 'x'), (2, 'b', 'x')",
            "alter table {} add column later text default 'dflt', add column name int default 3",
            "insert into {} values (3, 'c', 'x', 'told', 4)",
            "update {} set later = 'changed' where id = 1",
            "alter table {} drop column gone",
            "alter table {} rename column v to w",
            "insert into {} values (4, 'd')",
        ],
        5,
    ),
    "a primary key that came later": (
        ["create table {} (id int, v text)"],
        [
            "insert into {} values (1, 'a'), (2, 'b')",
            "alter table {} add primary key (id)",
            "insert into {} values (3, 'c')",
        ],
        3,
    ),
    "rows of the transaction that made the table": (
        [],
        [
            "begin; create table {} (id int primary key); insert into {} values (1), (2); commit",
            "insert into {} values (3)",
        ],
        3,
    ),
    "no rows at all": (["create table {} (id int primary key)"], [], 0),
}


def make_odd(shop):
    table = shop.name("odd")
    mood, positive = shop.name("mood"), shop.name("positive")
    columns = ", ".join(f"{name} {kind}" for name, (kind, *_) in ODD_TYPES.items())
    names = ", ".join(ODD_TYPES)
    shop.run(
        f"create type {mood} as enum ('sad', 'so,so', 'happy \"x\"')",
        f"create domain {positive} as numeric(20, 5) check (value > 0)",
        f"create table {table} (id int primary key, {columns}, mood {mood}, worth {positive}, "
        "twice int generated always as (small::int * 2) stored)",
        *(
            f"insert into {table} (id, {names}, mood, worth) values "
            f"({n}, {', '.join(values[n] for values in ODD_TYPES.values())}, 'so,so', 12.34)"
            for n in (1, 2)
        ),
        f"insert into {table} (id) values (3)",
        f"update {table} set small = 1",
    )
    return table, f"drop table {table}; drop type {mood}; drop domain {positive}"


def make_shapes(shop):
    tables = {
        shape: shop.name("7-Mixed-Case" if "quoted" in shape else "shaped") for shape in SHAPES
    }
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        for shape, (made, statements, _) in SHAPES.items():
            quoted = sql.Identifier("public", tables[shape])
            for statement in (*made, *statements):
                connection.execute(statement.replace("{}", quoted.as_string()))
    return tables


@pytest.fixture(scope="module")
def reconciled(running_shop):
    """The odd table, those of each shape, and what one reconciliation finds in all of them."""
    odd, drop = make_odd(running_shop)
    tables = make_shapes(running_shop)
    yield odd, tables, running_shop.reconcile()
    running_shop.run(drop)
    running_shop.drop_tables()


def test_odd_values_of_odd_types_are_compared(reconciled):
    odd, _, found = reconciled
    assert found[odd].findings.is_exact, found[odd].to_json()
    assert found[odd].findings.changes == 6
    assert found[odd].not_compared == ("point",)


def test_table_of_any_shape_is_exact(reconciled, subtests):
    _, tables, found = reconciled
    for shape, (*_, changes) in SHAPES.items():
        with subtests.test(shape):
            one = found[tables[shape]]
            assert one.findings.is_exact, one.to_json()
            assert one.findings.changes == changes
