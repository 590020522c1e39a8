"""What many partitions cost a lander, and what a second lander gains: the evidence of SCALING.md.

Each landing has a topic of its own. Its messages are one transaction, which is committed once all
landers have their partitions: so they begin at the same moment, with everything to read. One lander
reads four partitions, then sixty-four; and, on four again, one that may use one core only, beside
two, each on a core of its own.
"""

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil
from deltalake import DeltaTable

from benchmarks import landing
from benchmarks.coordinates import Columns, Table, counted
from devtools.test_stack import TestStack, new_stack
from lakehouse.contracts.bronze import bronze_table
from lakehouse.lake import storage_options, table_uri

SMALL = {"messages": 100_000, "rounds": 1}
MESSAGES = 500_000
ROUNDS = 3
_ASK_SECONDS = 0.05
_LONGEST_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Partitions of the topic, and for each lander its core; None: any."""

    name: str
    partitions: int
    cores: tuple[int | None, ...]


_CASES = (
    _Case(name="one", partitions=4, cores=(None,)),
    _Case(name="one, 64 partitions", partitions=64, cores=(None,)),
    _Case(name="one, on one core", partitions=4, cores=(0,)),
    _Case(name="two, on a core each", partitions=4, cores=(0, 1)),
)


def run(messages: int = MESSAGES, rounds: int = ROUNDS) -> dict[str, object]:
    """Land as many messages in each case, in turn, so often.

    Returns:
        Of each case, medians: messages a second, microseconds of the landers' processor time for a
        message, the greatest resident memory of one, and files of a commit.

    Raises:
        RuntimeError: a message is missing or doubled, or landing takes too long.
    """
    before = psutil.getloadavg()[0]
    found: dict[str, list[dict[str, float]]] = {}
    with new_stack() as stack:
        stack.up("kafka", "minio")
        for turn in range(rounds):
            for number, case in enumerate(_CASES):
                landed = _landed(stack, case, messages, f"landers{turn}{number}")
                found.setdefault(case.name, []).append(landed)
    return {
        "messages": messages,
        "rounds": rounds,
        "load_before": round(before, 1),
        "load_after": round(psutil.getloadavg()[0], 1),
        "landers": [
            {
                "landers": name,
                **{
                    what: round(statistics.median(landed[what] for landed in all_rounds), 1)
                    for what in all_rounds[0]
                },
            }
            for name, all_rounds in found.items()
        ],
    }


def _landed(stack: TestStack, case: _Case, messages: int, prefix: str) -> dict[str, float]:
    topic = f"{prefix}.public.orders"
    landing.empty(stack, stack.minio.bronze_bucket)
    settings = stack.with_settings(CONNECT_TOPIC_PREFIX=prefix, LANDING_FLUSH_SECONDS=1)
    table = Table(
        uri=table_uri(stack.minio.bronze_bucket, bronze_table(topic)),
        options=storage_options(stack.minio, stack.secrets, user="reader"),
        columns=Columns(partition="_partition", offset="_offset"),
    )
    landing.make_topic(stack, topic, case.partitions)
    with _running(settings, topic, case.cores) as landers:
        landing.fill(stack, messages, topic, in_transaction=True)
        used, began = _seconds_of(landers), time.monotonic()
        peak, rows = 0, table.watched()
        while rows() < messages:
            if time.monotonic() - began > _LONGEST_SECONDS:
                message = f"{case.name}: {rows()} of {messages} messages landed"
                raise RuntimeError(message)
            peak = max(peak, *(lander.memory_info().rss for lander in landers))
            time.sleep(_ASK_SECONDS)
        seconds, used = time.monotonic() - began, _seconds_of(landers) - used
    count = counted(table.coordinates(), messages)
    if count.lost or count.doubled:
        message = f"{case.name}: {count}"
        raise RuntimeError(message)
    delta = DeltaTable(table.uri, storage_options=dict(table.options))
    commits = sum(commit["operation"] == "WRITE" for commit in delta.history())
    return {
        "per_second": messages / seconds,
        "cpu_us": used / messages * 1e6,
        "peak_rss_mb": peak / 1024 / 1024,
        "files_of_a_commit": len(delta.file_uris()) / commits,
    }


@contextmanager
def _running(
    stack: TestStack, topic: str, cores: Sequence[int | None]
) -> Iterator[list[psutil.Process]]:
    """Start landers that all have partitions; at the end, stop them."""
    with ExitStack() as ends:
        landers = []
        for core in cores:
            lander = stack.popen("land", "--metrics-port", "0", stderr=subprocess.PIPE)
            ends.callback(lander.communicate, timeout=60)
            ends.callback(lander.terminate)
            landers.append(psutil.Process(lander.pid))
            if core is not None:
                # Threads that it starts from now on inherit it.
                landers[-1].cpu_affinity([core])
            landing.assigned_at(lander, topic)
        yield landers


def _seconds_of(landers: Sequence[psutil.Process]) -> float:
    return sum(sum(lander.cpu_times()[:2]) for lander in landers)
