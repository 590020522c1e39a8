"""A shop that nobody wrote contracts for: its catalog, and its values through bronze into silver.

Its changes are written as Debezium writes them: reconcile's kinds are compared with those of a
connector elsewhere.
"""

import math
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import orjson
import psycopg
import pytest
from psycopg import sql

from batch.contracts import stored
from batch.contracts.stored import contracts_of, read_stored
from batch.lake_sql import LakeSql, QueryError
from batch.pipeline_run import PipelineRun
from batch.reconcile.history import Examples
from batch.reconcile.kinds import Kind, kind_of
from batch.reconcile.silver import compare_silver
from connectors.captured import read_captured
from connectors.shop_catalog import read_catalog
from lakehouse.contracts import ENTITIES, Type
from lakehouse.contracts.schemas import SILVER_META
from lakehouse.postgres import warehouse_dsn
from tests.unit.bronze_maker import RULES, live, new_lake, rows_of
from tests.unit.foreign_maker import foreign

pytestmark = pytest.mark.integration

FOREIGN = Path(__file__).parents[2] / "foreign_shop.sql"
WRITTEN_OTHERWISE = ("interval", "timetz", "bit", "varbit", "numeric", "bpchar", "name")
"""Types whose text in silver is Debezium's, and not Postgres' own."""


@contextmanager
def foreign_database(server):
    admin = warehouse_dsn(server.warehouse, server.secrets, role="admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database foreign_shop")
    dsn = psycopg.conninfo.make_conninfo(
        admin, dbname="foreign_shop", options="-c timezone=UTC -c bytea_output=hex"
    )
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(FOREIGN.read_bytes())
            yield dsn, connection
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("drop database foreign_shop with (force)")


@pytest.fixture(scope="module")
def shop(warehouse_server, tmp_path_factory):
    """The foreign shop, and a lake with all its rows in silver."""
    with foreign_database(warehouse_server) as (dsn, connection):
        lake = new_lake(tmp_path_factory.mktemp("lake"))
        run = PipelineRun(
            lake=lake, rules=RULES, limit=None, warehouse="", shop=dsn,
            contract_files=Path("/nowhere"),
        )  # fmt: skip
        catalog = read_catalog(connection)
        run.chosen([])
        for table in set(catalog) - set(ENTITIES):
            land(lake, connection, table, catalog[table])
        reports = {one.entity: one for one in run.derived()}
        yield lake, connection, catalog, reports, run


def land(lake, connection, table, rows):
    """Land a table's rows as the connector's snapshot reads them."""
    contract = contracts_of(lake).get(table)
    if contract is None:
        return
    kinds = {
        row.column_name: kind_of(row.type_name, row.type_kind, is_array=row.is_array)
        or Kind(sql="{c}::text")
        for row in rows
    }
    selected = [
        sql.SQL("({})::text").format(sql.SQL(kind.sql).format(c=sql.Identifier(name)))
        for name, kind in kinds.items()
    ]
    query = sql.SQL("select {} from {}").format(sql.SQL(", ").join(selected), sql.Identifier(table))
    source = foreign(lake, contract)
    for values in connection.execute(query):
        after = {
            name: orjson.loads(value) if kind.is_list and value is not None else value
            for (name, kind), value in zip(kinds.items(), values, strict=True)
        }
        for row in rows:
            if row.type_name in ("bit",) and row.modifier == 1 and after[row.column_name]:
                after[row.column_name] = after[row.column_name] == "1"
        key = {column.source: after[column.source] for column in contract.key_columns}
        source.change(key, "r", after)
    if source.waiting:
        source.land()


def test_every_table_with_a_key_has_current_rows_and_history(shop):
    lake, connection, catalog, reports, _ = shop
    left_out = {one.table for one in read_stored(lake) if one.contract is None}
    assert left_out == {"by_nothing", "by_unique"}
    for table in set(catalog) - left_out:
        contract = contracts_of(lake)[table]
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(table))
        (count,) = connection.execute(query).fetchone()
        assert reports[table].read == count, table
        assert len(live(lake, contract.silver)) == count - reports[table].quarantined, table
        assert len(rows_of(lake, contract.history)) == count - reports[table].quarantined, table
    assert len(catalog) >= 38
    assert {"price.list", "order lines"}.isdisjoint(catalog)


def test_values_of_every_type_are_exact_or_quarantined(shop):
    lake, connection, catalog, _, _ = shop
    broken = [row["all_rules"] for row in rows_of(lake, "quarantine")]
    assert broken == []
    types = {row.column_name: row for row in catalog["every_type"]}
    contract = contracts_of(lake)["every_type"]
    (nothing, row) = sorted(live(lake, "every_type"), key=lambda row: row["id"])
    assert {nothing[c.name] for c in contract.columns if c.name != "id"} == {None}
    compared = 0
    for column in contract.columns:
        told = types[column.source]
        is_unset = told.type_name == "xml"
        if (
            is_unset
            or told.is_array
            or (told.type_name in WRITTEN_OTHERWISE and column.type is Type.TEXT)
        ):
            continue
        cast = "::numeric" if told.type_name == "money" else ""
        query = sql.SQL("select ({}{})::text from every_type where id = 2")
        (text,) = connection.execute(
            query.format(sql.Identifier(column.source), sql.SQL(cast))
        ).fetchone()
        assert same(row[column.name], text, column.type), (column.name, row[column.name], text)
        compared += 1
    assert compared > 50
    lists = [c for c in contract.columns if c.is_list]
    cast = {"some_moods": "::text[]"}
    names = sql.SQL(", ").join(
        sql.Identifier(c.source) + sql.SQL(cast.get(c.source, "")) for c in lists
    )
    values = connection.execute(
        sql.SQL("select {} from every_type where id = 2").format(names)
    ).fetchone()
    for column, value in zip(lists, values, strict=True):
        assert row[column.name] == [plain(one) for one in value], column.name


