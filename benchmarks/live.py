"""What the live consumer takes for a change, beside a consumer that only copies records.

Both read the same topics on the same machine at the same time, each at its own pace, and write into
the same database.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg

from benchmarks.freshness import RATES, WARM_UP_SECONDS, orders
from benchmarks.raw_copy import COUNT
from devtools.test_stack import TestStack, new_stack
from lakehouse.postgres import warehouse_dsn

SMALL = {"seconds": 15, "rounds": 1}
SECONDS = 60
_SESSIONS = "select a.pid from pg_stat_activity as a where a.usename = 'live'"
ROUNDS = 3


def run(seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, object]:
    """Let the simulator order at each rate, and watch both processes.

    Returns:
        For each rate and round: changes, microseconds of a core that each process took for a
        change, and the ratio; and what the database took for live's.
    """
    with new_stack() as stack:
        stack.run("up", "live", timeout=900)
        dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
        found = [
            _watch(stack, dsn, rate, seconds) | {"round": number + 1}
            for number in range(rounds)
            for rate in RATES
        ]
    return {"changes": found}


def _watch(stack: TestStack, dsn: str, rate: int, seconds: float) -> dict[str, object]:
    with _raw_copy(stack) as raw, orders(stack, rate):
        live = psutil.Process(stack.pid("live"))
        time.sleep(WARM_UP_SECONDS)
        before = _used(live), _used(raw), *_of_database(dsn)
        time.sleep(seconds)
        after = _used(live), _used(raw), *_of_database(dsn)
    of_live, of_raw, of_database, changes = (
        one - other for one, other in zip(after, before, strict=True)
    )
    return {
        "orders_per_second": rate,
        "changes": round(changes),
        "live_microseconds": round(of_live / changes * 1e6),
        "raw_copy_microseconds": round(of_raw / changes * 1e6),
        "ratio": round(of_live / of_raw, 2),
        "database_microseconds": round(of_database / changes * 1e6),
    }


@contextmanager
def _raw_copy(stack: TestStack) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "benchmarks.raw_copy"]
    with subprocess.Popen(command, env=dict(stack.env)) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _of_database(dsn: str) -> tuple[float, float]:
    """Return the seconds that live's session has used, and the number of changes copied."""
    with psycopg.connect(dsn) as connection:
        sessions = connection.execute(_SESSIONS).fetchall()
        row = connection.execute(COUNT).fetchone()
    return sum(_used(psutil.Process(pid)) for (pid,) in sessions), row[0] if row else 0
