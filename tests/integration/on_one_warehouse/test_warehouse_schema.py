"""The warehouse's schema: migrations, agreement with the contracts, comments, keys, privileges."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import itemgetter

import psycopg
import pytest

from batch.warehouse import migrate as migrations
from batch.warehouse.comments import entity_comment
from batch.warehouse.entities import POSTGRES_TYPES, TABLES, is_required
from batch.warehouse.entity_schema import entity_sql
from batch.warehouse.marts import mart
from batch.warehouse.migrate import migrate
from batch.warehouse.scripts import FOLDER, scripts
from lakehouse.contracts import Column, Type
from lakehouse.contracts.schemas import VALIDITY
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import warehouse_dsn
from stack.postgres.roles import add_database
from tests.warehouse import load_warehouse, new_database
from tests.warehouse_history import RandomShop, silver_after

pytestmark = pytest.mark.integration

COLUMNS = """
select
    a.attname,
    format_type(a.atttypid, a.atttypmod),
    a.attnotnull,
    col_description(a.attrelid, a.attnum)
from pg_attribute as a
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum"""
WITHOUT_COMMENT = """
select n.nspname || '.' || c.relname || coalesce('.' || a.attname, '')
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join lateral (
    select b.attnum, b.attname from pg_attribute as b
    where b.attrelid = c.oid and b.attnum > 0 and not b.attisdropped
    union all
    select 0, null
) as a on true
where
    n.nspname in ('entity', 'mart', 'etl', 'live', 'resolved')
    and c.relkind in ('r', 'p', 'v', 'm')
    and not c.relispartition
    and coalesce(
        case when a.attnum = 0 then obj_description(c.oid, 'pg_class')
        else col_description(c.oid, a.attnum) end, '') = ''"""


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_entity_table_agrees_with_its_contract(table, warehouse):
    fields = [
        (f.name, POSTGRES_TYPES[f.type], is_required(f, table.entity)) for f in table.entity.fields
    ]
    coordinate = [("_topic_id", "text", True), ("_epoch", "integer", True),
                  ("_partition", "integer", True), ("_offset", "bigint", True)]  # fmt: skip
    instant = POSTGRES_TYPES[Type.TIMESTAMP]
    validity = [(name, instant, name == "valid_from_at") for name in VALIDITY.names]
    expected = [*fields, *coordinate, *(validity if table.is_history else [])]
    found = warehouse.query(COLUMNS, f"entity.{table.name}")
    assert [row[:3] for row in found] == expected
    assert [row[3] for row in found] == [entity_comment(table, row[0]) for row in found]


GENERATED = """
select
    n.nspname || '.' || c.relname,
    coalesce(pg_get_indexdef(c.oid), pg_get_viewdef(c.oid), ''),
    array(
        select concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0
        order by a.attnum
    )
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname in ('entity', 'live', 'resolved')
    and (c.relname ~ any(%s) or n.nspname = 'resolved')
    and c.relkind in ('r', 'i', 'v')
