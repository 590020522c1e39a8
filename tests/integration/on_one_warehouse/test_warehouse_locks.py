"""Somebody reads and does not end: what we do to the warehouse waits, and no chart behind it."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from threading import Event

import psycopg
import pytest

from batch.live import trim
from batch.warehouse import bulk, load, migrate
from batch.warehouse.views import refresh_views
from lakehouse.errors import RetryLaterError
from lakehouse.postgres import warehouse_dsn
from stack.doctor.warehouse import read_left_open
from stack.postgres.roles import STATEMENT_SECONDS, TRANSACTION_SECONDS
from tests.warehouse import MemorySilver, load_warehouse, rebuild_warehouse
from tests.warehouse_history import RandomShop, silver_after

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 120
SOON = 30  # the session that had the lock may end a moment after its connection
JULY = datetime(2026, 7, 4, 12, tzinfo=UTC)
MONTHS = {
    "fact_transactions": {"orders": [{"order_id": 9, "placed_at": JULY}],
                          "order_lines": [{"order_line_id": 9, "order_id": 9}]},
    "fact_payments": {"payments": [{"payment_id": 9, "created_at": JULY}]},
    "fact_user_interactions": {"interactions": [{"interaction_id": 9, "occurred_at": JULY}]},
    "fact_stocks": {"stock_movements": [{"movement_id": 9, "occurred_at": JULY}]},
}  # fmt: skip
"""By fact: the first row of a month that it has no partition for."""
HOLDER = r"session \d+ \(reader, \S+, in a transaction for [\d,]+ s, idle in transaction; "
KILL = r"select pg_terminate_backend\((\d+)\)"
STRONG = """
select distinct l.relation::regclass::text, l.mode
from pg_locks as l
inner join pg_class as c on l.relation = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where
    l.pid = pg_backend_pid()
    and l.locktype = 'relation'
    and n.nspname in ('mart', 'entity', 'resolved', 'live', 'etl')
    and l.mode = 'AccessExclusiveLock'"""


@contextmanager
def left_open(warehouse, statement):
    """An analyst's session that has asked something in a transaction, and went to lunch."""
    with psycopg.connect(warehouse.reader_dsn) as analyst:
        analyst.execute(statement)
        yield analyst


def chart(warehouse, table):
    """What a chart asks for, of which nobody would wait for more than some seconds."""
    with psycopg.connect(warehouse.reader_dsn, autocommit=True) as session:
        session.execute("set statement_timeout = '20s'")
        return session.execute(f"select count(*) from {table}").fetchone()[0]


@pytest.mark.parametrize(
    "fact",
    [
        fact if fact == "fact_transactions" else pytest.param(fact, marks=pytest.mark.long)
        for fact in MONTHS
    ],
)
def test_charts_answer_while_a_load_waits_for_a_reader(fact, warehouse):
    silver = MemorySilver()
    silver.commit(**RandomShop(1).commits(1)[0])
    load_warehouse(warehouse.dsn, silver)
    before = chart(warehouse, f"mart.{fact}")
    silver.commit(**MONTHS[fact])
    told = []
    with ThreadPoolExecutor(1) as pool:
        with left_open(warehouse, f"select count(*) from mart.{fact}"):
            loading = pool.submit(load_warehouse, warehouse.dsn, silver, on_progress=told.append)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not any(re.search(HOLDER, one) for one in told):
                assert not loading.done(), loading.result()
                assert time.monotonic() < deadline, told
                assert chart(warehouse, f"mart.{fact}") == before
            assert chart(warehouse, f"mart.{fact}") == before
        loading.result(PATIENCE_SECONDS)
    assert warehouse.query(f"select to_regclass('mart.{fact}_2026_07') is not null") == [(True,)]
    assert warehouse.query(f"select count(*) from mart.{fact}_2026_07") != [(0,)]


def test_a_load_gives_up_in_the_end_and_says_who_is_in_the_way_and_what_to_type(
    warehouse, warehouse_server
):
    silver = silver_after([{"orders": [{"order_id": 1}]}])
    load_warehouse(warehouse.dsn, silver)
    silver.commit(**MONTHS["fact_transactions"])
    watermarks = warehouse.query("select * from etl.watermark order by 1, 2, 3, 4")
    with left_open(warehouse, "select count(*) from mart.fact_transactions") as analyst:
        with pytest.raises(RetryLaterError, match=HOLDER) as refused:
            load_warehouse(warehouse.dsn, silver, wait_seconds=1)
        assert warehouse.query("select * from etl.watermark order by 1, 2, 3, 4") == watermarks
        assert chart(warehouse, "mart.fact_transactions") == 0
        (pid,) = re.findall(KILL, str(refused.value))
        assert int(pid) == analyst.info.backend_pid
        admin = warehouse_dsn(warehouse_server.warehouse, warehouse_server.secrets, role="admin")
        with psycopg.connect(admin) as session:
            session.execute(f"select pg_terminate_backend({pid})")
        load_warehouse(warehouse.dsn, silver)
        with pytest.raises(psycopg.OperationalError):
            analyst.execute("select 1")
    assert warehouse.query("select count(*) from mart.fact_transactions_2026_07") == [(1,)]


