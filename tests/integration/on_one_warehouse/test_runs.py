"""The record of runs, on a real warehouse: how each ends, also when its process is killed."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import psycopg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batch.runs import (
    Kind,
    StepwiseRun,
    forget,
    latest,
    numbered,
    recorded,
    recorded_step,
)
from batch.warehouse.lake_state import measure_lake
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import QUARANTINE, QUARANTINE_SCHEMA, silver_schema
from lakehouse.errors import StopPipelineError
from lakehouse.lake import LOSS_LEDGER_SCHEMA
from lakehouse.settings import ROOT
from lakehouse.version import code_version, contracts_version
from stack.superset.files import read_files
from tests.unit.lake_shop import NOON, TOPIC, add, lake_in, land, silver_rows
from tests.warehouse import MemorySilver, load_warehouse, new_database

pytestmark = pytest.mark.integration

HOLDER = """
import sys, time
from batch.runs import Kind, recorded
with recorded(sys.argv[1], kind=Kind.REPLAY, scope={"layer": "silver"}) as run:
    run.note(rows_read=7)
    print("holding", flush=True)
    time.sleep(600)
"""
SCOPE = {"layers": ["silver", "gold"], "entities": []}


def only(warehouse):
    (row,) = latest(warehouse.dsn)
    return row


def test_run_is_seen_while_it_continues_and_with_all_that_it_noted_afterwards(warehouse):
    with recorded(warehouse.dsn, kind=Kind.REBUILD, scope=SCOPE, who="me") as run:
        assert only(warehouse).outcome == "running"
        run.note(rows_read=3, details={"a": 1})
        assert only(warehouse).rows_read == 3
        run.note(rows_written=2, digest={"orders": {"before": None, "after": "x"}}, scope={"to": 9})
    row = only(warehouse)
    assert (row.run_id, row.kind, row.who, row.outcome) == (
        run.run_id,
        "rebuild",
        "me",
        "succeeded",
    )
    assert (row.rows_read, row.rows_written, row.message) == (3, 2, None)
    assert row.scope == {**SCOPE, "to": 9}
    assert row.digest == {"orders": {"before": None, "after": "x"}}
    assert (row.code_version, row.contract_version) == (code_version(), contracts_version())
    assert row.details == {"a": 1}
    assert row.finished_at >= row.started_at
    assert numbered(warehouse.dsn, row.run_number) == row


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(StopPipelineError("Fix it."), "Fix it.", id="ours"),
        pytest.param(ZeroDivisionError("x"), "ZeroDivisionError: x", id="a-mistake"),
        pytest.param(KeyboardInterrupt(), "interrupted", id="control-c"),
    ],
)
def test_run_that_fails_says_why_and_its_error_continues(warehouse, error, message):
    def fail():
        with recorded(warehouse.dsn, kind=Kind.REDRIVE, scope={}) as run:
            run.note(rows_read=1)
            raise error

    with pytest.raises(type(error)):
        fail()
    row = only(warehouse)
    assert (row.outcome, row.message, row.rows_read) == ("failed", message, 1)
    assert row.finished_at is not None


def test_run_whose_process_was_killed_is_interrupted_and_what_it_noted_is_there(warehouse):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, warehouse.dsn], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout.readline() == b"holding\n"
            assert only(warehouse).outcome == "running"
        finally:
            holder.kill()
    deadline = time.monotonic() + 20
    while only(warehouse).outcome == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    row = only(warehouse)
    assert (row.outcome, row.rows_read, row.finished_at) == ("interrupted", 7, None)
    assert warehouse.query("select outcome from mart.runs") == [("interrupted",)]


def test_run_continues_where_the_server_dropped_its_session(warehouse):
    drop = (
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name like 'record of %' and datname = current_database()"
    )
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={}) as run:
        warehouse.execute(drop)
        run.note(rows_read=2)
        assert (only(warehouse).outcome, only(warehouse).rows_read) == ("running", 2)
        warehouse.execute(drop)
    assert only(warehouse).outcome == "succeeded"


def test_older_warehouse_stops_what_has_to_be_recorded_and_nothing_else(warehouse_server):
    with new_database(warehouse_server, "test_older") as older:
        with (
            pytest.raises(StopPipelineError, match="up brings the warehouse's schema up to date"),
            recorded(older.dsn, kind=Kind.REBUILD, scope={}),
        ):
            pytest.fail("begun")
        with recorded(older.dsn, kind=Kind.EXTRACTION, scope={}, is_required=False) as run:
            run.note(rows_read=1)


def test_newest_come_first_of_the_kind_that_is_asked_for(warehouse):
    for kind in (Kind.REPLAY, Kind.REBUILD, Kind.REPLAY):
        with recorded(warehouse.dsn, kind=kind, scope={}):
            pass
    assert [row.kind for row in latest(warehouse.dsn)] == ["replay", "rebuild", "replay"]
    found = latest(warehouse.dsn, kind=Kind.REPLAY, limit=1)
    assert [row.run_number for row in found] == [3]
    with pytest.raises(StopPipelineError, match="no run 4"):
        numbered(warehouse.dsn, 4)


def test_old_runs_are_forgotten_unless_they_continue(warehouse):
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={}):
        pass
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={}):
        warehouse.execute("update etl.runs set started_at = now() - interval '91 days'")
        with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={}):
            pass
        assert forget(warehouse.dsn, days=90) == 1
        assert [row.run_number for row in latest(warehouse.dsn)] == [3, 2]


def whole(**values):
    known = {"key": "hour/1", "kind": Kind.CONSOLIDATION, "scope": {"dag": "hour"}, "steps": "abc"}
    return StepwiseRun(**known | values)


def test_steps_side_by_side_end_in_one_row_and_the_last_of_them_ends_the_run(warehouse):
    together = threading.Barrier(2)

    def step(name):
        with recorded_step(warehouse.dsn, whole(), name) as run:
            together.wait()
            run.note(rows_read=10, scope={"offsets": {name: []}}, details={"tables": [name]})
            together.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(step, "ab"))
    assert (only(warehouse).outcome, only(warehouse).finished_at) == ("running", None)
    with recorded_step(warehouse.dsn, whole(), "c") as run:
        run.note(rows_written=4)
    row = only(warehouse)
    assert (row.outcome, row.rows_read, row.rows_written, row.who) == (
        "succeeded",
        20,
        4,
        "airflow",
    )
    assert row.scope == {"dag": "hour", "offsets": {"a": [], "b": []}}
    assert {name: step["outcome"] for name, step in row.details["steps"].items()} == dict.fromkeys(
        "abc", "succeeded"
    )
    assert row.details["steps"]["b"]["tables"] == ["b"]
    assert row.finished_at is not None


def test_step_that_fails_fails_the_run_until_it_is_done_again(warehouse):
    error = StopPipelineError("Fix it.")
    with pytest.raises(StopPipelineError), recorded_step(warehouse.dsn, whole(steps="a"), "a"):
        raise error
    assert (only(warehouse).outcome, only(warehouse).message) == ("failed", "a: Fix it.")
    with recorded_step(warehouse.dsn, whole(steps="a"), "a"):
        assert (only(warehouse).outcome, only(warehouse).message) == ("running", None)
    assert only(warehouse).outcome == "succeeded"


def test_steps_use_up_no_numbers(warehouse):
    for step in "abc":
        with recorded_step(warehouse.dsn, whole(), step):
            pass
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={}):
        pass
    assert [row.run_number for row in latest(warehouse.dsn)] == [2, 1]


def test_run_of_steps_is_interrupted_when_nobody_has_heard_of_it_for_long(warehouse):
    with recorded_step(warehouse.dsn, whole(), "a"):
        pass
    assert only(warehouse).outcome == "running"
    warehouse.execute("update etl.runs set noted_at = now() - interval '16 minutes'")
    assert only(warehouse).outcome == "interrupted"
    with recorded_step(warehouse.dsn, whole(), "b"):
        warehouse.execute("update etl.runs set noted_at = now() - interval '16 minutes'")
        assert only(warehouse).outcome == "running"


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"layers": ["silver", "gold"], "entities": []}, "silver, gold"),
        ({"layers": ["gold"], "entities": ["orders"], "rule": None}, "gold; orders"),
        ({"first_offset": 3, "layer": "bronze", "topic": "t"}, "bronze; t; first offset 3"),
        (
            {"dag": "hour", "airflow_run": "x", "offsets": {
                "orders": [{"first": 0, "last": 999, "epoch": 0, "partition": 0}],
                "customers": [{"first": 5, "last": 5, "epoch": 0, "partition": 1}],
            }},
            "hour; 1,001 offsets",
        ),
        ({"layers": ["silver"], "offsets": {}}, "silver"),
        ({"nested": {"deep": 1}, "many": [{"a": 1}]}, ""),
        ({}, ""),
    ],
)  # fmt: skip
def test_scope_is_told_in_a_line(warehouse, scope, words):
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope=scope):
        pass
    assert only(warehouse).what == words
    assert warehouse.query("select what from mart.runs") == [(words,)]


def test_charts_see_runs_but_neither_their_messages_nor_their_metrics(warehouse):
    with recorded(warehouse.dsn, kind=Kind.REPLAY, scope={"layer": "gold"}):
        pass
    with psycopg.connect(warehouse.reader_dsn, autocommit=True) as reader:
        found = reader.execute("select what, outcome from mart.runs").fetchall()
        assert found == [("gold", "succeeded")]
        columns = {c.name for c in reader.execute("select * from mart.runs").description}
        assert not columns & {"message", "details", "digest", "scope"}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select * from etl.runs")


def quarantined(lake, *rows):
    """Changes of orders into quarantine: key, rule."""
    values = [
        {"entity": "orders", "rule": rule, "row_key": key, "_timestamp": NOON} for key, rule in rows
    ]
    table = pa.Table.from_pylist(values, schema=QUARANTINE_SCHEMA)
    write_deltalake(lake.uri("silver", QUARANTINE), table, mode="append")


def quarantined_sales(lake, *changes):
    """Changes of orders and lines into quarantine: table, offset, key, columns."""
    values = [
        {
            "entity": entity, "rule": f"{entity}_wrong", "row_key": key, "_epoch": 0,
            "_offset": offset, "_timestamp": NOON,
            "value": json.dumps({"before": None, "after": after}).encode(),
        }
        for entity, offset, key, after in changes
    ]  # fmt: skip
    table = pa.Table.from_pylist(values, schema=QUARANTINE_SCHEMA)
    write_deltalake(lake.uri("silver", QUARANTINE), table, mode="append")


def test_revenue_is_left_out_whose_rows_are_in_quarantine_and_nowhere_else(warehouse, tmp_path):
    lake = lake_in(tmp_path)
    silver = MemorySilver()
    # Of 100.00 minus 10.00, at 1.5: the lines are 60.00 and 40.00, of which the latter is missing.
    order = {
        "order_id": 1, "placed_at": NOON, "exchange_rate_e8": 150_000_000,
        "subtotal_cents": 10_000, "discount_cents": 1_000,
    }  # fmt: skip
    never_paid = order | {"order_id": 2, "status": "cancelled", "paid_at": None}
    silver.commit(
        orders=[order, never_paid],
        order_lines=[{"order_line_id": 1, "order_id": 1, "line_total_cents": 6_000}],
    )
    load_warehouse(warehouse.dsn, silver)
    whole = {
        "status": "paid", "paid_at": "2026-11-23T23:30:00Z", "placed_at": "2026-11-23T23:30:00Z",
        "exchange_rate": "2.00000000", "subtotal_amount": "70.00", "discount_amount": "20.00",
    }  # fmt: skip
    quarantined_sales(
        lake,
        ("order_lines", 1, "1", {"order_id": 1, "line_total_amount": "60.00"}),  # passed before
        ("order_lines", 2, "2", {"order_id": 1, "line_total_amount": "999.00"}),  # changed since
        ("order_lines", 5, "2", {"order_id": 1, "line_total_amount": "40.00"}),
        ("order_lines", 3, "3", {"order_id": 2, "line_total_amount": "5.00"}),  # does not count
        ("order_lines", 4, "4", {"order_id": 7, "line_total_amount": "5.00"}),  # of an order below
        ("order_lines", 6, "x", {"order_id": 1, "line_total_amount": "5.00"}),  # no key
        ("orders", 1, "1", whole),  # passed before
        ("orders", 2, "7", whole),
        ("orders", 3, "8", whole | {"status": "cancelled", "paid_at": None}),
        ("orders", 4, "9", whole | {"subtotal_amount": "much"}),
        ("orders", 5, "10", whole | {"placed_at": "12026-11-23T23:30:00Z"}),
        ("orders", 6, "11", whole | {"status": " Cancelled", "paid_at": None}),
    )
    warehouse.execute("update etl.shop set time_zone = 'Europe/Paris'")
    measure_lake(warehouse.dsn, lake)
    query = "select * from mart.left_out order by entity, date_key"
    assert warehouse.query(query) == [
        (date(2026, 11, 24), "order_lines", "order_lines_wrong", 1, 5_400),
        (date(1, 1, 1), "orders", "orders_wrong", 1, 10_000),
        (date(2026, 11, 24), "orders", "orders_wrong", 2, 10_000),
    ]
    # Once it passes, it is in revenue and not left out any more; quarantine is as it was.
    silver.commit(order_lines=[{"order_line_id": 2, "order_id": 1, "line_total_cents": 4_000}])
    load_warehouse(warehouse.dsn, silver)
    measure_lake(warehouse.dsn, lake)
    assert [row[1] for row in warehouse.query(query)] == ["orders", "orders"]


def deleted_in_silver(lake, entity, **offsets):
    """Keys of which silver has the delete last, as it keeps them."""
    contract = ENTITIES[entity]
    rows = [
        {contract.key: int(key[1:]), "_epoch": 0, "_offset": offset, "_deleted_at": NOON}
        for key, offset in offsets.items()
    ]
    table = pa.Table.from_pylist(rows, schema=silver_schema(contract))
    uri = lake.uri("silver", contract.silver)
    write_deltalake(uri, table, mode="append", partition_by=[contract.partition])


def test_rows_that_the_shop_has_deleted_since_are_not_left_out(warehouse, tmp_path):
    lake = lake_in(tmp_path)
    silver = MemorySilver()
    order = {
        "order_id": 1, "placed_at": NOON, "exchange_rate_e8": 100_000_000,
        "subtotal_cents": 10_000, "discount_cents": 0,
    }  # fmt: skip
    silver.commit(orders=[order])
    load_warehouse(warehouse.dsn, silver)
    whole = {
        "status": "paid", "paid_at": "2026-11-23T12:00:00Z", "placed_at": "2026-11-23T12:00:00Z",
        "exchange_rate": "1.00000000", "subtotal_amount": "33.00", "discount_amount": "0.00",
    }  # fmt: skip
    quarantined_sales(
        lake,
        ("orders", 1, "77", whole),  # deleted below
        ("orders", 2, "78", whole),
        ("orders", 3, "7", whole),  # an old change of one that was deleted long before
        ("orders", 9, "79", whole),  # deleted, and inserted again
        ("order_lines", 1, "5", {"order_id": 1, "line_total_amount": "4.00"}),
    )
    deleted_in_silver(lake, "orders", k7=4, k79=8)
    query = "select entity, row_count, left_out_cents from mart.left_out order by entity"
    measure_lake(warehouse.dsn, lake)
    assert warehouse.query(query) == [("order_lines", 1, 400), ("orders", 3, 9_900)]
    # Quarantine is as it was.
    deleted_in_silver(lake, "orders", k77=10)
    deleted_in_silver(lake, "order_lines", k5=10)
    measure_lake(warehouse.dsn, lake)
    assert warehouse.query(query) == [("orders", 2, 6_600)]


def lose(lake, first, last, kind="expired", at=NOON):
    row = {
        "recorded_at": at, "kind": kind, "topic": "shop.public.orders", "topic_id": TOPIC,
        "partition": 0, "first_offset": first, "last_offset": last, "explanation": "Gone.",
    }  # fmt: skip
    rows = pa.Table.from_pylist([row], schema=LOSS_LEDGER_SCHEMA)
    write_deltalake(lake.uri("bronze", "_loss_ledger"), rows, mode="append")


def test_summaries_follow_the_lake(warehouse, tmp_path):
    lake = lake_in(tmp_path)
    measure_lake(warehouse.dsn, lake)
    assert warehouse.rows("mart.data_freshness") == []
    land(lake, 0, 9)
    add(lake, silver_rows([1, 2]), read_to=4)
    quarantined(lake, ("1", "email_invalid"), ("1", "email_invalid"), ("2", "past"))
    lose(lake, 10, 19)
    lose(lake, 40, None)
    for _ in range(2):
        measure_lake(warehouse.dsn, lake)
        found = warehouse.query(
            "select layer, table_name, passed_offsets, behind_offsets from mart.data_freshness "
            "where table_name in ('raw_sales', 'cleaned_sales') order by layer"
        )
        assert found == [("bronze", "raw_sales", 10, None), ("silver", "cleaned_sales", 5, 5)]
        # Quarantine reads the same offsets as the current tables.
        query = "select table_name, is_counted from mart.data_freshness where layer = 'silver'"
        assert dict(warehouse.query(query)) == {"cleaned_sales": True, "quarantine": False}
        assert warehouse.query(
            "select entity, rule, changes, keys, oldest_at, now() - measured_at < '1 minute' "
            "from mart.quarantine_by_rule order by rule"
        ) == [("orders", "email_invalid", 2, 1, NOON, True), ("orders", "past", 1, 1, NOON, True)]
        assert warehouse.query(
            "select first_offset, last_offset, offsets, kind from mart.losses order by 1"
        ) == [(10, 19, 10, "expired"), (40, None, None, "expired")]
    quarantined(lake, ("3", "past"))
    measure_lake(warehouse.dsn, lake)
    query = "select changes, keys from mart.quarantine_by_rule where rule = 'past'"
    assert warehouse.query(query) == [(2, 2)]


def test_loss_that_was_read_again_is_repaired_and_its_resolution_is_no_loss(warehouse, tmp_path):
    lake = lake_in(tmp_path)
    steps = [
        (0, 40, "slot_lost", None), (1, 60, "slot_lost", None), (2, 40, "read_again", 39),
        (3, 60, "read_again", 70), (4, 40, "slot_lost", None), (5, 10, "expired", 19),
        (6, 80, "truncated", None), (7, 80, "read_again", 90),
    ]  # fmt: skip
    for hours, first, kind, last in steps:
        lose(lake, first, last, kind, NOON + timedelta(hours=hours))
    measure_lake(warehouse.dsn, lake)
    assert warehouse.query(
        "select first_offset, kind, is_resolved from mart.losses order by recorded_at"
    ) == [
        (40, "slot_lost", True), (60, "slot_lost", True), (40, "slot_lost", False),
        (10, "expired", False), (80, "truncated", True),
    ]  # fmt: skip
    query = read_files()["datasets"]["loss_ledger"]["sql"]
    with psycopg.connect(warehouse.reader_dsn) as reader:
        reader.execute("set shop.time_zone = 'UTC'")
        counted = reader.execute(f"select sum(ranges) from ({query}) as d").fetchall()
    assert counted == [(2,)]


def test_what_did_not_change_is_not_summed_up_again(warehouse, tmp_path):
    lake = lake_in(tmp_path)
    quarantined(lake, ("1", "past"))
    measure_lake(warehouse.dsn, lake)
    warehouse.execute("update etl.quarantine_by_rule set changes = 99")
    measure_lake(warehouse.dsn, lake)
    assert warehouse.query("select changes from mart.quarantine_by_rule") == [(99,)]


@pytest.mark.parametrize(
    ("name", "unseen", "empty"),
    [
        ("quarantine", "no quarantined changes", "no quarantined changes"),
        ("loss_ledger", "not known yet", "nothing was lost"),
    ],
)
def test_empty_list_says_that_it_is_empty(warehouse, tmp_path, name, unseen, empty):
    query = read_files()["datasets"][name]["sql"]
    with psycopg.connect(warehouse.reader_dsn, autocommit=True) as reader:
        reader.execute("set shop.time_zone = 'UTC'")
        (row,) = reader.execute(query).fetchall()
        assert row[0] == unseen
        lake = lake_in(tmp_path)
        land(lake, 0, 1)
        measure_lake(warehouse.dsn, lake)
        (row,) = reader.execute(query).fetchall()
        assert row[0] == empty
