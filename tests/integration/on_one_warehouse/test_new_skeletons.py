"""What `./pipeline new` writes works as it is: facts of all entities, contracts of any table."""

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from batch.contracts import skeleton, stored
from batch.contracts.skeleton import NAME, entity_of, file_of
from batch.reconcile.history import Examples
from batch.reconcile.sums import compare_sums
from batch.reconcile.warehouse_rows import read_rows
from batch.warehouse import marts, scripts
from batch.warehouse.entities import POSTGRES_TYPES, EntityTable
from batch.warehouse.entity_schema import entity_sql
from batch.warehouse.marts import mart
from batch.warehouse.migrate import migrate
from batch.warehouse.skeleton import fact_of, folder_of, new_fact
from cli.__main__ import app
from connectors.shop_catalog import read_catalog
from lakehouse.contracts import ENTITIES, Type
from lakehouse.errors import WrongArgumentError
from lakehouse.postgres import copy_frames
from lakehouse.settings import ROOT
from tests.integration.on_one_warehouse.test_foreign_shop import foreign_database
from tests.unit.test_add_a_table import QUOTED, SHOWN, assert_quotes, source_of
from tests.unit.test_new_mart import WITH_DAYS
from tests.warehouse import MemorySilver, load_warehouse, new_warehouse
from tests.warehouse_history import RandomShop

pytestmark = pytest.mark.integration


@pytest.fixture
def made(warehouse_server, tmp_path, monkeypatch):
    """A warehouse, and a copy of its SQL files to add to."""
    with new_warehouse(warehouse_server) as found:
        shutil.copytree(scripts.FOLDER, tmp_path / "sql")
        monkeypatch.setattr(scripts, "FOLDER", tmp_path / "sql")
        yield found


def findings(warehouse):
    with psycopg.connect(warehouse.dsn) as connection:
        reports = list(compare_sums(connection, Examples(limit=3), is_published=True))
    return {one.table: one.findings for one in reports if "fact_new_" in one.table}


def test_fact_of_each_entity_loads_and_reconciles_as_it_was_written(made):
    for entity in WITH_DAYS:
        name = f"fact_new_{entity}"
        made_of = new_fact(name, entity).files
        folder_of(name).mkdir()
        for file, text in made_of.items():
            (folder_of(name) / file).write_text(text)
    marts._read.cache_clear()
    migrate(made.dsn)
    silver = MemorySilver()
    for commit in RandomShop(5).commits(12):
        silver.commit(**commit)
        load_warehouse(made.dsn, silver)
    found = findings(made)
    assert set(found) == {f"mart.fact_new_{entity}" for entity in WITH_DAYS}
    assert {table: one.faults for table, one in found.items() if not one.is_exact} == {}
    assert all(one.rows > 2 for one in found.values())
    # As another fact has them, which looks the versions up by the same instant.
    (differs,) = made.query(
        "select count(*) from mart.fact_new_interactions as n "
        "full join mart.fact_user_interactions as f using (interaction_id) "
        "where (n.customer_key, n.product_key) is distinct from (f.customer_key, f.product_key)"
    )
    assert differs == (0,)

    made.execute("update mart.fact_new_returns set version = version + 1")
    assert not findings(made)["mart.fact_new_returns"].is_exact


def test_contract_of_any_table_with_an_integer_key_makes_tables_and_a_fact(made, warehouse_server):
    with foreign_database(warehouse_server) as (_, shop), psycopg.connect(made.dsn) as connection:
        shop.execute("alter table every_type add happened_at timestamptz not null default now()")
        catalog = read_catalog(shop)
        done = []
        for table in filter(NAME.fullmatch, catalog):
            try:
                entity = entity_of(table, catalog)
            except WrongArgumentError:
                continue
            own = EntityTable(
                name=table, silver=entity.silver, entity=entity, key=(entity.key,),
                is_history=False,
            )  # fmt: skip
            connection.execute(entity_sql(own))
            done.append((table, bool(entity.derived)))
            if not entity.derived:
                continue
            files = fact_of(f"fact_{table}", entity, mart().dimensions).files
            connection.execute(files["table.sql"])
            for name, like in ((f"affected_{table}", f"entity.{table}"),
                               (f"new_{table}", f"mart.fact_{table}")):  # fmt: skip
                connection.execute(f"create temporary table {name} (like {like})")
            connection.execute(files["load.sql"])
        connection.rollback()
    assert len(done) > 10
    assert ("every_type", True) in done


def test_values_of_all_types_are_the_same_in_the_warehouse(made):
    instant = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)
    first, last = datetime(1, 1, 3), datetime(9999, 12, 30, 23, 59, 59, 999_999)  # noqa: DTZ001
    values = {
        Type.TEXT: ['a "b", c', None, ""],
        Type.INTEGER: [-(2**63), None, 2**63 - 1],
        Type.CENTS: [-1, None, 1],
        Type.RATE: [1, None, 10**14],
        Type.DEGREES: [-0.1, None, 1e-300],
        Type.BOOLEAN: [True, None, False],
        Type.TIMESTAMP: [instant, None, first.replace(tzinfo=UTC)],
        Type.DATE: [date(1, 1, 1), None, date(9999, 12, 31)],
        Type.DECIMAL: [Decimal("-9999999.999"), None, Decimal("0.001")],
        Type.FLOAT: [float("inf"), None, 0.1],
        Type.WALL_CLOCK: [first, None, last],
        Type.TIME: ["00:00:00.000000", None, "24:00:00.000000"],
        Type.OPAQUE: ["(1,é)", None, ""],
    }
    assert set(values) == set(POSTGRES_TYPES)
    frame = pl.DataFrame({str(kind): given for kind, given in values.items()}, strict=False)
    columns = [SQL("{} {}").format(Identifier(kind), SQL(POSTGRES_TYPES[kind])) for kind in values]
    with psycopg.connect(made.dsn, options="-c timezone=Asia/Tokyo") as connection:
        table = Identifier("pg_temp", "of_all_types")
        made_of = SQL(", ").join(columns)
        connection.execute(SQL("create temporary table of_all_types ({})").format(made_of))
        copy_frames(connection, table, frame.columns, [frame])
        assert_frame_equal(read_rows(connection, table, frame.schema), frame)


def test_guide_shows_the_contract_that_the_shops_catalog_gives(
    warehouse_server, tmp_path, monkeypatch
):
    (command,) = (line for line in SHOWN if line.startswith("./pipeline new entity"))
    others = {name: entity for name, entity in ENTITIES.items() if name != "returns"}
    for module in (skeleton, stored):
        monkeypatch.setattr(module, "ENTITIES", others)
    monkeypatch.setattr(skeleton, "file_of", lambda table: file_of(table, tmp_path))
    with foreign_database(warehouse_server) as (dsn, shop):
        for table in ("orders", "order_lines"):
            shop.execute(f"drop table if exists {table} cascade")
            shop.execute(f"create table {table} ({table[:-1]}_id bigint primary key)")
        shop.execute((ROOT / "producers" / "oltp" / "returns.sql").read_bytes())
        monkeypatch.setattr("lakehouse.connections.shop", lambda _role: dsn)
        done = CliRunner().invoke(app, command.split()[1:])
    assert done.exit_code == 0, done.output
    (block,) = (one for one in QUOTED if source_of(one) == "lakehouse/contracts/shop/")
    assert_quotes(block, (tmp_path / "returns.yaml").read_text())
