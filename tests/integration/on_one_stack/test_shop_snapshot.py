"""What a snapshot of the shop shows: every row of a table as it was, or an error; never fewer."""

import uuid

import polars as pl
import psycopg
import pytest

from batch.extraction.missed import is_checkable, keys_only
from batch.reconcile.arrival import _heartbeat
from batch.reconcile.shop import HiddenRowsError, ShopSnapshot, TableChangedError
from connectors.captured import read_captured
from connectors.readers import read_hidden, require_all_rows
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import oltp_dsn
from stack.doctor.measurements import Measurements
from stack.doctor.readers import _visibility
from stack.findings import Verdict
from tests.stacks import new_stack
from tests.verdicts import only

pytestmark = pytest.mark.integration


class Table:
    """A table of ten rows in the shop."""

    def __init__(self, stack):
        self.stack = stack
        self.name = f"seen_{uuid.uuid4().hex[:8]}"

    def dsn(self, role):
        return oltp_dsn(self.stack.oltp, self.stack.secrets, role=role)

    def run(self, *statements):
        with psycopg.connect(self.dsn("admin"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.format(self.name))

    def replace(self, columns):
        """Create a table of these columns instead, by another name.

        Debezium (3.7) fails when it reads a row of a table whose name has since been given to one
        with other types.
        """
        self.run("drop table public.{}")
        self.name = f"seen_{uuid.uuid4().hex[:8]}"
        self.run(f"create table public.{{}} ({columns})")

    def snapshot(self):
        return ShopSnapshot(self.dsn("reconcile"))

    def described(self, shop):
        return next(table for table in shop.tables() if table.name == self.name)

    def rows(self, shop):
        return sum(frame.height for frame in shop.rows(self.described(shop)))

    def living(self, shop, *keys):
        return shop.living(self.described(shop), [{"id": key} for key in keys])

    def keys(self, shop):
        """Its keys, a text for each of their columns."""
        described = self.described(shop)
        names = [column.name for column in described.key]
        frames = [
            frame.select(pl.col(f"shop:{name}").cast(pl.String).alias(name) for name in names)
            for frame in shop.rows(keys_only(described))
        ]
        return pl.concat(frames).to_dicts()

    def fill(self, declared, values):
        """Insert keys of two columns, the second one of which numbers them."""
        with psycopg.connect(self.dsn("admin")) as connection:
            for n, value in enumerate(values):
                statement = f"insert into public.{self.name} values (%s, %s::text::{declared})"
                connection.execute(statement, [n, value])

    def hidden(self):
        with psycopg.connect(self.dsn("monitor")) as connection:
            return [one for one in read_hidden(connection) if one.table == self.name]


@pytest.fixture
def table(stack):
    found = Table(stack)
    found.run(
        "create table public.{} (id int primary key, v text)",
        "insert into public.{} select g, 'v' from generate_series(1, 10) as g",
    )
    yield found
    found.run(
        "drop table if exists public.{} cascade",
        "alter role debezium nobypassrls", "alter role reconcile nobypassrls",
    )  # fmt: skip


@pytest.mark.parametrize(
    "policy",
    ["to simulator using (true)", "to public using (id > 5)", "to reconcile using (true)"],
)
def test_table_that_a_policy_hides_rows_of_is_refused_and_the_advice_shows_them(table, policy):
    """Also where the policy lets a reader see all: Postgres does not look that closely."""
    table.run(
        "alter table public.{} enable row level security", "create policy p on public.{} " + policy
    )
    [hidden] = table.hidden()
    with table.snapshot() as shop:
        with pytest.raises(HiddenRowsError, match="hides rows from reconcile"):
            table.rows(shop)
        # The snapshot continues with other tables.
        assert shop.tables()
        with pytest.raises(HiddenRowsError):
            table.living(shop, 1)
    with pytest.raises(StopPipelineError, match=r"has row-level security.*nothing was written"):
        require_all_rows(table.dsn("extract"), [table.name])
    require_all_rows(table.dsn("extract"), ["another"])
    table.run(*hidden.remedy.removeprefix("as admin: ").split("; "))
    assert table.hidden() == []
    require_all_rows(table.dsn("extract"), [table.name])
    with table.snapshot() as shop:
        assert table.rows(shop) == 10


@pytest.mark.parametrize("given", ["", "grant select (id) on public.{} to reconcile"])
def test_table_that_a_reader_may_not_select_is_refused_and_the_advice_grants_it(table, given):
    table.run("revoke select on public.{} from debezium, reconcile", given or "select 1")
    [hidden] = table.hidden()
    assert hidden.roles == ("debezium", "reconcile")
    with table.snapshot() as shop, pytest.raises(HiddenRowsError, match="may not select"):
        table.rows(shop)
    table.run(hidden.remedy.removeprefix("as admin: "))
    assert table.hidden() == []
    with table.snapshot() as shop:
        assert table.rows(shop) == 10


@pytest.mark.parametrize(
    "change",
    [
        "alter table public.{} alter column v type varchar(9) using lower(v)",
        "truncate public.{}",
        "begin; truncate public.{0}; insert into public.{0} values (1, 'again'); commit",
        "drop table public.{}",
        "begin; alter table public.{0} rename to {0}_old; "
        "create table public.{0} (id int primary key, v text); drop table public.{0}_old; commit",
    ],
    ids=["rewritten", "truncated", "truncated and loaded", "dropped", "swapped"],
)
def test_table_that_changed_under_the_snapshot_is_not_taken_for_an_empty_one(table, change):
    with table.snapshot() as shop:
        described = table.described(shop)
        table.run(change)
        with pytest.raises(TableChangedError, match=r"Try again\."):
            list(shop.rows(described))
        with pytest.raises(TableChangedError):
            shop.living(described, [{"id": 1}])


def test_rows_that_go_after_the_snapshot_are_seen(table):
    with table.snapshot() as shop:
        described = table.described(shop)
        table.run("delete from public.{}", "vacuum public.{}", "analyze public.{}")
        assert sum(frame.height for frame in shop.rows(described)) == 10
        assert shop.living(described, [{"id": 1}, {"id": 11}]) == {0}
    with table.snapshot() as shop:
        assert table.rows(shop) == 0


def test_parent_shows_its_own_rows_alone_and_is_known_as_one(table):
    child = f"{table.name}_child"
    table.run(
        f"create table public.{child} (primary key (id)) inherits (public.{{}})",
        f"insert into public.{child} values (77, 'child')",
    )
    with table.snapshot() as shop:
        assert table.rows(shop) == 10
        assert table.living(shop, 1, 77) == {0}
    known = read_captured(table.dsn("extract"))
    assert known[table.name].has_children
    assert not known[child].has_children


OF_TYPES = {
    "bigint": ["-9223372036854775808", "0", "7", "9223372036854775807"],
    "boolean": ["true", "false"],
    "numeric": ["-0.50", "0", "1e30", "12345678901234567890.125", "NaN", "Infinity", "-Infinity"],
    "numeric(12, 2)": ["-1", "0.10", "9999999999.99"],
    "money": ["-12.34", "0", "99.90"],
    "double precision": ["0.1", "1e-300", "-2", "NaN", "Infinity"],
    "real": ["0.1", "1e-30", "-2", "-Infinity"],
    "text": ["", "a,b", "a", "A", 'é"\\', "null", " "],
    "char(8)": ["", "ab", "AB"],
    "uuid": ["0b0e0a0c-0000-4000-8000-00000000000f", "0b0e0a0c-0000-4000-8000-000000000010"],
    "date": ["infinity", "-infinity", "4713-01-01 BC", "1969-12-31", "1970-01-01", "5874897-12-31"],
    "time": ["00:00", "12:34:56.789012", "23:59:59.999999", "24:00"],
    "timestamp": [
        "infinity", "-infinity", "4713-01-01 BC", "1969-12-31 23:59:59.999999", "1970-01-01",
        "2026-03-29 02:30:00.5", "290000-12-31 23:59:59.999999",
    ],
    "timestamptz": [
        "infinity", "-infinity", "0001-01-01 00:00+00", "1969-12-31 23:59:59.999999+00",
        "2026-03-29 02:30:00.5+00", "2026-03-29 02:30:00.123456+00", "12026-01-01 00:00+00",
    ],
    "bytea": ["\\x", "\\x00", "\\x00ff", "\\x" + "ab" * 100],
    "inet": ["192.168.0.1", "192.168.0.1/24"],
    "int4range": ["empty", "[1,5)", "[1,)"],
    "jsonb": ['{"a": [1, 2.50]}', "null"],
    "pg_lsn": ["0/0", "16/B374D848"],
    "public.part": ["a%b", "c"],
}  # fmt: skip
"""Keys by type, with what is hard about them."""


@pytest.mark.parametrize("declared", OF_TYPES)
def test_row_is_looked_up_by_a_key_of_its_type(table, declared):
    """By the text that Debezium writes, which `test_reconcile_shapes` compares with the shop's."""
    table.run("drop type if exists public.part", "create type public.part as enum ('a%b', 'c')")
    # Of two columns, one with a name that looks like a parameter, in another order.
    table.replace(f'n int, "%s" {declared}, primary key ("%s", n)')
    table.fill(declared, OF_TYPES[declared])
    with table.snapshot() as shop:
        assert is_checkable(table.described(shop))
        keys = table.keys(shop)
    assert len(keys) == len(OF_TYPES[declared])
    table.run("delete from public.{} where n % 2 = 0")
    with table.snapshot() as shop:
        left = {key["n"] for key in table.keys(shop)}
        there = {number for number, key in enumerate(keys) if key["n"] in left}
        assert 0 < len(there) < len(keys)
        assert shop.living(table.described(shop), keys) == there
        assert shop.living(table.described(shop), []) == set()


@pytest.mark.parametrize(
    ("declared", "key"), [("varchar(3)", "abcd"), ("int", "abc"), ("date", "2026-01-01")]
)
def test_key_that_its_table_cannot_have_is_no_missing_row(table, declared, key):
    table.replace(f"id {declared} primary key")
    with (
        table.snapshot() as shop,
        pytest.raises(StopPipelineError, match="Was the type of its primary key changed"),
    ):
        table.living(shop, key)


@pytest.mark.parametrize("declared", ["interval", "timetz"])
def test_rows_are_not_looked_up_by_texts_that_do_not_tell_them_apart(table, declared):
    table.replace(f"id {declared} primary key")
    with table.snapshot() as shop:
        assert not is_checkable(table.described(shop))


def test_shapes_that_are_not_captured_are_noted(table):
    table.run("alter table public.{} set unlogged")
    told = _visibility(Measurements(table.stack.config, patience_seconds=30))
    [own] = [one.words for one in told if one.words.startswith(table.name)]
    assert "is unlogged: nothing of it is captured" in own


def test_standby_is_never_asked_for_rows():
    with new_stack() as stack:
        stack.up("oltp")
        stack.stop("oltp")
        (stack.config.stack.data_dir / "oltp" / "standby.signal").touch()
        stack.start("oltp")
        dsn = oltp_dsn(stack.oltp, stack.secrets, role="reconcile")
        with pytest.raises(StopPipelineError, match=r"standby.*OLTP_HOST"):
            ShopSnapshot(dsn)
        with pytest.raises(StopPipelineError, match=r"standby.*OLTP_HOST"):
            _heartbeat(dsn, "token")
        told = only(_visibility(Measurements(stack.config, patience_seconds=30)))
        assert told.verdict is Verdict.WRONG
        assert "standby" in told.words
