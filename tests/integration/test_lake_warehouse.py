"""The warehouse and the lake's maintenance: the versions it reads, its lock, its metrics."""

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from batch.catalogue import warehouse_metrics
from batch.lock import only_one
from batch.maintenance import Need, between_consolidations, warehouse_needs
from batch.warehouse.migrate import migrate
from lakehouse.errors import BusyError, RetryLaterError
from lakehouse.postgres import warehouse_dsn
from tests.stacks import tenant

pytestmark = pytest.mark.integration
SOON = 30  # the session that had the lock may end a moment after its connection
LOADED_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def stack():
    with tenant() as stack:
        stack.up("warehouse")
        yield stack


@pytest.fixture(scope="module")
def away(stack):
    """Nobody listens there."""
    nowhere = stack.with_settings(WAREHOUSE_PORT=1)
    return warehouse_dsn(nowhere.warehouse, nowhere.secrets, role="batch")


@pytest.fixture(scope="module")
def dsn(stack):
    """A warehouse with a little in it."""
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="batch")
    migrate(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into etl.silver_version values ('cleaned_sales', 'id', 12)")
        connection.execute(
            "insert into etl.watermark values ('orders', 't', 0, 0, 9), ('orders', 't', 0, 1, 4)"
        )
        connection.execute(
            "insert into etl.load values (gen_random_uuid(), 'load', 'published', 0, 1, %s, %s)",
            [LOADED_AT, LOADED_AT],
        )
        connection.execute(
            "insert into entity.suppliers select n, 'n', 'c', 'e', 'p', 'FR', 'c', 1, now(), now(),"
            " 1, 't', 0, 0, n from generate_series(1, 7) as n"
        )
    return dsn


def test_warehouse_without_schemas_needs_nothing_and_has_no_tables(stack):
    admin = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database without_schemas")
        bare = make_conninfo(admin, dbname="without_schemas")
        found = warehouse_needs(bare), warehouse_metrics(bare)
        connection.execute("drop database without_schemas with (force)")
    assert found == ([], [])


def test_warehouse_says_which_versions_it_has_read(dsn):
    need = Need(by="the warehouse", table="cleaned_sales", table_id="id", version=12)
    assert warehouse_needs(dsn) == [need]


def test_warehouse_that_does_not_answer_has_not_said_that_it_needs_nothing(away):
    with pytest.raises(RetryLaterError, match=r"has read cannot be queried.*does not answer"):
        warehouse_needs(away)


def test_metrics_count_rows_and_know_the_last_load(dsn):
    found = {str(one.table): one for one in warehouse_metrics(dsn)}
    suppliers, orders = found["entity.suppliers"], found["entity.orders"]
    assert (suppliers.rows, suppliers.is_estimate) == (7, False)
    assert suppliers.bytes > 0
    assert suppliers.newest_at == LOADED_AT
    assert (orders.position, suppliers.position) == (15, None)


def test_metrics_have_partitioned_tables_once_and_whole(dsn):
    names = [str(one.table) for one in warehouse_metrics(dsn)]
    assert names.count("mart.fact_transactions") == 1
    assert not [name for name in names if name.startswith("mart.fact_transactions_")]


def test_view_that_was_never_filled_has_no_rows_to_tell(dsn):
    with psycopg.connect(dsn) as connection:
        connection.execute("create materialized view mart.unfilled as select 1 with no data")
    (one,) = [one for one in warehouse_metrics(dsn) if one.table.name == "unfilled"]
    assert (one.rows, one.is_estimate) == (None, True)


def test_maintenance_keeps_out_of_a_consolidation(dsn):
    with (
        only_one(dsn, "consolidation", wait_seconds=SOON),
        pytest.raises(BusyError, match="consolidation"),
        between_consolidations(dsn, wait_seconds=0),
    ):
        pytest.fail("compacted beside a consolidation")


def test_consolidation_waits_for_a_compaction(dsn):
    with (
        between_consolidations(dsn),
        pytest.raises(BusyError, match="maintenance"),
        only_one(dsn, "consolidation", wait_seconds=0),
    ):
        pytest.fail("consolidated beside a compaction")


def test_maintenance_does_not_need_a_warehouse(away):
    with between_consolidations(away):
        pass


def test_parts_of_a_consolidation_continue_side_by_side(dsn):
    with (
        only_one(dsn, "orders", part="silver orders", wait_seconds=SOON),
        only_one(dsn, "products", part="silver products", wait_seconds=SOON),
        pytest.raises(BusyError, match=r"(?s)orders.*holds the consolidation of silver orders"),
        only_one(dsn, "orders again", part="silver orders", wait_seconds=0),
    ):
        pytest.fail("one table was made twice at once")


def test_part_of_a_consolidation_and_a_whole_one_keep_each_other_out(dsn):
    with (
        only_one(dsn, "orders", part="silver orders", wait_seconds=SOON),
        pytest.raises(BusyError, match="orders"),
        only_one(dsn, "consolidation", wait_seconds=0),
    ):
        pytest.fail("consolidated beside a part of another consolidation")
    with (
        only_one(dsn, "rebuild", wait_seconds=SOON),
        pytest.raises(BusyError, match="rebuild"),
        only_one(dsn, "orders", part="silver orders", wait_seconds=0),
    ):
        pytest.fail("made a part beside a rebuild")
