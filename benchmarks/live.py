"""What the live consumer takes for a change, beside a consumer that only copies records.

Both read the same topics on the same machine at the same time, each at its own pace, and write into
the same database.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
import psutil
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.freshness import RATES, WARM_UP_SECONDS, orders
from devtools.test_stack import TestStack, new_stack
from lakehouse.postgres import warehouse_dsn

SMALL = {"seconds": 15, "rounds": 1}
SECONDS = 60
_SESSIONS = """
select a.pid, a.backend_start
from pg_stat_activity as a
where a.usename = 'live' and a.backend_type = 'client backend'"""
_COPIED = """
select count(*), count(*) filter (where r."offset" > coalesce(w.last_offset, -1))
from raw_copy as r
left join live.watermark as w
    on w.entity = substring(r.topic from '[^.]+$') and w.partition = r.partition"""
ROUNDS = 3


def run(seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, object]:
    """Let the simulator order at each rate, and watch both processes.

    Returns:
        For each rate and round: changes, microseconds of a core that each process took for a
        change, and the ratio; what the database took for live's; and how many changes that were
        copied live had still to apply.
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
        before = _read(stack, live, raw, dsn)
        time.sleep(seconds)
        after = _read(stack, live, raw, dsn)
    return {"orders_per_second": rate, **after.since(before)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was used and done so far.

    Attributes:
        live: seconds of the consumer.
        raw: seconds of the copy.
        sessions: seconds of each session of live, by process and start.
        applied: changes, as live counts them; offsets would count transaction markers, too.
        copied: changes.
        behind: changes that were copied, and live did not apply yet.
    """

    live: float
    raw: float
    sessions: Mapping[tuple[int, datetime], float]
    applied: int
    copied: int
    behind: int

    def since(self, before: "Reading") -> dict[str, object]:
        """Return what a change took since then, each by the changes that it processed itself.

        Raises:
            RuntimeError: live connected again, or one of them processed nothing.
        """
        if self.sessions.keys() != before.sessions.keys():
            message = (
                "live connected to the warehouse again while it was watched, so the seconds of its "
                "session are not known: run the benchmark again"
            )
            raise RuntimeError(message)
        applied, copied = self.applied - before.applied, self.copied - before.copied
        if applied <= 0 or copied <= 0:
            message = (
                f"nothing to compare: live applied {applied} changes, and {copied} were copied"
            )
            raise RuntimeError(message)
        of_live, of_raw = (self.live - before.live) / applied, (self.raw - before.raw) / copied
        of_database = (sum(self.sessions.values()) - sum(before.sessions.values())) / applied
        return {
            "changes_applied": applied,
            "changes_copied": copied,
            "changes_behind_at_end": self.behind,
            "live_microseconds": round(of_live * 1e6),
            "raw_copy_microseconds": round(of_raw * 1e6),
            "ratio": round(of_live / of_raw, 2),
            "database_microseconds": round(of_database * 1e6),
        }


def _read(stack: TestStack, live: psutil.Process, raw: psutil.Process, dsn: str) -> Reading:
    port = stack.config.monitoring.metrics_port("live")
    with psycopg.connect(dsn) as connection:
        sessions = connection.execute(_SESSIONS).fetchall()
        used = _used(live), _used(raw), [_used(psutil.Process(pid)) for pid, _ in sessions]
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        # Last, as it takes a while; its snapshot is of its beginning.
        copied, behind = connection.execute(_COPIED).fetchone() or (0, 0)
    return Reading(
        live=used[0],
        raw=used[1],
        sessions=dict(zip(sessions, used[2], strict=True)),
        applied=_changes(page),
        copied=copied,
        behind=behind,
    )


def _changes(page: str) -> int:
    found = [one for one in text_string_to_metric_families(page) if one.name == "live_changes"]
    samples = (sample for one in found for sample in one.samples)
    return round(sum(one.value for one in samples if one.name == "live_changes_total"))


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
