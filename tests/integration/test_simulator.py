"""The simulator on a real Postgres: versions, sums, the same shop again, and faults in mid-run."""

import json
import signal
import subprocess
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import psycopg
import pytest
import structlog

from lakehouse.errors import StopPipelineError
from lakehouse.postgres import oltp_dsn
from lakehouse.settings import ShopSettings
from producers.lifecycle import NEXT_STATUSES
from producers.plan import History, Live, Plan
from producers.rows import COLUMNS_OF
from producers.schema import apply_schema
from producers.simulator import Simulator
from tests.shops import REFERENCES
from tests.stacks import new_stack

pytestmark = pytest.mark.integration

SLOT = "dbz_shop"
END = datetime(2026, 11, 23, tzinfo=UTC)
WAL_KEEP_MB = 64
KEYS = {table: columns[0] for table, columns in COLUMNS_OF.items()}


@pytest.fixture(scope="module")
def postgres():
    """The shop's Postgres alone, on a stack of its own; nothing captures."""
    with new_stack(STACK_SLOT_WAL_KEEP_MB=WAL_KEEP_MB) as stack:
        stack.up("oltp")
        yield stack


@pytest.fixture
def shop(postgres):
    """An empty shop."""
    empty(postgres)
    return postgres


def connect(stack, role="admin"):
    return psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role=role), autocommit=True)


def query(stack, text, *values):
    with connect(stack) as connection:
        return connection.execute(text, values or None).fetchall()


def one(stack, text, *values):
    return query(stack, text, *values)[0][0]


def simulate(stack, *, seed=1, stopping=None, on_progress=lambda _: None, **plan):
    simulator = Simulator(
        oltp_dsn(stack.oltp, stack.secrets, role="simulator"),
        shop=ShopSettings(),
        slot_name=SLOT,
        longest_pause_seconds=0.5,
    )
    return simulator.run(
        Plan(seed=seed, **plan),
        stopping=stopping or threading.Event(),
        on_progress=on_progress,
    )


def rows_of(stack, table, *, without=""):
    """All rows, by key; columns that end in `without` left out."""
    with connect(stack) as connection:
        cursor = connection.execute(f"select * from {table}")
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    kept = [n for n in names if not (without and n.endswith(without))]
    return {row[KEYS[table]]: {n: row[n] for n in kept} for row in rows}


def contents(stack, *, without=""):
    return {table: rows_of(stack, table, without=without) for table in KEYS}


def ledger(stack):
    notes = query(
        stack,
        "select table_name, row_key, column_name, fault, dirty_value, clean_value, row_version "
        "from ledger.dirt where column_name not in ('occurred_at', 'created_at', 'birth_date')",
    )
    return sorted(map(str, notes))


def check_shop(stack):
    """What holds of every shop, whatever happened to it."""
    for table, references in REFERENCES.items():
        for column, referred in references.items():
            orphans = (
                f"select count(*) from {table} as t where t.{column} is not null and not exists "
                f"(select from {referred} as r where r.{KEYS[referred]} = t.{column})"
            )
            assert one(stack, orphans) == 0, (table, column)
    assert one(stack, _ORDERS_THAT_DO_NOT_ADD_UP) == 0
    assert one(stack, _PAYMENTS_THAT_ARE_NOT_THE_TOTAL) == 0
    assert one(stack, _RETURNS_THAT_ARE_NOT_THE_ORDER) == 0
    assert one(stack, _NEGATIVE_STOCK) == 0
    assert one(stack, _ORDERS_OUT_OF_ORDER) == 0
    assert one(stack, "select count(*) from orders") == one(
        stack, "select coalesce(max(orders), 0) from ledger.progress"
    )


