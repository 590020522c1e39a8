"""What may go wrong goes wrong, while a shop is open. Each test ends with an exact reconcile.

`--rounds` says how often each fault strikes, `--seed` makes its moments repeatable.
"""

import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest
from psycopg import sql

from lakehouse.postgres import oltp_dsn
from tests.stacks import new_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
PATIENCE_SECONDS = 600  # a bound on waiting, not on being right: machines are busy
ORDERS_PER_SECOND = 40


@pytest.fixture(scope="module")
def shop():
    """The whole stack, its own lander included, quick to flush and to notice a dead member."""
    with new_stack(LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up()
        yield stack


@pytest.fixture
def rounds(request):
    return request.config.getoption("rounds")


@pytest.fixture
def moments(request):
    """Random pauses; printed with a failing test."""
    seed = request.config.getoption("seed")
    seed = random.randrange(1_000_000) if seed is None else seed
    print(f"seed of the moments: {seed}")  # noqa: T201
    return random.Random(f"{seed}/{request.node.name}")


@pytest.fixture
def orders(shop):
    """Customers ordering until the test has done its worst; then nothing more is written."""
    with Orders(shop) as found:
        yield found


class Orders:
    """A simulator at work."""

    def __init__(self, shop):
        self.shop = shop

    def __enter__(self):
        rate, before = str(ORDERS_PER_SECOND), count(self.shop, "orders")
        self.process = self.shop.popen(
            "simulate", "--orders-per-second", rate, "--format", "json",
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: count(self.shop, "orders") > before, "the first orders")
        return self

    def stop(self):
        """Returns how many orders it placed."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, out
        placed = json.loads(out)["phases"][0]["orders"]
        assert placed > 0
        return placed

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def dsn(shop, role="simulator"):
    return oltp_dsn(shop.oltp, shop.secrets, role=role)


def count(shop, table):
    with psycopg.connect(dsn(shop)) as connection:
        return connection.execute(
            sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))
        ).fetchone()[0]


def kill_and_wait(shop, service):
    """kill -9; returns when supervisor has started it again and it answers."""
    before = shop.pid(service)
    shop.kill(service)

    def is_back():
        found = next(row for row in shop.control.status() if row.service == service)
        return found.pid not in {None, before} and found.is_ready

    until(is_back, f"{service} to come back")


def assert_exact(shop, *, tables=8):
    result = shop.with_settings(RECONCILE_TIMEOUT_SECONDS=PATIENCE_SECONDS).run(
        "reconcile", "--format", "json", check=False, timeout=PATIENCE_SECONDS + 300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["exact"] is True
    assert len(report["tables"]) >= tables
    sold = next(table for table in report["tables"] if table["table"] == "orders")
    assert sold["source_rows"] == sold["bronze_rows"] == count(shop, "orders")
    return report


def test_lander_killed_at_random_moments_lands_every_change_once(shop, orders, rounds, moments):
    for _ in range(3 * rounds):
        time.sleep(moments.uniform(0.2, 4))
        kill_and_wait(shop, "lander")
    orders.stop()
    assert_exact(shop)


def test_connect_killed_at_random_moments_sends_every_change_once(shop, orders, rounds, moments):
    for _ in range(rounds):
        time.sleep(moments.uniform(1, 6))
        kill_and_wait(shop, "connect")
    orders.stop()
    assert_exact(shop)


def test_kafka_killed_at_random_moments_keeps_every_change_once(shop, orders, rounds, moments):
    for _ in range(rounds):
        time.sleep(moments.uniform(1, 6))
        kill_and_wait(shop, "kafka")
    orders.stop()
    assert_exact(shop)


def test_zombie_that_wakes_beside_a_second_lander_lands_nothing_twice(
    shop, orders, rounds, moments
):
    second = shop.with_settings(LANDING_METRICS_PORT=0).popen("land", stderr=subprocess.DEVNULL)
    try:
        for _ in range(rounds):
            time.sleep(moments.uniform(0.5, 3))
            pid = shop.pid("lander")
            assert pid is not None  # which psutil takes for this process
            zombie = psutil.Process(pid)
            zombie.suspend()
            time.sleep(9)  # past the session's six seconds: the other has its partitions now
            zombie.resume()
        orders.stop()
        assert_exact(shop)
    finally:
        second.terminate()
        assert second.wait(timeout=PATIENCE_SECONDS) == 0


def test_store_away_for_twenty_seconds_stops_nothing_for_good(shop, orders, rounds, moments):
    for _ in range(rounds):
        time.sleep(moments.uniform(0.5, 3))
        lander = shop.pid("lander")
        shop.stop("minio")
        time.sleep(20)
        shop.start("minio")
        assert shop.pid("lander") == lander, "it waits, it does not die"
    orders.stop()
    assert_exact(shop)


def test_shop_database_restarted_loses_no_order_and_no_change(shop, orders, rounds, moments):
    for _ in range(rounds):
        time.sleep(moments.uniform(1, 4))
        shop.stop("oltp")
        shop.start("oltp")
    before = count(shop, "orders")
    until(lambda: count(shop, "orders") > before, "orders after the restart")
    orders.stop()
    assert_exact(shop)


def test_hundred_thousand_rows_in_one_transaction_land_once(shop):
    rows = 100_000
    with psycopg.connect(dsn(shop)) as connection, connection.cursor() as cursor:
        before = count(shop, "interactions")
        columns = "session_id, interaction_type, device, occurred_at"
        with cursor.copy(f"copy public.interactions ({columns}) from stdin") as copy:
            for number in range(rows):
                copy.write_row((f"bulk-{number}", "view", "desktop", "2026-11-01T12:00:00Z"))
    assert count(shop, "interactions") == before + rows
    report = assert_exact(shop)
    landed = next(t for t in report["tables"] if t["table"] == "interactions")
    assert landed["bronze_rows"] == before + rows


def test_table_added_while_running_lands_from_its_first_row(shop, orders, rounds):
    admin = dsn(shop, role="admin")
    for number in range(rounds):
        name = sql.Identifier(f"gift_cards_{number}")
        with psycopg.connect(admin) as connection:
            # In one transaction, while orders flow: made, filled, changed.
            connection.execute(
                sql.SQL("create table public.{} (code text primary key, cents int)").format(name)
            )
            connection.execute(
                sql.SQL("insert into public.{} select 'c' || n, n from generate_series(1, 500) n")
                .format(name)
            )  # fmt: skip
        with psycopg.connect(admin) as connection:
            connection.execute(sql.SQL("update public.{} set cents = cents + 1").format(name))
            connection.execute(sql.SQL("delete from public.{} where cents < 100").format(name))
    orders.stop()
    report = assert_exact(shop, tables=8 + rounds)
    found = {table["table"]: table for table in report["tables"]}
    for number in range(rounds):
        assert found[f"gift_cards_{number}"]["bronze_rows"] == 402
        assert found[f"gift_cards_{number}"]["changes"] >= 500 + 500 + 98


def test_everything_killed_at_once_ends_exact(shop, orders, rounds, moments):
    for _ in range(rounds):
        time.sleep(moments.uniform(1, 4))
        victims = ("lander", "connect", "kafka", "minio")
        with ThreadPoolExecutor(len(victims)) as pool:
            list(pool.map(lambda service: kill_and_wait(shop, service), victims))
    orders.stop()
    assert_exact(shop)