def test_what_readers_hold_does_not_hold_up_the_rest_of_a_load_nor_views_nor_a_trim(
    warehouse, monkeypatch
):
    """Of an empty fact, that it is filled without its indexes: it is filled with them then."""
    monkeypatch.setattr(bulk, "MANY_ROWS", 0)
    commits = RandomShop(3).commits(4)
    silver = silver_after(commits[:2])
    facts = ", ".join(f"(select count(*) from mart.{fact}) as {fact}" for fact in MONTHS)
    load_warehouse(warehouse.dsn, silver)
    for fact in ("payments", "stocks"):
        warehouse.execute(f"truncate mart.fact_{fact}")
    views = "select * from mart.geography, mart.customer_segments, mart.dim_products limit 1"
    with left_open(warehouse, f"select {facts}") as analyst:
        analyst.execute(views)
        rebuild_warehouse(warehouse.dsn, silver, wait_seconds=SOON)
        assert refresh_views(warehouse.dsn)
        trim(warehouse.dsn)
        assert chart(warehouse, "mart.fact_payments") > 0
    found = warehouse.contents()
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == found


@pytest.mark.parametrize("made", [load_warehouse, rebuild_warehouse], ids=["load", "rebuild"])
def test_no_load_ends_with_a_lock_that_keeps_readers_out(made, warehouse, monkeypatch):
    """Its transaction lasts as long as it takes: readers would wait all that time."""
    commits = RandomShop(4).commits(6)
    silver = silver_after(commits[:3])
    load_warehouse(warehouse.dsn, silver)
    for commit in commits[3:]:
        silver.commit(**commit)
    found, check = [], load.run_checks

    def run_checks(connection, *rest):
        found.append(connection.execute(STRONG).fetchall())
        return check(connection, *rest)

    monkeypatch.setattr(load, "run_checks", run_checks)
    made(warehouse.dsn, silver)
    assert found == [[]]


def test_a_migration_waits_for_readers_without_holding_up_others(warehouse, monkeypatch):
    name = "mart/live_freshness/view.sql"
    warehouse.execute("update etl.migration set checksum = '' where name = %s", name)
    monkeypatch.setattr(migrate, "WAIT_SECONDS", 0)
    with left_open(warehouse, "select state from mart.live_freshness"):
        with pytest.raises(RetryLaterError, match=rf"{name} failed.*{HOLDER}"):
            migrate.migrate(warehouse.dsn)
        assert chart(warehouse, "mart.live_freshness") == 1
    assert name in migrate.migrate(warehouse.dsn)


def test_who_has_left_a_transaction_open_is_told(warehouse):
    with left_open(warehouse, "select 1") as analyst:
        (told,) = read_left_open(warehouse.dsn, seconds=0)
        assert re.match(HOLDER, told)
        assert re.findall(KILL, told) == [str(analyst.info.backend_pid)]
        assert set(read_left_open(warehouse.dsn, seconds=0).values()) == {"reader"}
        assert read_left_open(warehouse.dsn, seconds=3600) == {}
    assert read_left_open(warehouse.dsn, seconds=0) == {}


def test_readers_may_leave_no_transaction_open_for_ever(warehouse):
    with psycopg.connect(warehouse.reader_dsn) as reader:
        for name, seconds in (
            ("statement_timeout", STATEMENT_SECONDS),
            ("transaction_timeout", TRANSACTION_SECONDS),
            ("idle_in_transaction_session_timeout", TRANSACTION_SECONDS),
        ):
            wanted = reader.execute("select make_interval(secs => %s)", [seconds]).fetchone()
            shown = f"select current_setting('{name}')::interval"
            assert reader.execute(shown).fetchone() == wanted, name


FACTS = """
select c.relname from pg_class as c
where c.relkind = 'p' and c.relnamespace = 'mart'::regnamespace and c.relname like 'fact%'"""
YEARS, READERS = 20, 8


@pytest.mark.long
def test_twenty_years_of_months_and_eight_readers_leave_locks_for_a_rebuild(warehouse):
    silver = MemorySilver()
    silver.commit(**RandomShop(1).commits(1)[0])
    load_warehouse(warehouse.dsn, silver)
    months = [date(2000 + n // 12, n % 12 + 1, 1) for n in range(12 * YEARS)]
    with psycopg.connect(warehouse.dsn, autocommit=True) as owner:
        facts = [name for (name,) in owner.execute(FACTS)]
        for fact in facts:
            owner.execute("select etl.ensure_partitions(%s, %s)", [f"mart.{fact}", months])
    everything = "; ".join(f"select count(*) from mart.{fact}" for fact in facts)
    rebuilt = Event()

    def read(_number):
        done = 0
        with psycopg.connect(warehouse.reader_dsn, autocommit=True) as session:
            while not rebuilt.is_set() or not done:
                session.execute(f"begin; {everything}; commit")
                done += 1
        return done

    with ThreadPoolExecutor(READERS) as pool:
        reading = [pool.submit(read, number) for number in range(READERS)]
        try:
            rebuild_warehouse(warehouse.dsn, silver)
        finally:
            rebuilt.set()
        assert all(one.result() for one in reading)
