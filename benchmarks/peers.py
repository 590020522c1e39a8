"""Other systems beside the lander: the same topic, the same broker, the same store, in turn.

Each system runs in an environment of its own, which this command makes in the cache from
hash-locked files. Measured are speed and memory, and what is lost and doubled when the system is
killed by SIGKILL and started again. Every row of every result is counted by its coordinate.
"""

import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from benchmarks import landing
from benchmarks.coordinates import Columns, Table, counted
from benchmarks.peer_environment import peer_environment
from benchmarks.peer_programs.task import BEGINS, Task, path_of
from benchmarks.process_tree import ProcessTree
from devtools.test_stack import TestStack, new_stack
from lakehouse.choices import refuse_unknown
from lakehouse.contracts.bronze import bronze_table
from lakehouse.environment import process_environment
from lakehouse.errors import StopPipelineError
from lakehouse.lake import storage_options, table_uri
from lakehouse.object_store import object_store

SMALL = {"messages": 100_000, "rounds": 1}
MESSAGES = 500_000
ROUNDS = 3
KILLS = 1
_OURS = "lander"
_BUCKET = "peers"
_PROGRAMS = "benchmarks.peer_programs"
_SETTLED_SECONDS = 5.0
"""The lander, which does not end, is done when all is there and nothing was added for so long."""
_SETTLED_PEER_SECONDS = 120.0
"""The same for one that should end by itself, and may double rows until then: longer than it takes
to start on a busy machine. Flink does not end after it restored a bounded source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A system to compare with.

    One with a lock of jars runs on the machine's Java: that of our servers lacks a module that
    Spark loads. One without a lock of Python packages needs the standard library only.

    Attributes:
        name: of its program and its locks.
        guarantee: of delivery, by its documentation.
        is_delta: whether it writes a Delta table, not Parquet files alone.
    """

    name: str
    guarantee: str
    is_delta: bool = True


