"""Loading the warehouse: any cut gives the same tables, all of a load is there or none."""

import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from batch.warehouse import bulk
from batch.warehouse.checks import FailedCheckError
from batch.warehouse.entities import TABLES
from batch.warehouse.marts import mart
from batch.warehouse.source import Silver
from batch.warehouse.views import refresh_views
from lakehouse.errors import BusyError, StopPipelineError
from lakehouse.settings import ROOT
from tests.warehouse import (
    LIMIT,
    MemorySilver,
    computed_into,
    load_warehouse,
    new_warehouse,
    rebuild_warehouse,
)
from tests.warehouse_history import RandomShop, silver_after

pytestmark = pytest.mark.integration

LOADER = """
import pickle, sys
from tests.warehouse import load_warehouse
with open(sys.argv[2], "rb") as file:
    silver = pickle.load(file)
print("loading", flush=True)
load_warehouse(sys.argv[1], silver)
"""
ORDER = {"orders": [{"order_id": 1}], "order_lines": [{"order_line_id": 1, "order_id": 1}]}
LOCK = "select pg_advisory_lock(hashtext('warehouse'), hashtext('load'))"


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 4))]
)
def test_loads_in_random_cuts_equal_one_load_and_one_rebuild(seed, warehouse, warehouse_server):
    commits = RandomShop(seed).commits(8)
    cuts = random.Random(seed)
    silver = MemorySilver()
    for commit in commits:
        silver.commit(**commit)
        if cuts.random() < 0.7:
            load_warehouse(warehouse.dsn, silver)
    load_warehouse(warehouse.dsn, silver)
    by_and_by = warehouse.contents()
    with new_warehouse(warehouse_server) as other:
        load_warehouse(other.dsn, silver_after(commits))
        at_once = other.contents()
    for table, rows in at_once.items():
        assert by_and_by[table] == rows, table
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == by_and_by


def test_rebuild_repairs_what_was_damaged(warehouse):
    silver = silver_after(RandomShop(11).commits(6))
    load_warehouse(warehouse.dsn, silver)
    right = warehouse.contents()
    for damage in (
        "delete from entity.orders where order_id % 2 = 0",
        "update mart.fact_transactions set net_revenue_cents = net_revenue_cents + 1",
        "delete from mart.fact_stocks where product_id = 1",
        "delete from mart.daily_sales",
        "update mart.dim_products set category = 'Lost' where product_key >= 0",
        "delete from mart.fact_user_interactions where interaction_id % 2 = 0",
    ):
        warehouse.execute(damage)
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == right


def test_table_filled_in_bulk_has_the_same_rows_keys_and_indexes(warehouse, monkeypatch):
    shape = (
        "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint "
        "where connamespace in ('mart'::regnamespace, 'entity'::regnamespace) union all "
        "select tablename, indexname, indexdef from pg_indexes where schemaname in "
        "('mart', 'entity') order by 1, 2, 3"
    )
    silver = silver_after(RandomShop(13).commits(6))
    load_warehouse(warehouse.dsn, silver)
    rows, keys = warehouse.contents(), warehouse.query(shape)
    filled = [f"entity.{table.name}" for table in TABLES]
    filled += [f"mart.{fact.name}" for fact in mart().facts]
    filled += [f"mart.{table.name}" for table in mart().sums if not table.by_difference]
    emptied = [name for name in filled if rows[name]]
    warehouse.execute(f"truncate {', '.join(emptied)}")
    monkeypatch.setattr(bulk, "MANY_ROWS", 0)
    dropped, run = [], bulk.run

    def noting(connection, statement, *parts):
        if statement.startswith("alter table {} drop"):
            dropped.append(parts[0].as_string(None).replace('"', ""))
        return run(connection, statement, *parts)

    monkeypatch.setattr(bulk, "run", noting)
    rebuild_warehouse(warehouse.dsn, silver)
    # What is computed without a row, such as cancellations of a shop without any, may be, too.
    assert {*emptied} <= {*dropped} <= {*filled}
    assert warehouse.contents() == rows
    assert warehouse.query(shape) == keys