_ORDERS_THAT_DO_NOT_ADD_UP = """
select count(*) from orders as o
left join lateral (
    select sum(l.line_total_amount) as lines from order_lines as l where l.order_id = o.order_id
) as s on true
where s.lines is distinct from o.subtotal_amount
"""
_PAYMENTS_THAT_ARE_NOT_THE_TOTAL = """
select count(*) from orders as o
left join lateral (
    select
        coalesce(sum(p.amount) filter (where p.kind = 'payment'), 0) as paid,
        coalesce(sum(p.amount) filter (where p.kind = 'refund'), 0) as refunded
    from payments as p where p.order_id = o.order_id and p.status = 'captured'
) as s on true
where s.paid <> case when o.paid_at is null then 0 else o.total_amount end
or s.refunded <> case when o.refunded_at is null then 0 else o.total_amount end
"""
_RETURNS_THAT_ARE_NOT_THE_ORDER = """
select count(*) from orders as o
left join lateral (
    select count(*) as lines from order_lines as l where l.order_id = o.order_id
) as s on true
left join lateral (
    select
        count(*) as lines,
        sum(r.refund_amount) as refund,
        min(r.returned_at) as first_at,
        max(r.returned_at) as last_at
    from returns as r where r.order_id = o.order_id
) as b on true
where b.lines <> case when o.returned_at is null then 0 else s.lines end
or o.returned_at is not null and (b.refund <> o.total_amount
    or (b.first_at, b.last_at) is distinct from (o.returned_at, o.returned_at))
"""
_NEGATIVE_STOCK = """
select count(*) from (
    select sum(m.quantity) over (
        partition by m.product_id, m.warehouse_code order by m.movement_id
    ) as units
    from stock_movements as m
) as s where s.units < 0
"""
_ORDERS_OUT_OF_ORDER = """
select count(*) from orders as o
where not (
    o.placed_at <= coalesce(o.paid_at, o.placed_at)
    and coalesce(o.paid_at, o.placed_at) <= coalesce(o.packed_at, 'infinity')
    and coalesce(o.packed_at, o.placed_at) <= coalesce(o.shipped_at, 'infinity')
    and coalesce(o.shipped_at, o.placed_at) <= coalesce(o.delivered_at, 'infinity')
    and coalesce(o.delivered_at, o.placed_at) <= coalesce(o.returned_at, 'infinity')
)
"""


def test_a_history_is_written_as_a_shop_would_have(shop):
    report = simulate(shop, history=History(days=10, orders=2_000, end=END), dirt_percent=2)
    check_shop(shop)
    counts = report.phases[0].counts
    assert counts.orders == 2_000
    for table in counts.tables:
        cascaded = table.table == "interactions"
        stored = one(shop, f"select count(*) from {table.table}")
        assert stored == table.inserted - table.deleted or (cascaded and stored < table.inserted)
    placed = query(shop, "select min(placed_at), max(placed_at) from orders")[0]
    assert (END - placed[0]).days in {9, 10}
    assert placed[1] <= END


def test_versions_count_the_updates_of_each_row(shop):
    simulate(shop, history=History(days=10, orders=500, end=END))
    reached = (
        "1 + (paid_at is not null)::int + (packed_at is not null)::int "
        "+ (shipped_at is not null)::int + (delivered_at is not null)::int "
        "+ (cancelled_at is not null)::int + (returned_at is not null)::int "
        "+ (refunded_at is not null)::int"
    )
    at_least = f"select count(*) from orders where version < {reached}"
    assert one(shop, at_least) == 0
    exactly = f"select count(*) from orders where version = {reached}"
    assert one(shop, exactly) > 400


def test_every_update_of_every_table_makes_the_next_version(shop):
    simulate(shop, history=History(days=10, orders=500, end=END))
    for table, key in KEYS.items():
        row, before = query(shop, f"select {key}, version from {table} order by {key} limit 1")[0]
        update = f"update {table} set version = 99, updated_at = now() where {key} = %s"
        with connect(shop, "simulator") as connection:
            for _ in range(3):
                connection.execute(update, [row])
        now = one(shop, f"select version from {table} where {key} = %s", row)
        assert now == before + 3, table