def same(value, text, kind):
    if kind is Type.FLOAT and text == "NaN":
        return math.isnan(value)
    read = {
        Type.DECIMAL: Decimal,
        Type.FLOAT: float,
        Type.BOOLEAN: ("true", "1").__contains__,
        Type.TIMESTAMP: datetime.fromisoformat,
        Type.WALL_CLOCK: datetime.fromisoformat,
        Type.BYTES: lambda hexadecimal: bytes.fromhex(hexadecimal[2:]),
        Type.TIME: lambda time: f"{time}.000000"[:15],
        Type.INTEGER: int,
        Type.DATE: date.fromisoformat,
    }
    return value == read.get(kind, str)(text)


def plain(value):
    match value:
        case UUID():
            return str(value)
        case dict():
            return orjson.dumps(value).decode().replace(":", ": ")
        case _:
            return value


def test_names_of_all_kinds_have_columns_of_their_own(shop):
    lake, connection, _, _, _ = shop
    contract = contracts_of(lake)["names"]
    (row,) = live(lake, "names")
    (values,) = connection.execute("select * from names").fetchall()
    sources = [d.name for d in connection.execute("select * from names").description]
    by_source = {column.source: row[column.name] for column in contract.columns}
    assert by_source == dict(zip(sources, values, strict=True))
    assert not {c.name for c in contract.columns} & set(SILVER_META.names)
    (wide,) = live(lake, "wide")
    assert (wide["c1"], wide["c1599"]) == ("x", 7)


def test_keys_of_any_type_tell_rows_apart(shop):
    lake, _, _, _, _ = shop
    assert contracts_of(lake)["by_composite"].key_names == ("_key", "Line__No_", "tenant")
    keys = {row["_key"] for row in live(lake, "by_composite")}
    assert keys == {'["11","1"]', '["1","11"]', '["1","1"]'}
    assert {row["code"] for row in live(lake, "by_text")} == {"a,b", "", 'é"\\', "A", "a"}
    assert {row["hash"] for row in live(lake, "by_bytes")} == {b"\x00\xff", b""}


def test_tables_of_like_names_have_silver_tables_of_their_own(shop):
    lake, _, _, _, _ = shop
    contracts = contracts_of(lake)
    assert contracts["users"].silver == "users"
    assert contracts["users"].history == "public.users_history_2"
    assert contracts["users_history"].silver == "public.users_history"
    assert contracts["quarantine"].silver == "public.quarantine"
    assert contracts["Capitals"].silver == "Capitals"
    assert contracts["capitals"].silver == "public.capitals"


def test_all_tables_are_exact_and_stay_so_through_a_rebuild(shop):
    lake, _, _, _, run = shop
    compared = list(compare_silver(lake, RULES, Examples()))
    faulty = [one.table for one in compared if one.is_compared and not one.findings.is_exact]
    assert faulty == []
    derived = [e for e in contracts_of(lake).values() if e.is_derived]
    before = {e.silver: live(lake, e.silver) for e in derived}
    from batch.silver.rebuild import rebuild_silver

    rebuild_silver(lake, RULES, derived)
    assert {e.silver: repr(live(lake, e.silver)) for e in derived} == {
        name: repr(rows) for name, rows in before.items()
    }
    assert sum(one.read for one in run.derived()) == 0


def test_tables_can_be_extracted_by_their_keys(shop):
    *_, run = shop
    captured = read_captured(run.shop)
    assert captured["by_composite"].key == ("Line, No.", "tenant")
    assert captured["by_nothing"].key == ()
    assert "measured" not in captured


def test_catalog_of_a_shop_that_does_not_answer_is_told():
    with pytest.raises(Exception, match="The shop's catalog cannot be read"):
        stored.shop_catalog("host=127.0.0.1 port=1 connect_timeout=1")


def test_second_reader_reads_every_table_by_its_name(shop):
    lake, _, _, _, _ = shop
    ask = lambda query: list(LakeSql(lake, memory_mb=512).ask(query).rows())  # noqa: E731
    (row,) = ask("select a_numeric, a_timestamp, a_bytea, some_texts from every_type where id = 2")
    (own,) = (row for row in live(lake, "every_type") if row["id"] == 2)
    assert row == (own["a_numeric"], own["a_timestamp"], own["a_bytea"], own["some_texts"])
    assert ask("select count(*) from silver.by_composite") == [(3,)]
    assert ask("select count(*) from by_composite_history") == [(3,)]
    assert ask('select count(*) from silver."public.users_history"') == [(1,)]
    assert ask("select silver from contracts where entity = 'users_history'") == [
        ("public.users_history",)
    ]
    with pytest.raises(QueryError, match=r"Did you mean silver\.by_composite\?"):
        ask("select * from silver.by_composites")
