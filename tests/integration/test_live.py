"""The live consumer on the real services: charts equal the shop, whatever happens to it."""

import os
import random
import signal
import subprocess
import time

import psycopg
import pytest

from lakehouse.contracts import ENTITIES
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from tests.stacks import capture_paused, popen_with, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
PATIENCE_SECONDS = 300
# Written by hand against the shop's own tables.
SHOP_SALES = """
select
    count(*),
    sum(l.quantity),
    sum(l.quantity) filter (where o.status <> 'cancelled' or o.paid_at is not null)
from public.order_lines as l
inner join public.orders as o on l.order_id = o.order_id"""
SHOP_TOTALS = """
select o.order_id, (o.base_total_amount * 100)::bigint
from public.orders as o
where
    o.subtotal_amount > 0
    and exists (select from public.order_lines as l where l.order_id = o.order_id)
order by 1"""
LIVE_SALES = "select count(*), sum(units), sum(units) filter (where counts) from mart.live_sales"
LIVE_TOTALS = """
select s.order_id, sum(s.total_cents)::bigint
from mart.live_sales as s
group by s.order_id
having sum(s.total_cents) > 0
order by 1"""


@pytest.fixture(scope="module")
def shop():
    """A stack of its own, with some days of a shop, in bronze and in live charts."""
    with tenant(LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up("lander", "live")
        stack.run("simulate", "--history", 30, "--orders", 800, "--seed", 3, "--dirt", 0)
        # All topics are there: those of rare changes come last.
        settle(stack)
        yield stack


def ask(stack, query, *, role="live"):
    with psycopg.connect(warehouse_dsn(stack.warehouse, stack.secrets, role=role)) as connection:
        return connection.execute(query).fetchall()


def ask_shop(stack, query):
    with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="reconcile")) as connection:
        return connection.execute(query).fetchall()