def test_roles_have_their_privileges_on_the_shop_s_tables_and_on_no_others(shop):
    dsn = oltp_dsn(shop.oltp, shop.secrets, role="admin")
    with connect(shop) as admin:
        admin.execute("set role shop_owner")
        admin.execute(_ANOTHER_TABLE)
        admin.execute("select track_versions('public.another', 'id')")
        admin.execute("revoke all on orders, another from simulator, debezium, reconcile")
        try:
            apply_schema(dsn)
            found = {tuple(row) for row in query(shop, _PRIVILEGES)}
        finally:
            admin.execute("drop table another")
    wanted = {("simulator", "ledger.dirt", "INSERT,SELECT"),
              ("simulator", "ledger.progress", "INSERT,SELECT,UPDATE"),
              *(("reconcile", f"ledger.{name}", "SELECT")
                for name in ("dirt", "progress", "applied_schema"))}  # fmt: skip
    for table, key in KEYS.items():
        wanted |= {("debezium", table, "SELECT"), ("reconcile", table, "SELECT"),
                   ("simulator", table, "DELETE,INSERT,SELECT,UPDATE"),
                   ("simulator", f"{table}_{key}_seq", "USAGE")}  # fmt: skip
    assert found == wanted


_ANOTHER_TABLE = """
create table public.another (
    id bigint generated by default as identity primary key, updated_at timestamptz, version bigint
)
"""
_PRIVILEGES = """
select a.grantee::regrole::text, c.oid::regclass::text,
    string_agg(a.privilege_type, ',' order by a.privilege_type)
from pg_class as c cross join lateral aclexplode(c.relacl) as a
where c.relnamespace in ('public'::regnamespace, 'ledger'::regnamespace)
and a.grantee in ('simulator'::regrole, 'debezium'::regrole, 'reconcile'::regrole)
group by 1, 2
"""


def test_a_shop_of_an_earlier_version_gets_a_new_table_and_keeps_what_it_has(shop):
    dsn = oltp_dsn(shop.oltp, shop.secrets, role="admin")
    simulate(shop, history=History(days=10, orders=600, end=END))
    returned = one(shop, "select count(*) from orders where returned_at is not null")
    with connect(shop) as admin:
        admin.execute("drop table returns")
        admin.execute("update ledger.applied_schema set fingerprint = 'of an earlier version'")
    try:
        with pytest.raises(StopPipelineError, match=r"not as this version expects.*pipeline up"):
            simulate(shop, seed=2, live=Live(orders_per_second=100, orders=1))
        before = {table: rows_of(shop, table) for table in KEYS if table != "returns"}
    finally:
        apply_schema(dsn)
    apply_schema(dsn)
    assert contents(shop) == before | {"returns": {}}
    simulate(shop, seed=2, history=History(days=10, orders=600, end=END + timedelta(days=10)))
    with connect(shop) as admin:
        orders = "select order_id from orders where returned_at is not null"
        since = admin.execute(f"{orders} and returned_at > %s", [END]).fetchall()
        rows = admin.execute("select distinct order_id from returns").fetchall()
        all_of_them = admin.execute(orders).fetchall()
    assert set(rows) == set(since)
    assert len(since) > 10
    assert len(all_of_them) == returned + len(since)


def test_what_the_ledger_claims_stands_in_the_rows(shop):
    simulate(shop, history=History(days=10, orders=1_000, end=END), dirt_percent=10)
    columns = query(shop, "select distinct table_name, column_name from ledger.dirt")
    assert len(columns) > 10
    for table, column in columns:
        kind = one(shop, _TYPE, table, column)
        wrong = (
            f"select count(*) from ledger.dirt as d inner join {table} as t "
            f"on t.{KEYS[table]} = d.row_key and t.version = d.row_version "
            f"where d.table_name = %s and d.column_name = %s "
            f"and t.{column} <> d.dirty_value::{kind}"
        )
        assert one(shop, wrong, table, column) == 0


_TYPE = """
select c.data_type from information_schema.columns as c
where c.table_schema = 'public' and c.table_name = %s and c.column_name = %s
"""