def test_first_load_in_bulk_equals_one_row_by_row(warehouse, warehouse_server, monkeypatch):
    silver = silver_after(RandomShop(14).commits(6))
    load_warehouse(warehouse.dsn, silver)
    monkeypatch.setattr(bulk, "MANY_ROWS", 0)
    computed = computed_into(monkeypatch)
    with new_warehouse(warehouse_server) as other:
        load_warehouse(other.dsn, silver)
        assert other.contents() == warehouse.contents()
    # Directly, where the fact has rows.
    assert computed["fact_transactions"] == ("v", True)
    assert {computed[f"fact_{name}"] for name in ("payments", "stocks")} == {("v", True)}


def test_lines_alone_may_make_a_first_load_large(warehouse, monkeypatch):
    lines = [{"order_line_id": number, "order_id": 1} for number in (1, 2, 3)]
    monkeypatch.setattr(bulk, "MANY_ROWS", 2)
    computed = computed_into(monkeypatch)
    load_warehouse(warehouse.dsn, silver_after([{**ORDER, "order_lines": lines}]))
    assert computed["fact_transactions"] == ("v", True)
    assert computed["fact_payments"] == ("r", False)


def test_readers_of_a_warehouse_with_rows_do_not_wait_while_a_fact_is_computed(
    warehouse, monkeypatch
):
    silver = silver_after(RandomShop(14).commits(6))
    load_warehouse(warehouse.dsn, silver)
    rows = warehouse.contents()
    warehouse.execute("truncate mart.fact_transactions")
    monkeypatch.setattr(bulk, "MANY_ROWS", 0)
    computed = computed_into(monkeypatch)
    rebuild_warehouse(warehouse.dsn, silver)
    assert {*computed.values()} == {("r", False)}
    assert warehouse.contents() == rows


def test_rebuild_of_what_is_right_writes_no_row(warehouse):
    silver = silver_after(RandomShop(15).commits(6))
    load_warehouse(warehouse.dsn, silver)
    tables = [f"entity.{table.name}" for table in TABLES]
    sums = [table for table in mart().sums if not table.by_difference]
    tables += [f"mart.{table.name}" for table in (*mart().facts, *sums)]

    def places():
        return {
            name: sorted(warehouse.query(f"select xmin::text, ctid::text from {name}"))
            for name in tables
        }

    before = places()
    rebuild_warehouse(warehouse.dsn, silver)
    assert places() == before