order by 1"""
NAMES = [f"^(beyond_)?{table.name}" for table in TABLES]


def remake_entities(warehouse, tables=TABLES):
    with psycopg.connect(warehouse.dsn) as connection:
        connection.execute("set client_min_messages = warning")
        for table in tables:
            connection.execute(entity_sql(table))


def test_generated_tables_are_those_that_the_migrations_made(warehouse):
    """Migrations made them before there was a generator: both kinds of warehouse are the same."""
    migrated = warehouse.query(GENERATED, NAMES)
    remake_entities(warehouse)
    assert warehouse.query(GENERATED, NAMES) == migrated
    for table in TABLES:
        for schema in ("entity", "live"):
            warehouse.execute(f"drop table if exists {schema}.{table.name} cascade")
    remake_entities(warehouse)
    assert warehouse.query(GENERATED, NAMES) == migrated
    assert len(migrated) > 4 * len(TABLES)


def test_contract_that_changes_changes_its_tables(warehouse):
    [payments] = (table for table in TABLES if table.name == "payments")
    entity = payments.entity
    method = entity.column("method")
    new = Column(name="fee_cents", type=Type.CENTS, description="Fee.", required=True)
    columns = (*(c for c in entity.columns if c is not method), new)
    changed = replace(payments, entity=replace(entity, columns=columns))
    remake_entities(warehouse, [changed])
    for schema in ("entity", "live", "live.beyond_", "resolved"):
        prefix = schema if "." in schema else f"{schema}."
        found = {row[0]: row[1:3] for row in warehouse.query(COLUMNS, f"{prefix}payments")}
        # What the contract no longer has stays, and asks for no value.
        assert found["method"] == ("text", False), schema
        assert found["fee_cents"] == ("bigint", False), schema
    again = replace(new, type=Type.TEXT)
    changed = replace(payments, entity=replace(entity, columns=(*entity.columns, again)))
    with pytest.raises(psycopg.errors.RaiseException, match=r"fee_cents of .* is bigint, and"):
        remake_entities(warehouse, [changed])


def test_every_table_and_column_has_a_comment(warehouse):
    assert warehouse.query(WITHOUT_COMMENT) == []


def test_migrations_run_once_and_in_order(warehouse):
    applied = warehouse.query(
        "select name from etl.migration where name like 'migrations/%' order by applied_at"
    )
    assert [name for (name,) in applied] == [name for name, _ in scripts("migrations/*.sql")]
    assert migrate(warehouse.dsn) == []


@pytest.fixture
def own_scripts(tmp_path, monkeypatch):
    """Migrations of this test's own, in place of the project's."""
    folder = tmp_path / "migrations"
    folder.mkdir()

    def read(pattern):
        return [(f"migrations/{p.name}", p.read_bytes()) for p in sorted(tmp_path.glob(pattern))]

    monkeypatch.setattr(migrations, "scripts", read)
    monkeypatch.setattr(migrations, "_repeatable", list)
    monkeypatch.setattr(migrations, "_missing_tables", lambda _connection: iter(()))
    return folder


@pytest.fixture
def empty_warehouse(warehouse_server):
    with new_database(warehouse_server, "test_migrations") as found:
        yield found


def test_changed_migration_is_refused(own_scripts, empty_warehouse):
    file = own_scripts / "0001_a.sql"
    file.write_text("create table etl.a (id bigint);")
    assert migrate(empty_warehouse.dsn) == ["migrations/0001_a.sql"]
    file.write_text("create table etl.a (id integer);")
    with pytest.raises(StopPipelineError, match=r"0001_a.sql was applied .* has changed since"):
        migrate(empty_warehouse.dsn)


def test_failing_migration_leaves_nothing_and_keeps_those_before(own_scripts, empty_warehouse):
    (own_scripts / "0001_a.sql").write_text("create table etl.a (id bigint);")
    broken = own_scripts / "0002_b.sql"
    broken.write_text("create table etl.b (id bigint); select nonsense;")
    with pytest.raises(StopPipelineError, match=r"0002_b.sql fails: .*nonsense"):
        migrate(empty_warehouse.dsn)
    there = "select to_regclass('etl.a') is not null, to_regclass('etl.b') is not null"
    assert empty_warehouse.query(there) == [(True, False)]
    broken.write_text("create table etl.b (id bigint);")
    assert migrate(empty_warehouse.dsn) == ["migrations/0002_b.sql"]


def test_changed_repeatable_is_applied_again(warehouse, monkeypatch):
    def read(pattern):
        for name, text in scripts(pattern):
            yield name, text + b"-- more\n" if name == "functions/version_key.sql" else text

    monkeypatch.setattr(migrations, "scripts", read)
    assert migrate(warehouse.dsn) == ["functions/version_key.sql", "comments"]


def test_facts_are_split_by_month_and_the_default_holds_the_unknown_day(warehouse):
    load_warehouse(warehouse.dsn, silver_after(RandomShop(3).commits(6)))
    split = warehouse.query(
        "select tableoid::regclass::text, to_char(date_key, '_YYYY_MM'), date_key = '0001-01-01' "
        "from mart.fact_transactions"
    )
    assert split
    for partition, month, is_unknown in split:
        assert partition.endswith("_default" if is_unknown else month)


def test_foreign_keys_hold(warehouse):
    load_warehouse(warehouse.dsn, silver_after(RandomShop(4).commits(6)))
    keys = warehouse.query(
        "select conrelid::regclass::text, confrelid::regclass::text, convalidated "
        "from pg_constraint where contype = 'f' and conparentid = 0 "
        "and connamespace = 'mart'::regnamespace"
    )
    pairs = set(map(itemgetter(0, 1), keys))
    facts = {"mart.fact_transactions": ("products", "customers"),
             "mart.fact_payments": ("customers",),
             "mart.fact_user_interactions": ("products", "customers"),
             "mart.fact_stocks": ("products",)}  # fmt: skip
    wanted = {(fact, f"mart.dim_{dim}") for fact, dims in facts.items() for dim in (*dims, "dates")}
    assert wanted <= pairs
    assert all(is_valid for *_, is_valid in keys)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        warehouse.execute("update mart.fact_transactions set customer_key = 123456789")


def test_reader_reads_the_warehouse_and_nothing_else(warehouse):
    load_warehouse(warehouse.dsn, silver_after(RandomShop(4).commits(2)))
    with psycopg.connect(warehouse.reader_dsn, autocommit=True) as reader:
        for table in ("fact_transactions", "dim_customers", "revenue_by_period", "daily_sales"):
            reader.execute(f"select count(*) from mart.{table}")
        # It begins read-only, which anybody may turn off: what it may do is what counts.
        reader.execute("set default_transaction_read_only = off")
        for statement in (
            "select * from entity.customers",
            "select * from etl.load",
            "insert into mart.dim_suppliers (supplier_key, name) values (5, 'x')",
            "delete from mart.fact_stocks",
            "create table mart.mine (id bigint)",
            "create schema mine",
            "create temporary table mine (id bigint)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_roles_of_the_warehouse_may_not_do_more_than_they_need(warehouse_server):
    found = warehouse_server
    with new_database(found, "test_roles") as made, psycopg.connect(made.dsn) as batch:
        query = "select rolsuper, rolcreatedb, rolcreaterole, rolreplication from pg_roles"
        rows = batch.execute(f"{query} where rolname in ('batch', 'reader')").fetchall()
        assert rows == [(False,) * 4] * 2


STRUCTURE = {
    "columns": "select c.relname, row_number() over (partition by c.oid order by a.attnum), "
    "a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
    "pg_get_expr(d.adbin, d.adrelid) "
    "from pg_class as c inner join pg_attribute as a on c.oid = a.attrelid "
    "left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum "
    "where c.relnamespace = 'mart'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 "
    "and not a.attisdropped order by 1, 2",
    "partitions": "select c.relname, c.relkind::text, pg_get_partkeydef(c.oid), "
    "pg_get_expr(c.relpartbound, c.oid) from pg_class as c "
    "where c.relnamespace = 'mart'::regnamespace and c.relkind in ('r', 'p') order by 1",
    "constraints": "select k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid) "
    "from pg_constraint as k where k.connamespace = 'mart'::regnamespace order by 1, 2",
    "indexes": "select indexdef from pg_indexes where schemaname = 'mart' order by 1",
}
"""What a table is, but for its rows and comments."""


def test_folders_create_what_the_migrations_create(warehouse, empty_warehouse):
    empty_warehouse.execute(scripts_of("migrations/0001_schemas.sql"))
    for table in mart().tables:
        empty_warehouse.execute(scripts_of(table.file("table.sql")))
    # Materialized views have indexes, which are not of tables.
    warehouse.execute("drop schema resolved cascade")
    for (view,) in warehouse.query("select matviewname from pg_matviews"):
        warehouse.execute(f"drop materialized view mart.{view}")
    for what, query in STRUCTURE.items():
        assert empty_warehouse.query(query) == warehouse.query(query), what
    for table in mart().dimensions:
        one = f"mart.{table.name}"
        made = sorted(empty_warehouse.query(f"select t::text from {one} as t"))
        assert made == sorted(warehouse.query(f"select t::text from {one} as t")) != []


def scripts_of(name):
    return (FOLDER / name).read_text()


def test_every_file_has_its_place():
    known = {
        "migrations", "entity", "functions", "views", "grants", "mart", "checks", "etl", "live",
    }  # fmt: skip
    assert {path.name for path in FOLDER.iterdir()} == known


def test_programs_that_make_their_databases_at_once_do_not_hinder_each_other(warehouse_server):
    dsn = warehouse_dsn(warehouse_server.warehouse, warehouse_server.secrets, role="admin")
    names = [f"program_{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: add_database(dsn, name, password="x"), names * 5))  # noqa: S106
    with psycopg.connect(dsn, dbname="postgres") as connection:
        found = connection.execute(
            "select d.datname from pg_database as d where d.datname like 'program%' order by 1"
        )
        assert [name for (name,) in found] == names