@pytest.mark.long
def test_the_same_seed_and_end_give_the_same_history(shop):
    run = partial(simulate, shop, seed=5, dirt_percent=3)
    run(history=History(days=7, orders=700, end=END))
    first = contents(shop), query(shop, "select * from ledger.dirt order by dirt_id")
    empty(shop)
    run(history=History(days=7, orders=700, end=END))
    again = contents(shop), query(shop, "select * from ledger.dirt order by dirt_id")
    assert without_writing_time(again) == without_writing_time(first)


def without_writing_time(found):
    tables, notes = found
    return tables, [note[:-1] for note in notes]


def empty(stack):
    with connect(stack) as admin:
        ledger = "ledger.dirt, ledger.progress"
        admin.execute(f"truncate {', '.join(KEYS)}, {ledger} restart identity")


@pytest.mark.long
def test_the_same_seed_and_counts_give_the_same_shop_live_and_when_resumed(shop):
    def two_runs(rate):
        for _ in range(2):
            simulate(shop, seed=6, live=Live(orders_per_second=rate, orders=120), dirt_percent=3)
        found = contents(shop, without="_at"), ledger(shop)
        for row in found[0]["customers"].values():
            del row["birth_date"]  # of full age today
        return found

    slow = two_runs(150)
    empty(shop)
    assert two_runs(500) == slow


@pytest.mark.long
def test_a_second_run_takes_up_open_orders_stock_and_keys(shop):
    simulate(shop, seed=1, history=History(days=5, orders=1_000, end=END), dirt_percent=5)
    before = rows_of(shop, "orders")
    # Paid orders are packed within half a day, and two days follow.
    paid = {k for k, row in before.items() if row["status"] == "paid"}
    simulate(shop, seed=2, live=Live(orders_per_second=900, orders=2_000))
    after = rows_of(shop, "orders")
    check_shop(shop)
    assert len(after) == 3_000
    assert len(paid) > 10
    assert not [k for k in paid if after[k]["status"] == "paid"]
    assert one(shop, "select count(*) from suppliers") == 30


def test_a_history_after_a_history_begins_where_that_ended(shop):
    simulate(shop, history=History(days=3, orders=300, end=END))
    ended, end = one(shop, "select last_timestamp_at from ledger.progress"), END.replace(day=24)
    simulate(shop, history=History(days=4, orders=400, end=end))
    assert one(shop, "select min(placed_at) from orders where order_id > 300") >= ended
    assert one(shop, "select count(*) from orders") == 300 + round(
        100 * ((end - ended) / timedelta(days=1))
    )
    check_shop(shop)


@pytest.mark.long
def test_statuses_follow_each_other_across_many_runs(shop):
    seen = {}
    for seed in range(6):
        simulate(shop, seed=seed, live=Live(orders_per_second=900, orders=300))
        for key, row in rows_of(shop, "orders").items():
            seen.setdefault(key, []).append(row["status"])
    for path in seen.values():
        for status, later in pairwise(path):
            assert later in reachable(status), path


def reachable(status):
    found, new = {status}, {status}
    while new:
        new = set().union(*(NEXT_STATUSES[s] for s in new)) - found
        found |= new
    return found


def undisturbed(stack, *, orders):
    """What an undisturbed run makes, told without keys: a lost connection leaves gaps in them."""
    simulate(stack, seed=9, live=Live(orders_per_second=1_000, orders=orders))
    found = story(stack)
    empty(stack)
    return found


def story(stack):
    orders = query(
        stack,
        "select o.channel, o.status, o.currency, o.total_amount, o.ship_city, o.version "
        "from orders as o order by o.order_id",
    )
    counts = {table: one(stack, f"select count(*) from {table}") for table in KEYS}
    updates = {table: one(stack, f"select sum(version) from {table}") for table in KEYS}
    return orders, counts, updates