def test_changed_line_is_updated_beside_its_old_state_without_its_indexes(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    place = "select tableoid::regclass::text, (ctid::text::point)[0] from mart.fact_transactions"
    before = warehouse.query(place)
    silver.commit(orders=[{"order_id": 1, "status": "delivered"}])
    load_warehouse(warehouse.dsn, silver)
    assert warehouse.query(place) == before
    options = "select reloptions from pg_class where oid = %s::regclass"
    assert warehouse.query(options, before[0][0]) == [(["fillfactor=90"],)]
    assert warehouse.query("select status from mart.fact_transactions") == [("delivered",)]
    statistics = "select pg_stat_force_next_flush(), pg_stat_get_tuples_hot_updated(%s::regclass)"
    assert warehouse.query(statistics, before[0][0])[0][1] == 1


def test_feed_that_is_gone_means_reading_all(warehouse):
    commits = RandomShop(12).commits(6)
    silver = silver_after(commits[:3])
    load_warehouse(warehouse.dsn, silver)
    for commit in commits[3:]:
        silver.commit(**commit)
    for source in silver.values():
        source.feed_from = 10**6
    report = load_warehouse(warehouse.dsn, silver)
    assert all(table.is_whole for table in report.tables)
    found = warehouse.contents()
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == found


def test_table_recreated_is_read_whole_and_what_it_lacks_goes(warehouse):
    silver = silver_after([{"orders": [{"order_id": 1}, {"order_id": 2}]}])
    load_warehouse(warehouse.dsn, silver)
    again = silver_after([{"orders": [{"order_id": 2, "_offset": 1}]}])
    report = load_warehouse(warehouse.dsn, again)
    orders = next(table for table in report.tables if table.table == "orders")
    assert (orders.is_whole, orders.rows_changed) == (True, 1)
    assert warehouse.rows("entity.orders", ["order_id"]) == [{"order_id": 2}]


def test_nothing_new_does_nothing(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    before = warehouse.query("select load_id from etl.load")
    assert load_warehouse(warehouse.dsn, silver).tables == ()
    assert warehouse.query("select load_id from etl.load") == before


def test_what_is_not_given_stays_as_it_is(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    silver.commit(orders=[{"order_id": 2}])
    only = Silver({"cleaned_sales": silver["cleaned_sales"]}, silver.counts)
    load_warehouse(warehouse.dsn, only)
    assert len(warehouse.rows("entity.orders")) == 2
    assert len(warehouse.rows("mart.fact_transactions")) == 1


def test_table_without_a_place_here_is_refused(warehouse):
    with pytest.raises(StopPipelineError, match="no table for silver's nonsense"):
        load_warehouse(warehouse.dsn, Silver({"nonsense": MemorySilver()["cleaned_sales"]}, None))


def test_row_that_does_not_fit_stops_the_load_and_is_named(warehouse):
    silver = silver_after([{"orders": [{"order_id": 1, "status": None}]}])
    with pytest.raises(StopPipelineError, match="status"):
        load_warehouse(warehouse.dsn, silver)
    assert warehouse.rows("entity.orders") == []


def test_watermark_tells_what_is_beyond_the_warehouse(warehouse):
    silver = silver_after([{"orders": [{"order_id": 1, "_offset": 41}], "customers": [{}]}])
    load_warehouse(warehouse.dsn, silver)
    watermarks = warehouse.query("select entity, topic_id, epoch, partition, last_offset "
                            "from etl.watermark")  # fmt: skip
    # Silver's history of the customers has not come as far as their current rows.
    assert watermarks == [("orders", "orders", 0, 0, 41)]
    beyond = "select etl.is_beyond_warehouse('orders', %s, %s, %s, %s)"
    asked = {("orders", 0, 0, 41): False, ("orders", 0, 0, 42): True, ("orders", 0, 1, 0): True,
             ("orders", 1, 0, 0): True, ("older", -1, 3, 99): False}  # fmt: skip
    assert {at: warehouse.query(beyond, *at)[0][0] for at in asked} == asked


def test_watermark_moves_though_no_row_does(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    silver["cleaned_sales"].version += 1
    silver["cleaned_sales"].last_offset = 99
    load_warehouse(warehouse.dsn, silver)
    watermarks = warehouse.query("select last_offset from etl.watermark where entity = 'orders'")
    assert watermarks == [(99,)]


def test_dates_are_whole_years_of_the_data(warehouse):
    silver = silver_after([{"interactions": [{"occurred_at": datetime(2024, 2, 29, tzinfo=UTC)}]}])
    load_warehouse(warehouse.dsn, silver)
    days = "select count(*), min(date_key)::text, max(date_key)::text from mart.dim_dates"
    assert warehouse.query(f"{days} where year > 1") == [(366, "2024-01-01", "2024-12-31")]
    leap_day = warehouse.query("select quarter, iso_week, weekday_name, is_weekend "
                               "from mart.dim_dates where date_key = '2024-02-29'")  # fmt: skip
    assert leap_day == [(1, 9, "Thursday", False)]


def test_failed_check_leaves_the_warehouse_as_it_was_and_says_why(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    before = warehouse.contents()
    silver.commit(orders=[{"order_id": 1, "ship_city": "elsewhere"}])
    silver.counts.add(seen=10, quarantined=5)
    says = r"quarantine_share.*0\.5.*0\.2.*CONSOLIDATION_QUARANTINE_MAX_SHARE=1 ./pipeline"
    with pytest.raises(FailedCheckError, match=says):
        load_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == before
    assert outcomes(warehouse) == [("published", None, 0), ("stopped", 0.5, 1)]


def outcomes(warehouse, check="quarantine_share"):
    return warehouse.query(
        "select r.outcome, r.quarantine_share, c.offending_rows from etl.load as r "
        "inner join etl.check_result as c on r.load_id = c.load_id "
        "where c.check_name = %s order by r.finished_at",
        check,
    )


def test_bad_batch_stops_every_load_until_somebody_lets_it_pass(warehouse):
    silver = silver_after([ORDER])
    silver.counts.add(seen=10)
    load_warehouse(warehouse.dsn, silver)
    silver.commit(orders=[{"order_id": 1, "ship_city": "elsewhere"}])
    silver.counts.add(seen=10, quarantined=6)
    for load in (load_warehouse, load_warehouse, rebuild_warehouse):
        with pytest.raises(FailedCheckError, match=r"quarantine_share.*0\.6"):
            load(warehouse.dsn, silver)
    silver.commit(orders=[{"order_id": 2}])
    silver.counts.add(seen=10)
    with pytest.raises(FailedCheckError, match=r"quarantine_share.*0\.3"):
        load_warehouse(warehouse.dsn, silver)
    load_warehouse(warehouse.dsn, silver, limit=replace(LIMIT, max_share=1))
    assert len(warehouse.rows("entity.orders")) == 2
    silver.commit(orders=[{"order_id": 3}])
    silver.counts.add(seen=10, quarantined=1)
    load_warehouse(warehouse.dsn, silver)
    assert [one[:2] for one in outcomes(warehouse)] == [
        ("published", 0), *[("stopped", 0.6)] * 3, ("stopped", 0.3), ("published", 0.3),
        ("published", 0.1),
    ]  # fmt: skip


def test_share_of_few_changes_only_warns(warehouse):
    silver = silver_after([ORDER])
    silver.counts.add(seen=LIMIT.min_changes - 1, quarantined=LIMIT.min_changes - 1)
    report = load_warehouse(warehouse.dsn, silver)
    warned = {check.name for check in report.checks if check.offending_rows}
    assert "quarantine_share_of_few" in warned
    assert "quarantine_share" not in warned


def test_load_pinned_to_older_counts_takes_none_back(warehouse):
    silver = silver_after([ORDER])
    silver.counts.add(seen=100, quarantined=1)
    load_warehouse(warehouse.dsn, silver)
    silver.counts.seen = 50
    silver.commit(orders=[{"order_id": 2}])
    load_warehouse(warehouse.dsn, silver)
    assert warehouse.query("select seen, quarantined from etl.validated") == [(100, 1)]


def test_warning_is_kept_and_stops_nothing(warehouse):
    report = load_warehouse(warehouse.dsn, silver_after([{"order_lines": [{"order_id": 7}]}]))
    warned = {check.name for check in report.checks if check.offending_rows}
    assert warned == {"lines_have_orders"}
    assert len(warehouse.rows("mart.fact_transactions")) == 1


def test_second_load_says_who_holds_the_lock(warehouse):
    with psycopg.connect(warehouse.dsn, application_name="hourly") as other:
        other.execute(LOCK)
        with pytest.raises(BusyError, match=r"hourly \(session \d+.* holds the load"):
            load_warehouse(warehouse.dsn, silver_after([ORDER]), wait_seconds=0)
    assert warehouse.rows("entity.orders") == []


def test_second_load_waits_for_the_first(warehouse):
    told = []
    is_told = threading.Event()

    def tell(text):
        told.append(text)
        is_told.set()

    with psycopg.connect(warehouse.dsn, application_name="hourly") as other:
        other.execute(LOCK)
        waiting = threading.Thread(
            target=load_warehouse,
            args=(warehouse.dsn, silver_after([ORDER])),
            kwargs={"on_progress": tell},
        )
        waiting.start()
        assert is_told.wait(60)
        assert warehouse.rows("entity.orders") == []
    waiting.join(120)
    assert "waiting for hourly" in told[0]
    assert len(warehouse.rows("entity.orders")) == 1


def start_loader(warehouse, silver, folder):
    path = folder / "silver.pickle"
    path.write_bytes(pickle.dumps(silver))
    command = [sys.executable, "-c", LOADER, warehouse.dsn, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for_blocked(connection, process):
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    while connection.execute(query).fetchone() == (0,):
        assert process.poll() is None
        time.sleep(0.05)


def test_loader_killed_in_its_transaction_leaves_nothing(warehouse, tmp_path):
    commits = RandomShop(5).commits(6)
    silver = silver_after(commits[:3])
    load_warehouse(warehouse.dsn, silver)
    before = warehouse.contents()
    for commit in commits[3:]:
        silver.commit(**commit)
    with psycopg.connect(warehouse.dsn, autocommit=True) as watching:
        with psycopg.connect(warehouse.dsn) as blocking:
            # The sums come late: entities, dimensions and facts are written by then.
            blocking.execute("lock table mart.daily_behaviour in access exclusive mode")
            process = start_loader(warehouse, silver, tmp_path)
            wait_for_blocked(watching, process)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert warehouse.contents() == before
    load_warehouse(warehouse.dsn, silver)
    after = warehouse.contents()
    assert after != before
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == after


@pytest.mark.long
def test_loader_killed_at_random_moments_ends_the_same(warehouse, warehouse_server, tmp_path):
    commits = RandomShop(6).commits(5)
    moments = random.Random(6)
    silver = MemorySilver()
    for commit in commits:
        silver.commit(**commit)
        process = start_loader(warehouse, silver, tmp_path)
        process.stdout.readline()
        time.sleep(moments.random())
        process.kill()
        process.communicate()
    load_warehouse(warehouse.dsn, silver)
    with new_warehouse(warehouse_server) as other:
        load_warehouse(other.dsn, silver)
        assert warehouse.contents() == other.contents()


def test_views_left_behind_by_a_killed_loader_are_refreshed(warehouse):
    silver = silver_after([ORDER])
    load_warehouse(warehouse.dsn, silver)
    refresh_views(warehouse.dsn)
    assert warehouse.rows("mart.revenue_by_period")
    warehouse.execute("delete from mart.daily_sales")
    warehouse.execute("insert into etl.stale_view (view_name) values ('revenue_by_period')")
    assert load_warehouse(warehouse.dsn, silver).tables == ()
    assert refresh_views(warehouse.dsn) == ["revenue_by_period"]
    assert warehouse.rows("mart.revenue_by_period") == []
    assert warehouse.query("select view_name from etl.stale_view") == []


def test_reader_in_one_snapshot_never_sees_half(warehouse):
    commits = RandomShop(7).commits(5)
    silver = MemorySilver()
    stop = threading.Event()
    wrong = []

    def read():
        with psycopg.connect(warehouse.dsn, autocommit=True) as connection:
            while not stop.is_set():
                row = connection.execute(
                    "select (select count(*) from entity.order_lines), "
                    "(select count(*) from mart.fact_transactions), "
                    "(select coalesce(sum(units), 0) from mart.daily_sales), "
                    "(select coalesce(sum(units), 0) from mart.fact_transactions where counts)"
                ).fetchone()
                if row[0] != row[1] or row[2] != row[3]:
                    wrong.append(row)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        for commit in commits:
            silver.commit(**commit)
            load_warehouse(warehouse.dsn, silver)
    finally:
        stop.set()
        reading.join()
    assert wrong == []