def selling(stack, orders=300, rate=60):
    return stack.fork(
        "simulate", "--orders", orders, "--orders-per-second", rate, "--dirt", 0,
        "--format", "json",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def differences(stack):
    """Tables whose rows, and metrics that, are not those of the shop."""
    found = {}
    for table in ENTITIES:
        query = "select count(*), sum(version) from {}.{}"
        there = ask_shop(stack, query.format("public", table))
        here = ask(stack, query.format("resolved", table))
        if there != here:
            found[table] = (there, here)
    for name, there, here in (
        ("sales", SHOP_SALES, LIVE_SALES),
        ("totals", SHOP_TOTALS, LIVE_TOTALS),
    ):
        if (shop := ask_shop(stack, there)) != (shown := ask(stack, here)):
            found[name] = (len(shop), len(shown), sorted(set(shop) ^ set(shown))[:6])
    return found


def assert_equal_in_the_end(stack):
    """The shop stands still; live may take a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found := differences(stack):
        assert time.monotonic() < deadline, (found, stack.pid("live"), told_by_live(stack))
        time.sleep(1)


def told_by_live(stack):
    return (stack.data_dir / "log" / "live.log").read_text()[-4000:]


@pytest.mark.long
def test_charts_equal_the_shop_before_during_and_after_a_consolidation(shop):
    assert_equal_in_the_end(shop)
    simulator = selling(shop)
    shop.run("consolidate")
    shop.run("consolidate")
    assert simulator.wait(PATIENCE_SECONDS) == 0
    assert_equal_in_the_end(shop)
    shop.run("reconcile")
    shop.run("consolidate")
    assert_equal_in_the_end(shop)
    # The warehouse has everything by now, and the overlay is empty.
    kept = "select (select count(*) from live.orders) + (select count(*) from live.sales)"
    assert ask(shop, kept) == [(0,)]


def test_killed_at_any_moment_live_is_exact_afterwards(shop, request):
    moments = random.Random(request.config.getoption("--seed"))
    simulator = selling(shop, orders=400)
    for _ in range(2 * request.config.getoption("--rounds")):
        time.sleep(moments.uniform(0.2, 3))
        if shop.pid("live"):
            shop.kill("live")
    assert simulator.wait(PATIENCE_SECONDS) == 0
    assert_equal_in_the_end(shop)


def test_while_the_warehouse_is_away_live_waits_and_loses_nothing(shop):
    before = shop.pid("live")
    shop.control.stop("warehouse")
    assert selling(shop, orders=120).wait(PATIENCE_SECONDS) == 0
    shop.control.start("warehouse")
    assert_equal_in_the_end(shop)
    assert shop.pid("live") == before


@pytest.mark.long
def test_a_second_consumer_takes_over_from_one_that_froze(shop):
    """The frozen one wakes up with changes of partitions that are no longer its own."""
    frozen = shop.pid("live")
    second = shop.fork("live", "--metrics-port", 0, stderr=subprocess.DEVNULL)
    try:
        simulator = selling(shop, orders=400, rate=30)
        time.sleep(2)
        os.kill(frozen, signal.SIGSTOP)
        time.sleep(14)
        os.kill(frozen, signal.SIGCONT)
        assert simulator.wait(PATIENCE_SECONDS) == 0
        assert_equal_in_the_end(shop)
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_SECONDS) == 0


def test_consumers_that_come_and_go_leave_the_others_alone(shop, request):
    """Each time, partitions are revoked while records are polled, and are assigned again."""
    names = ("live", "lander")
    before = [shop.pid(name) for name in names]
    simulator = selling(shop, orders=6_000, rate=150)
    for _ in range(request.config.getoption("--rounds")):
        others = [
            shop.fork(command, "--metrics-port", 0, stderr=subprocess.DEVNULL)
            for command in ("live", "land")
        ]
        time.sleep(4)
        for other in others:
            other.send_signal(signal.SIGTERM)
        assert [other.wait(PATIENCE_SECONDS) for other in others] == [0, 0]
    simulator.send_signal(signal.SIGTERM)
    simulator.wait(PATIENCE_SECONDS)
    assert_equal_in_the_end(shop)
    shop.run("reconcile")
    assert [shop.pid(name) for name in names] == before


def live_in_batches_of(rows, stack):
    constants = {"consumers.live.service._BATCH_ROWS": rows}
    words = ("live", "--metrics-port", 0)
    return popen_with(stack, constants, *words, stderr=subprocess.DEVNULL)


@pytest.mark.long
def test_full_it_waits_for_a_consolidation_and_says_so(shop):
    shop.control.stop("live")
    live = live_in_batches_of(10, shop.with_settings(LIVE_MAX_ROWS=300))
    try:
        # For ten seconds: it looks every two whether it is full.
        assert selling(shop, orders=600).wait(PATIENCE_SECONDS) == 0
        wait_for_state(shop, is_full=True)
        assert differences(shop)
        # The shop's heart continues, but nobody sees what happens there.
        until_no_heartbeat_is_seen(shop)
        shop.run("reconcile")
        shop.run("consolidate")
        wait_for_state(shop, is_full=False)
        assert_equal_in_the_end(shop)
    finally:
        live.send_signal(signal.SIGTERM)
        assert live.wait(PATIENCE_SECONDS) == 0
        shop.control.start("live")


def until_no_heartbeat_is_seen(stack):
    """Those that had come before it was full may take a moment."""
    seen = "select last_heartbeat_at from mart.live_freshness"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        before = ask(stack, seen)
        time.sleep(6)
        if ask(stack, seen) == before:
            return
        assert time.monotonic() < deadline


@pytest.mark.long
def test_after_a_time_down_charts_are_live_only_when_they_show_the_shop(shop):
    """Heartbeats come at once; what was sold meanwhile takes its time, cut into small batches."""
    assert_equal_in_the_end(shop)
    shop.control.stop("live")
    assert selling(shop, orders=600, rate=200).wait(PATIENCE_SECONDS) == 0
    time.sleep(12)
    live = live_in_batches_of(20, shop)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        states = []
        while states[-1:] != ["live"]:
            assert time.monotonic() < deadline
            states += [state for (state,) in ask(shop, "select state from mart.live_freshness")]
            missing = differences(shop) if states[-1] == "live" else {}
        assert missing == {}
        assert len(states) > 1
    finally:
        live.send_signal(signal.SIGTERM)
        assert live.wait(PATIENCE_SECONDS) == 0
        shop.control.start("live")


def wait_for_state(stack, *, is_full):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ask(stack, "select is_full from live.state") != [(is_full,)]:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def until_live(stack):
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen = "select state from mart.live_freshness"
    while (found := ask(stack, seen, role="reader")) != [("live",)]:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_an_idle_shop_and_a_pipeline_that_stands_still_look_different(shop):
    assert_equal_in_the_end(shop)
    until_live(shop)
    time.sleep(12)
    until_live(shop)
    with capture_paused(shop):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ask(shop, "select state from mart.live_freshness") == [("live",)]:
            assert time.monotonic() < deadline
            time.sleep(1)


@pytest.mark.long
def test_a_table_that_nobody_shows_is_not_read_so_that_its_topic_can_hold_nothing_up(shop):
    with psycopg.connect(oltp_dsn(shop.oltp, shop.secrets, role="admin")) as connection:
        connection.execute("create table public.coupons (coupon_id bigint primary key)")
        connection.execute("insert into public.coupons values (1)")
        # Its topic would be that of another table.
        connection.execute('create table public."order lines" (order_line_id bigint primary key)')
        connection.execute('insert into public."order lines" values (1)')
    shop.run("reconcile")
    assert selling(shop).wait(PATIENCE_SECONDS) == 0
    assert_equal_in_the_end(shop)
    read = {entity for (entity,) in ask(shop, "select entity from live.topic")}
    assert read == set(ENTITIES)
    with psycopg.connect(oltp_dsn(shop.oltp, shop.secrets, role="admin")) as connection:
        connection.execute('drop table public.coupons, public."order lines"')


@pytest.mark.long
def test_all_tables_truncated_at_once_end_everywhere_and_the_same_keys_begin_again(shop):
    """Every row of the shop goes in one statement; then a smaller shop takes the same keys."""
    shop.run("consolidate")
    with psycopg.connect(oltp_dsn(shop.oltp, shop.secrets, role="admin")) as connection:
        connection.execute(
            "truncate suppliers, customers, ledger.dirt, ledger.progress restart identity cascade"
        )
    assert {ask_shop(shop, f"select count(*) from public.{table}")[0] for table in ENTITIES} == {
        (0,)
    }
    assert_equal_in_the_end(shop)
    shop.run("simulate", "--history", 3, "--orders", 300, "--seed", 3, "--dirt", 0)
    assert_equal_in_the_end(shop)
    shop.run("consolidate")
    assert shop.run("reconcile", check=False).returncode == 0
    assert_equal_in_the_end(shop)


def test_the_role_of_live_writes_nothing_but_live(shop):
    for statement in (
        "delete from entity.orders", "update etl.watermark set last_offset = 0",
        "insert into mart.stock_levels values (1, 'x', 1, '2026-01-01')",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(shop, statement)