@pytest.mark.long
def test_sessions_ended_in_mid_run_lose_nothing_and_write_nothing_twice(shop):
    expected = undisturbed(shop, orders=1_500)
    ended = []

    def end_session(reading):
        if reading.orders > 100 * (1 + len(ended)):
            found = query(
                shop,
                "select pg_terminate_backend(a.pid) from pg_stat_activity as a "
                "where a.usename = 'simulator'",
            )
            ended.extend(found)

    disturb = Disturbance(end_session)
    simulate(shop, seed=9, live=Live(orders_per_second=400, orders=1_500), on_progress=disturb.told)
    disturb.check()
    assert len(ended) >= 3
    assert story(shop) == expected
    check_shop(shop)


class Disturbance:
    """Does something beside the run, each time it tells how it goes."""

    def __init__(self, action):
        self._action = action
        self._threads = []
        self._errors = []

    def told(self, reading):
        thread = threading.Thread(target=self._do, args=(reading,))
        self._threads.append(thread)
        thread.start()

    def check(self):
        for thread in self._threads:
            thread.join(600)
        assert self._errors == []

    def _do(self, reading):
        try:
            self._action(reading)
        except Exception as error:  # noqa: BLE001 - told by check()
            self._errors.append(error)


def test_a_server_killed_in_mid_run_is_waited_for(shop):
    expected = undisturbed(shop, orders=1_200)
    kills = []

    def kill(reading):
        if reading.orders > 200 and not kills:
            kills.append(reading.orders)
            shop.kill("oltp")

    disturb = Disturbance(kill)
    simulate(shop, seed=9, live=Live(orders_per_second=400, orders=1_200), on_progress=disturb.told)
    disturb.check()
    assert kills
    # It may have been killed after the last order.
    shop.start("oltp")
    assert story(shop) == expected
    check_shop(shop)


@pytest.mark.long
def test_a_server_stopped_and_started_again_is_waited_for(shop):
    expected = undisturbed(shop, orders=1_200)
    stops = []

    def restart(reading):
        if reading.orders > 200 and not stops:
            stops.append(reading.orders)
            shop.stop("oltp")
            shop.start("oltp")

    disturb = Disturbance(restart)
    report = simulate(
        shop, seed=9, live=Live(orders_per_second=400, orders=1_200), on_progress=disturb.told
    )
    disturb.check()
    assert stops
    assert story(shop) == expected
    assert report.phases[0].counts.orders == 1_200


def test_told_to_stop_while_the_database_is_away_it_ends(shop):
    stopping = threading.Event()

    def stop_both(reading):
        if reading.orders > 50 and not stopping.is_set():
            shop.stop("oltp")
            stopping.set()

    disturb = Disturbance(stop_both)
    try:
        with pytest.raises(Exception, match="Stopped while the shop's database was unavailable"):
            simulate(
                shop,
                live=Live(orders_per_second=200),
                stopping=stopping,
                on_progress=disturb.told,
            )
    finally:
        disturb.check()
        shop.start("oltp")
    check_shop(shop)


def test_others_may_delete_what_the_simulator_builds_on(shop):
    deleted = []

    def delete_customers(reading):
        if reading.orders > 100 and not deleted:
            # Either of two that wait for each other may have to give way.
            with connect(shop) as admin, suppress(psycopg.errors.DeadlockDetected):
                deleted.append(admin.execute("delete from customers where customer_id % 3 = 0"))

    disturb = Disturbance(delete_customers)
    simulate(shop, live=Live(orders_per_second=400, orders=1_000), on_progress=disturb.told)
    disturb.check()
    assert deleted
    check_shop(shop)
    assert one(shop, "select count(*) from orders") == 1_000


def test_a_rate_that_cannot_be_held_is_said_so(shop):
    with structlog.testing.capture_logs() as logs:
        report = simulate(shop, live=Live(orders_per_second=1_000_000, minutes=0.05))
    assert report.phases[0].behind_seconds > 0
    assert [log for log in logs if log["event"] == "rate_not_held"]
    check_shop(shop)


