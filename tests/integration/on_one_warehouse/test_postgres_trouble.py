"""What Postgres itself says of data, rights, locks and a server that is away, sorted and told."""

import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from devtools.test_stack import free_ports
from lakehouse.errors import (
    AwayError,
    CrowdedError,
    DataRefusedError,
    FullError,
    NotAllowedError,
    PipelineError,
    SchemaDiffersError,
)
from lakehouse.postgres import explaining, trouble_of, warehouse_dsn
from lakehouse.trouble import Service, Trouble
from tests.warehouse import MemorySilver, load_warehouse

pytestmark = pytest.mark.integration
LONG = "(select string_agg(md5(i::text), '') from generate_series(1, 400) as i)"
KEYED = "create temp table t (a text primary key, b integer not null)"


def told(dsn, *statements):
    """The error of a session that does this."""

    def work():
        with (
            explaining(Service.WAREHOUSE, "It cannot be done"),
            psycopg.connect(dsn, autocommit=True) as connection,
        ):
            for statement in statements:
                connection.execute(statement)

    with pytest.raises(PipelineError) as raised:
        work()
    return raised.value


@pytest.mark.parametrize(
    ("statements", "kind", "words"),
    [
        pytest.param((KEYED, f"insert into t values ({LONG}, 1)"), DataRefusedError, "index row",
                     id="index-row-too-long"),
        pytest.param((KEYED, "insert into t values ('a', 1), ('a', 2)"), DataRefusedError,
                     "constraint t_pkey", id="unique"),
        pytest.param((KEYED, "insert into t values ('a', null)"), DataRefusedError, "column b",
                     id="not-null"),
        pytest.param(("select 3000000000::integer",), DataRefusedError, "out of range", id="range"),
        pytest.param(("select '9999999-01-01'::date",), DataRefusedError, "range", id="date"),
        pytest.param(("select * from etl.nowhere",), SchemaDiffersError, "nowhere", id="no-table"),
        pytest.param(("set statement_timeout = 50", "select pg_sleep(60)"), CrowdedError,
                     "statement timeout", id="too-slow"),
        pytest.param(("set role reader", "select 1 from etl.runs"), NotAllowedError, "reader|etl",
                     id="no-right"),
    ],
)  # fmt: skip
def test_what_postgres_refuses_is_sorted_and_names_it(statements, kind, words, warehouse):
    dsn = warehouse.dsn if "set role reader" not in statements else warehouse.reader_dsn
    error = told(dsn, *(one for one in statements if not one.startswith("set role")))
    assert type(error) is kind
    assert re.search(words, str(error))
    assert not re.search(r"Is it up|does not answer", str(error))


def test_lock_of_another_passes(warehouse):
    with psycopg.connect(warehouse.dsn) as other:
        other.execute("lock table etl.runs")
        error = told(warehouse.dsn, "set lock_timeout = 50", "select 1 from etl.runs")
    assert type(error) is CrowdedError


def test_temporary_files_beyond_their_quota_are_a_lack_of_room(warehouse_server):
    admin = warehouse_dsn(warehouse_server.warehouse, warehouse_server.secrets, role="admin")
    sort = "select count(*) from (select i from generate_series(1, 300000) as i order by -i) as x"
    error = told(admin, "set temp_file_limit = 1", "set work_mem = '64kB'", sort)
    assert type(error) is FullError


def test_lack_of_locks_names_the_setting_to_raise(warehouse):
    with psycopg.connect(warehouse.dsn, autocommit=True) as other:
        with pytest.raises(psycopg.errors.OutOfMemory):
            other.execute("select pg_advisory_lock(n) from generate_series(1, 1000000) as n")
        refused = [told(warehouse.dsn, "select pg_advisory_lock(0)") for _ in range(3)]
        other.execute("select pg_advisory_unlock_all()")
    for error in refused:
        assert type(error) is FullError
        assert "Raise max_locks_per_transaction" in str(error)


def test_login_that_finds_no_lock_is_a_lack_of_room():
    words = "connection failed: FATAL:  out of shared memory"
    assert trouble_of(psycopg.OperationalError(words)) is Trouble.FULL


def test_session_that_the_server_ends_is_away(warehouse):
    error = told(warehouse.dsn, "select pg_terminate_backend(pg_backend_pid())")
    assert type(error) is AwayError


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"port": None}, AwayError),
        ({"password": "another"}, NotAllowedError),
        ({"user": "nobody"}, NotAllowedError),
        ({"dbname": "nowhere"}, SchemaDiffersError),
    ],
    ids=["down", "password", "user", "database"],
)
def test_why_a_server_lets_nobody_in_is_told_by_its_words(change, kind, warehouse):
    given = {name: value or free_ports(1)[0] for name, value in change.items()}
    assert type(told(make_conninfo(warehouse.dsn, **given))) is kind


def test_too_many_connections_pass(warehouse, warehouse_server):
    admin = warehouse_dsn(warehouse_server.warehouse, warehouse_server.secrets, role="admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("alter role reader connection limit 0")
        try:
            assert type(told(warehouse.reader_dsn)) is CrowdedError
        finally:
            connection.execute("alter role reader connection limit -1")


def test_load_says_where_a_value_did_not_fit_and_stops(warehouse):
    warehouse.execute("create index too_narrow on entity.orders (ship_region)")
    silver = MemorySilver()
    text = warehouse.query(f"select {LONG}")[0][0]
    silver.commit(orders=[{"order_id": 1, "ship_region": text}])
    with pytest.raises(DataRefusedError, match=r"entity\.orders") as raised:
        load_warehouse(warehouse.dsn, silver)
    assert "Is it up" not in str(raised.value)
    assert warehouse.rows("entity.orders") == []
