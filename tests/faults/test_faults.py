"""A storm: every fault strikes while the shop sells, in random order; then an exact reconcile.
Those of capture strike beside those of landing.

`--rounds` says how often each fault strikes, `--seed` makes order and moments repeatable. With
`--long`, the same on SeaweedFS.
"""

import json
import random
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest
from psycopg import sql

from lakehouse.postgres import oltp_dsn
from tests.stacks import new_stack, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
PATIENCE_SECONDS = 600  # a bound on waiting, not on being right: machines are busy
ORDERS_PER_SECOND = 40
SESSION_SECONDS = 10
BULK_ROWS = 100_000


@pytest.fixture(scope="module", params=["minio", pytest.param("seaweedfs", marks=pytest.mark.long)])
def shop(request):
    """A stack up to bronze, its own lander included, quick to flush."""
    other = {} if request.param == "minio" else {"STACK_STORE": request.param}
    with (new_stack if other else tenant)(LANDING_FLUSH_SECONDS=0.5, **other) as stack:
        stack.up("lander", "auto-restart")
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
        self.process = self.shop.fork(
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


class Storm:
    """The faults, and what of them must be found in bronze."""

    def __init__(self, shop, moments):
        self.shop, self.moments = shop, moments
        self.bulk_rows = 0
        self.tables = []

    def lander_killed(self):
        kill_and_wait(self.shop, "lander")

    def connect_killed(self):
        kill_and_wait(self.shop, "connect")

    def kafka_killed(self):
        kill_and_wait(self.shop, "kafka")

    def lander_frozen_beside_a_second_one(self):
        """It wakes as a zombie: the other has its partitions, and it may commit nothing."""
        second = self.shop.fork("land", "--metrics-port", 0, stderr=subprocess.DEVNULL)
        try:
            time.sleep(self.moments.uniform(0.5, 3))
            pid = self.shop.pid("lander")
            assert pid is not None  # which psutil takes for this process
            zombie = psutil.Process(pid)
            zombie.suspend()
            time.sleep(SESSION_SECONDS + 3)
            zombie.resume()
        finally:
            second.terminate()
            assert second.wait(timeout=PATIENCE_SECONDS) == 0

    def store_stopped_for_twenty_seconds(self):
        lander = self.shop.pid("lander")
        self.shop.stop("minio")
        time.sleep(20)
        self.shop.start("minio")
        assert self.shop.pid("lander") == lander, "it waits, it does not die"

    def shop_database_restarted(self):
        self.shop.stop("oltp")
        self.shop.start("oltp")
        before = count(self.shop, "orders")
        until(lambda: count(self.shop, "orders") > before, "orders after the restart")

    def hundred_thousand_rows_in_one_transaction(self):
        with psycopg.connect(dsn(self.shop)) as connection, connection.cursor() as cursor:
            columns = "session_id, interaction_type, device, occurred_at"
            with cursor.copy(f"copy public.interactions ({columns}) from stdin") as copy:
                for number in range(BULK_ROWS):
                    copy.write_row((f"bulk-{number}", "view", "desktop", "2026-11-01T12:00:00Z"))
        self.bulk_rows += BULK_ROWS

    def table_added(self):
        """Made, filled and changed within moments; it lands from its first row."""
        self.tables.append(f"gift_cards_{len(self.tables)}")
        name = sql.Identifier(self.tables[-1])
        with psycopg.connect(dsn(self.shop, role="admin")) as connection:
            connection.execute(
                sql.SQL("create table public.{} (code text primary key, cents int)").format(name)
            )
            connection.execute(
                sql.SQL("insert into public.{} select 'c' || n, n from generate_series(1, 500) n")
                .format(name)
            )  # fmt: skip
        with psycopg.connect(dsn(self.shop, role="admin")) as connection:
            connection.execute(sql.SQL("update public.{} set cents = cents + 1").format(name))
            connection.execute(sql.SQL("delete from public.{} where cents < 100").format(name))

    def everything_killed_at_once(self):
        victims = ("lander", "connect", "kafka", "minio")
        with ThreadPoolExecutor(len(victims)) as pool:
            list(pool.map(lambda service: kill_and_wait(self.shop, service), victims))


OF_CAPTURE = (
    Storm.connect_killed,
    Storm.shop_database_restarted,
    Storm.hundred_thousand_rows_in_one_transaction,
    Storm.table_added,
)
OF_LANDING = (
    Storm.lander_killed,
    Storm.lander_frozen_beside_a_second_one,
    Storm.store_stopped_for_twenty_seconds,
)
WAVES = (
    (OF_CAPTURE, OF_LANDING),
    ((Storm.kafka_killed,),),
    ((Storm.everything_killed_at_once,),),
)
"""What strikes side by side: no fault kills what one beside it kills, or says must not die."""
FAULTS = [fault for wave in WAVES for group in wave for fault in group]


def test_every_change_lands_once_whatever_fails_while_the_shop_sells(shop, orders, rounds, moments):
    storm, struck = Storm(shop, moments), Counter()

    def shuffled(group):
        return [(fault, moments.uniform(0.2, 3)) for fault in moments.sample(group, len(group))]

    def strike(faults):
        for fault, seconds in faults:
            time.sleep(seconds)
            fault(storm)
            struck[fault.__name__] += 1

    for _ in range(rounds):
        for wave in moments.sample(WAVES, len(WAVES)):
            with ThreadPoolExecutor() as pool:
                list(pool.map(strike, list(map(shuffled, wave))))
    orders.stop()
    report = assert_exact(shop, tables=8 + len(storm.tables))
    told = "\n".join(f"{times:4} x {name}" for name, times in struck.items())
    print(f"faults:\n{told}")  # noqa: T201
    assert struck == {fault.__name__: rounds for fault in FAULTS}
    found = {table["table"]: table for table in report["tables"]}
    with psycopg.connect(dsn(shop)) as connection:
        bulk = connection.execute(
            "select count(*) from public.interactions where session_id like 'bulk-%'"
        ).fetchone()[0]
    assert bulk == storm.bulk_rows
    assert found["interactions"]["bronze_rows"] == count(shop, "interactions") >= bulk
    for name in storm.tables:
        assert found[name]["bronze_rows"] == 402
        assert found[name]["changes"] >= 500 + 500 + 98