def test_a_second_simulator_of_the_same_shop_is_refused(shop):
    stopping, refused = threading.Event(), []

    def another(_reading):
        if not stopping.is_set():
            with pytest.raises(StopPipelineError, match="Another simulator"):
                simulate(shop, live=Live(orders_per_second=10, orders=1))
            refused.append(True)
            stopping.set()

    simulate(shop, live=Live(orders_per_second=20), stopping=stopping, on_progress=another)
    assert refused


@pytest.fixture
def slot(shop):
    """A slot that does not move: with each call, one that begins where the server is now."""

    def renew():
        with connect(shop) as admin:
            admin.execute(_DROP_SLOT, [SLOT])
            admin.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])

    renew()
    yield renew
    with connect(shop) as admin:
        admin.execute(_DROP_SLOT, [SLOT])


_DROP_SLOT = """
select pg_drop_replication_slot(s.slot_name) from pg_replication_slots as s where s.slot_name = %s
"""


@pytest.mark.long
def test_the_slot_throttles_before_its_wal_is_used_up(shop, slot):
    """A filling rests below what the slot may hold back, and continues when that shrinks."""
    measurements, held, stopping = [], [], threading.Event()

    def release_when_at_rest(reading):
        measurements.append(reading)
        last = [r.orders for r in measurements[-6:] if r.slot_share > 0.7]
        if len(last) == 6 and len(set(last)) == 1:
            held.append(reading)
            measurements.clear()
            slot()
            if len(held) == 2:
                stopping.set()

    simulate(
        shop,
        history=History(days=400, orders=400_000, end=END),
        stopping=stopping,
        on_progress=release_when_at_rest,
    )
    assert held[0].orders < held[1].orders < 400_000
    assert all(0.7 < reading.slot_share < 0.95 for reading in held)
    check_shop(shop)


def test_the_slot_throttles_a_live_shop_too(shop, slot):
    with connect(shop) as admin:
        admin.execute(_WRITE_WAL, [int(WAL_KEEP_MB * 0.8)])
    measurements, stopping = [], threading.Event()

    def release(reading):
        measurements.append(reading)
        if len(measurements) == 4:
            slot()
        if reading.orders > 50:
            stopping.set()

    simulate(shop, live=Live(orders_per_second=100), stopping=stopping, on_progress=release)
    held = [reading.orders for reading in measurements if reading.slot_share > 0.75]
    assert len(held) >= 3
    assert len(set(held)) == 1


_WRITE_WAL = """
select count(pg_logical_emit_message(false, 'test', repeat('x', 1048576)))
from generate_series(1, %s)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_finishes_its_transaction_and_says_what_it_did(shop, number):
    process = shop.fork(
        "simulate", "--orders-per-second", 100, "--format", "json",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for line in process.stderr:
        if "orders/s" in line:
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    phase = json.loads(out)["phases"][0]
    assert phase["orders"] == one(shop, "select count(*) from orders")
    check_shop(shop)


@pytest.mark.long
def test_the_command_fills_a_history_and_continues_live(shop):
    run = shop.run(
        "simulate", "--history", 5, "--orders", 500, "--minutes", 0.05, "--seed", 4,
        "--dirt", 5, "--format", "json",
    )  # fmt: skip
    report = json.loads(run.stdout)
    assert report["seed"] == 4
    assert [phase["phase"] for phase in report["phases"]] == ["history", "live"]
    assert report["phases"][0]["orders"] == 500
    written = sum(phase["orders"] for phase in report["phases"])
    orders = next(row for row in report["tables"] if row["table"] == "orders")
    assert orders["inserted"] == written == one(shop, "select count(*) from orders")
    dirty = sum(phase["dirty_values"] for phase in report["phases"])
    assert dirty == one(shop, "select count(*) from ledger.dirt") > 0
    check_shop(shop)


def test_a_number_without_sense_ends_with_a_plain_message(shop):
    run = shop.run("simulate", "--orders-per-second", 0, check=False)
    assert run.returncode == 3
    assert "--orders-per-second is 0" in run.stderr
    assert "Traceback" not in run.stderr
