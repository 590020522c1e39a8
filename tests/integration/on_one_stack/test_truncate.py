"""A TRUNCATE is captured, through the real services: as a delete of each row, where it happened."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import IsolationLevel

from connectors.rest import ConnectApi
from connectors.source import prepare
from lakehouse.kafka import admin_client, matching_topics
from stack.doctor.measurements import Measurements
from stack.doctor.shop import CHECKS
from stack.findings import Verdict
from tests.integration.on_one_stack.reconciled_shop import PATIENCE_SECONDS

pytestmark = pytest.mark.integration


def told(shop):
    """What the doctor says of truncates."""
    [check] = [one for one in CHECKS if one.title == "truncates"]
    [said] = check.run(Measurements(shop.stack.config, patience_seconds=60))
    return said


def until_captured(shop, table):
    """Its topic is there: the first record of a table takes a moment more."""
    topic = f"{shop.stack.connect.topic_prefix}.public.{table}"
    admin = admin_client(shop.stack.kafka.client)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not matching_topics(admin, f"^{topic}$"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_truncates_of_every_kind_are_told_and_the_reload_behind_them(shop):
    """One statement each, or one transaction; all are compared at the end, once."""
    rates, tracked, notes, child, parent, months = (
        shop.name(name) for name in ("rates", "tracked", "notes", "child", "parent", "months")
    )
    reload = f"insert into {rates} select c, 1.5 from unnest(array['EUR','USD','JPY']) as c"
    shop.run(
        f"create table {rates} (currency text primary key, rate numeric)",
        reload,
        f"create table {tracked} (id bigint generated always as identity primary key, "
        "v text, updated_at timestamptz default now(), version bigint)",
        f"select public.track_versions('public.{tracked}', 'id')",
        f"insert into {tracked} (v) select 'a' from generate_series(1, 9)",
        f"create table {notes} (note text)",
        f"insert into {notes} values ('a'), ('a'), ('b')",
        f"create table {parent} (id int primary key)",
        f"create table {child} (id int primary key, "
        f"parent int references {parent} on delete cascade)",
        f"insert into {parent} values (1), (2)",
        f"insert into {child} values (1, 1), (2, 1)",
        f"create table {months} (month int, id int, primary key (month, id)) "
        "partition by range (month)",
        f"create table {months}_1 partition of {months} for values from (1) to (2)",
        f"insert into {months} values (1, 1), (1, 2)",
    )
    shop.run(
        # The same keys, in one transaction: deletes first.
        f"begin; truncate {rates}; {reload}; commit",
        # What a bulk loader does, and keys that begin again.
        f"set session_replication_role = replica; truncate {tracked} restart identity; "
        "reset session_replication_role; "
        f"insert into {tracked} (v) select 'b' from generate_series(1, 4)",
        f"truncate {notes}",
        f"truncate {parent}, {months} cascade",
        # One that never happened.
        f"begin; truncate {rates}; rollback",
    )
    tables = shop.reconcile()
    found = {
        name: (tables[name].findings.source_rows, tables[name].findings.changes)
        for name in (rates, tracked, notes, parent, child, f"{months}_1")
        if tables[name].findings.is_exact
    }
    assert found == {
        rates: (3, 9), tracked: (4, 22), notes: (0, 6), parent: (0, 4), child: (0, 4),
        f"{months}_1": (0, 4),
    }  # fmt: skip


@pytest.mark.long
def test_truncate_while_a_table_is_extracted_leaves_what_the_shop_has(shop):
    table = shop.tracked()
    shop.run(f"insert into {table} (id) select generate_series(1, 20000)")
    until_captured(shop, table)
    with psycopg.connect(shop.dsn) as connection:
        # While the table is locked, nothing of it is read: the truncate comes in between.
        connection.execute(f"lock table {table} in access exclusive mode")
        extraction = shop.stack.fork(
            "extract", table, "--full", "--format", "json",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with ConnectApi(shop.stack.connect.url, shop.stack.connect.connector_name) as api:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while api.stored().extraction_id is None:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        connection.execute(f"truncate {table}")
        connection.execute(f"insert into {table} (id) select generate_series(9000, 9100)")
    out, errors = extraction.communicate(timeout=PATIENCE_SECONDS)
    assert extraction.returncode == 0, errors
    assert json.loads(out)["deletes"] == []
    assert shop.assert_exact(table).findings.source_rows == 101


@pytest.mark.long
def test_truncate_that_nobody_told_is_named_and_one_extraction_ends_it(shop):
    table, rates = shop.tracked(), shop.name("rates")
    shop.run(
        f"create table {rates} "
        "(currency text, day date, rate numeric, primary key (day, currency))",
        f"insert into {rates} values ('EUR', '2026-11-01', 1), ('USD', '2026-11-01', 2)",
        f"insert into {table} (id) select generate_series(1, 9)",
        f"update {table} set v = 'b'",
        # Whoever can switch off event triggers can switch off ours.
        f"set event_triggers = off; alter table {table} disable trigger zz_cdc_truncate; "
        f"drop trigger zz_cdc_truncate on {rates}",
    )
    said = told(shop)
    assert said.verdict is Verdict.WRONG
    assert said.remedy == f"./pipeline up oltp; then ./pipeline extract {rates} {table} --full"
    shop.run(
        f"begin; truncate {table}; insert into {table} (id) select generate_series(1, 5); commit",
        f"begin; truncate {rates}; "
        f"insert into {rates} values ('EUR', '2026-11-01', 1), ('USD', '2026-11-01', 2); commit",
        f"begin; truncate {table}; insert into {table} (id) select generate_series(1, 3); commit",
    )
    tables = shop.reconcile()
    faults = {
        name: {fault: f.count for fault, f in tables[name].findings.faults.items() if f.count}
        for name in (table, rates)
    }
    assert faults == {table: {"extra": 6, "missing_deletes": 8}, rates: {"missing_deletes": 2}}

    prepare(shop.dsn, shop.stack.connect)
    assert told(shop).verdict is Verdict.FINE
    out = shop.stack.run("extract", table, rates, "--full", "--format", "json").stdout
    assert sorted(one["key"] for one in json.loads(out)["deletes"]) == list("456789")
    tables = shop.reconcile()
    for name, excused in ((table, 8), (rates, 2)):
        assert tables[name].findings.is_exact, tables[name].to_json()
        assert tables[name].findings.excused == excused
    again = json.loads(shop.stack.run("extract", table, "--full", "--format", "json").stdout)
    assert (again["deletes"], again["accounted_for"]) == ([], {})


def test_alter_table_cannot_switch_off_what_tells_truncates(shop):
    table = shop.tracked()
    shop.run(f"alter table {table} disable trigger all", f"alter table {table} enable trigger all")
    assert told(shop).verdict is Verdict.FINE


def test_trigger_of_the_shop_still_sees_the_rows_that_go(shop):
    table, archive = shop.tracked(), shop.name("archive")
    shop.run(
        f"create table {archive} (id bigint primary key)",
        f"create function {archive}() returns trigger language plpgsql as $$ begin "
        f"insert into public.{archive} select id from public.{table}; return null; end $$",
        f"create trigger keep before truncate on {table} execute function {archive}()",
        f"insert into {table} (id) values (1), (2)",
        f"truncate {table}",
    )
    with psycopg.connect(shop.dsn) as connection:
        assert connection.execute(f"select id from {archive} order by 1").fetchall() == [(1,), (2,)]
    shop.run(f"drop table {table}", f"drop function {archive}")


def test_truncate_never_removes_a_row_that_its_transaction_does_not_see(shop):
    """Where it would, it is refused: the row would be gone from the shop, and nowhere else."""
    table = shop.tracked()
    with psycopg.connect(shop.dsn) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.execute("select 1")
        shop.run(f"insert into {table} (id) values (1)")
        with pytest.raises(psycopg.errors.SerializationFailure, match="cannot be truncated"):
            connection.execute(f"truncate {table}")
        connection.rollback()
        with ThreadPoolExecutor(1) as pool, psycopg.connect(shop.dsn) as other:
            other.execute(f"insert into {table} (id) values (2)")
            connection.execute("select 1")
            waiting = pool.submit(connection.execute, f"truncate {table}")
            until_waiting(shop, table)
            other.commit()
            with pytest.raises(psycopg.errors.SerializationFailure, match="cannot be truncated"):
                waiting.result(PATIENCE_SECONDS)


def until_waiting(shop, table):
    asked = "select from pg_locks where relation = %s::regclass and not granted"
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        while not connection.execute(asked, [table]).fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_rows_that_one_can_not_delete_can_not_be_truncated(shop):
    """Neither could be told: without a key, and an old row would hold a column of no value."""
    table = shop.name("virtual")
    shop.run(
        f"create table {table} (a int, b int generated always as (a * 2) virtual)",
        f"insert into {table} values (1)",
    )
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="replica identity"):
        shop.run(f"truncate {table}")


def test_code_of_others_never_runs_as_the_superuser_who_tells_truncates(shop):
    """Whoever may make a table may give it triggers and rules; ours deletes as superuser."""
    table, seen = shop.name(), shop.name("seen")
    shop.run(
        f"create table {seen} (who text)",
        f"create table {table} (id int primary key)",
        f"insert into {table} values (1)",
        f"create function {seen}() returns trigger language plpgsql as $$ begin "
        f"insert into public.{seen} values (current_user); return old; end $$",
        f"create trigger mine before delete on {table} for each row execute function {seen}()",
        f"create rule mine as on delete to {table} do also insert into public.{seen} values ('r')",
    )
    refused = pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="enabled always")
    for what in ("trigger", "rule"):
        for how in ("always", "replica"):
            shop.run(f"alter table {table} enable {how} {what} mine")
            with refused:
                shop.run(f"truncate {table}")
        shop.run(f"alter table {table} enable {what} mine")
    shop.run(f"truncate {table}")
    with psycopg.connect(shop.dsn) as connection:
        assert connection.execute(f"select who from {seen}").fetchall() == []
    shop.run(f"drop table {table}", f"drop function {seen}")


def test_nobody_but_the_superuser_can_use_what_tells_truncates(shop):
    table = shop.tracked()
    role = shop.name("role").replace("role", "dev")
    shop.run(
        f"create role {role}",
        f"grant usage, create on schema public to {role}",
        f"grant trigger on {table} to {role}",
    )
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        connection.execute(f"set role {role}")
        for statement in (
            f"create trigger mine before truncate on {table} execute function cdc.tell_truncate()",
            f"select cdc.capture_table('{table}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        own = shop.name()
        connection.execute(f"create table {own} (id int primary key)")
    assert told(shop).verdict is Verdict.FINE
    shop.run(f"drop owned by {role}", f"drop role {role}")