PEERS = {
    peer.name: peer
    for peer in (
        Peer(name="dlt", guarantee="none found for append"),
        Peer(name="quix", guarantee="at least once"),
        Peer(name="spark", guarantee="exactly once"),
        Peer(name="flink", guarantee="exactly once", is_delta=False),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """A system that can be started.

    Attributes:
        command: starts it; names of tables follow, for those that take any.
        begins: what it tells when it begins to read.
        table: where it lands; those that take names land in `_BUCKET`.
        takes_names: of tables; it ends when it has landed in each.
    """

    name: str
    guarantee: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    begins: str
    table: Table
    takes_names: bool = True

    def start(self, names: Sequence[str], log: Path) -> ProcessTree:
        """Start it, to land in each table in turn."""
        given = names if self.takes_names else ()
        return ProcessTree([*self.command, *given], env=self.env, begins=self.begins, log=log)

    def table_of(self, name: str) -> Table:
        """Return where it lands."""
        if not self.takes_names:
            return self.table
        return replace(self.table, uri=f"s3://{path_of(_BUCKET, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Messages a second, from the start of a process and from its first read; and its memory."""

    cold: float
    warm: float
    peak_rss_mb: float


def run(
    messages: int = MESSAGES,
    rounds: int = ROUNDS,
    kills: int = KILLS,
    peer: Sequence[str] = (),
) -> dict[str, object]:
    """Kill each system in the middle; then time each, and ours just before and after.

    Args:
        messages: in the topic.
        rounds: how often each is timed.
        kills: how often each is killed, later each time.
        peer: names of systems; by default all.

    Returns:
        A row for each system and for each kill.

    Raises:
        WrongArgumentError: there is no such system.
    """
    if others := sorted(set(peer) - set(PEERS)):
        refuse_unknown("system", others, PEERS)
    before = psutil.getloadavg()[0]
    with new_stack() as stack:
        stack.up("kafka", "minio")
        object_store(stack.minio, stack.secrets, user="admin").make_bucket(_BUCKET)
        landing.make_topic(stack)
        value_bytes = landing.fill(stack, messages)
        bench = _Bench(stack=stack, messages=messages, value_bytes=value_bytes)
        systems = bench.installed(peer or list(PEERS))
        killed = [kill for each in (_ours(stack), *systems) for kill in bench.kills(each, kills)]
        speeds = bench.speeds(systems, rounds)
    return {
        "messages": messages,
        "rounds": rounds,
        "load_before": round(before, 1),
        "load_after": round(psutil.getloadavg()[0], 1),
        "systems": speeds,
        "kills": killed,
        "failed": [{"system": name, "reason": why} for name, why in bench.failures.items()],
    }


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """The topic, filled, and what was measured with it."""

    stack: TestStack
    messages: int
    value_bytes: int
    runs: dict[str, list[_Run]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def installed(self, names: Sequence[str]) -> list[_System]:
        """Install systems, or note why one cannot be installed here."""
        found = []
        for name in names:
            try:
                found.append(_installed(self.stack, PEERS[name]))
            except StopPipelineError as error:
                self.failures[name] = str(error)
        return found

    def speeds(self, systems: Sequence[_System], rounds: int) -> list[dict[str, object]]:
        """Measure each system between two runs of ours."""
        ours = _ours(self.stack)
        before = self._speed(ours)
        for system in (one for _ in range(rounds) for one in systems):
            try:
                found = self._speed(system)
            except RuntimeError as error:  # the others are measured all the same
                self.failures[system.name] = str(error)
                continue
            after = self._speed(ours)
            share = found.warm / statistics.mean((before.warm, after.warm))
            self.shares.setdefault(system.name, []).append(share)
            before = after
        return [
            self._speed_row(system) for system in (ours, *systems) if self.runs.get(system.name)
        ]

    def kills(self, system: _System, times: int) -> list[dict[str, object]]:
        """Kill a system some times, later each time, and let it finish."""
        found: list[dict[str, object]] = []
        for number in range(times):
            share = (number + 1) / (times + 1)
            try:
                found.append(self._kill(system, share, f"{system.name}_kill_{number}"))
            except RuntimeError as error:
                self.failures[system.name] = str(error)
        return found

    def _speed(self, system: _System) -> _Run:
        """Measure two tables, the second by a process that is warm; ours lands one."""
        self._clear()
        number = len(self.runs.setdefault(system.name, []))
        names = [f"{system.name}_{kind}_{number}" for kind in ("cold", "warm")]
        spans = []
        with system.start(names, self._log_of(system)) as process:
            for turn, name in enumerate(names if system.takes_names else names[:1]):
                began = process.begun(turn)
                rows = system.table_of(name).watched()
                process.until(partial(self._is_there, rows))
                spans.append((began, time.monotonic()))
        found = _Run(
            cold=self.messages / (spans[0][1] - process.started),
            warm=self.messages / (spans[-1][1] - spans[-1][0]),
            peak_rss_mb=process.peak_rss_mb,
        )
        self.runs[system.name].append(found)
        tell({"system": system.name, **asdict(found)})
        return found

    def _kill(self, system: _System, share: float, name: str) -> dict[str, object]:
        """Kill it the moment that this share of the rows is visible: just after it has committed.

        Whoever records its position elsewhere, and later, has not done so yet.
        """
        self._clear()
        rows = system.table_of(name).watched()
        with system.start([name], self._log_of(system)) as process:
            process.until(partial(self._is_there, rows, share), at_once=True, may_end=True)
            process.kill()
        visible = rows()
        with system.start([name], self._log_of(system)) as process:
            quiet = _SETTLED_PEER_SECONDS if system.takes_names else _SETTLED_SECONDS
            process.until(_settled(rows, self.messages, quiet), may_end=True)
            seconds = time.monotonic() - process.started
        found = counted(system.table_of(name).coordinates(), self.messages)
        row: dict[str, object] = {
            "system": system.name,
            "killed_at": round(share, 2),
            "visible_then": visible,
            "seconds_from_restart": round(seconds, 1),
            "rows": found.rows,
            "lost": found.lost,
            "doubled": found.doubled,
            "is_whole": found.bytes == self.value_bytes,
        }
        tell(row)
        return row

    def _is_there(self, rows: Callable[[], int], share: float = 1.0) -> bool:
        return rows() >= share * self.messages

    def _speed_row(self, system: _System) -> dict[str, object]:
        runs = self.runs[system.name]
        return {
            "system": system.name,
            "warm_per_second": round(statistics.median(found.warm for found in runs)),
            "cold_per_second": round(statistics.median(found.cold for found in runs)),
            "share": round(statistics.median(self.shares.get(system.name, [1.0])), 2),
            "peak_rss_mb": round(max(found.peak_rss_mb for found in runs)),
            "guarantee": system.guarantee,
        }

    def _clear(self) -> None:
        for bucket in (_BUCKET, self.stack.minio.bronze_bucket):
            landing.empty(self.stack, bucket)

    def _log_of(self, system: _System) -> Path:
        return self.stack.data_dir / f"{system.name}.log"


def tell(row: Mapping[str, object]) -> None:
    """Tell a result before the last one is there, which takes half an hour."""
    sys.stderr.write(f"{json.dumps(row)}\n")


def _settled(rows: Callable[[], int], messages: int, seconds: float) -> Callable[[], bool]:
    """Return what tells whether all is there, and nothing was added for so many seconds."""
    seen, since = -1, time.monotonic()

    def is_settled() -> bool:
        nonlocal seen, since
        if (now := rows()) != seen:
            seen, since = now, time.monotonic()
        return seen >= messages and time.monotonic() - since > seconds

    return is_settled


def _ours(stack: TestStack) -> _System:
    # The last records wait for their flush, which is no part of the speed: 1 s instead of 5.
    env = stack.with_settings(LANDING_FLUSH_SECONDS=1).env
    options = storage_options(stack.minio, stack.secrets, user="reader")
    return _System(
        name=_OURS,
        guarantee="exactly once",
        command=(sys.executable, "-m", "cli", "land"),
        env=env,
        begins=rf'"{re.escape(landing.TOPIC)}\[.*"event": "assigned"',
        table=Table(
            uri=table_uri(stack.minio.bronze_bucket, bronze_table(landing.TOPIC)),
            options=options,
            columns=Columns(partition="_partition", offset="_offset"),
        ),
        takes_names=False,
    )


def _installed(stack: TestStack, peer: Peer) -> _System:
    """Install a system in the cache, unless it is there."""
    folder = peer_environment(stack.control.cache, peer.name)
    state = stack.data_dir / _BUCKET / peer.name
    state.mkdir(parents=True)
    options = storage_options(stack.minio, stack.secrets, user="admin")
    task = Task(
        bootstrap_servers=stack.kafka.bootstrap_servers,
        topic=landing.TOPIC,
        endpoint=stack.minio.url,
        access_key=options["AWS_ACCESS_KEY_ID"],
        secret_key=options["AWS_SECRET_ACCESS_KEY"],
        region=stack.minio.region,
        bucket=_BUCKET,
        folder=str(state),
        jars=str(folder / "jars"),
    )
    own = folder / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    return _System(
        name=peer.name,
        guarantee=peer.guarantee,
        command=(python, "-m", f"{_PROGRAMS}.{peer.name}", json.dumps(asdict(task))),
        env=process_environment() | {"HOME": str(state)},
        begins=BEGINS,
        table=Table(uri="", options=options, is_delta=peer.is_delta),
    )
