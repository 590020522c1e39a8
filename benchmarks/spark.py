"""How fast silver is rebuilt from bronze on Spark: by two workers, by one, and without Spark.

Changes of orders, half of them new rows and half of them updates, as Kafka has them. Each worker
has one core, and the process that does without Spark is pinned to one. Timed are whole rebuilds of
the same bronze, start of Python and of Spark's driver included; processor time beside it, of all
processes that take part, does not depend on what else the machine does.
"""

import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import psutil

from batch.silver.rebuild import rebuild_silver
from batch.silver.run import SilverRules
from batch.silver.sizes import BatchLimits
from batch.spark.cluster import Cluster
from benchmarks.derived import changed
from benchmarks.history import Topic, land
from benchmarks.past import Size
from devtools.test_stack import TestStack, free_ports, new_stack
from lakehouse.connections import writing_lake
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import QUARANTINE
from lakehouse.delta import scan
from lakehouse.digest import Digest, digest
from lakehouse.lake import Lake
from lakehouse.settings import ROOT, SparkSettings
from stack.catalog import SPARK
from stack.paths import Cache, Data, StackConfig
from stack.spark.install import configuration_in, programs_of

SMALL = {"changes": 100_000, "rounds": 1}
CHANGES = 4_000_000
ROUNDS = 3
_ENTITY = ENTITIES["orders"]
_LANDED = 200_000
"""Changes of one batch that lands."""
_WAYS = {"without Spark": 0, "one worker": 1, "two workers": 2}
"""How many cores of Spark each way takes."""
_BATCH, _SMALLER = 100_000, 50_000
"""Changes of a batch, as CONSOLIDATION_CHUNK_ROWS sets them, which bounds a worker's memory."""
_RULES = SilverRules(
    time_zone="Europe/Paris", retention_hours=168, batch=BatchLimits(records=_BATCH)
)


@dataclass(kw_only=True)
class _Taken:
    """What a rebuild took.

    Attributes:
        seconds: from its start to its end.
        cpu: processor time of each process, of the workers' too, by its id and start.
        peak: greatest resident memory of a worker's processes, in bytes.
    """

    seconds: float = 0.0
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    peak: int = 0

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time of all processes."""
        return sum(self.cpu.values())

    def note(self, process: psutil.Process) -> int:
        """Note the processor time of a process so far; return its resident memory."""
        try:
            with process.oneshot():
                times = process.cpu_times()
                self.cpu[process.pid, process.create_time()] = times.user + times.system
                return int(process.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0


def run(changes: int = CHANGES, rounds: int = ROUNDS) -> dict[str, object]:
    """Rebuild the same table in each way, in alternation; at the end in smaller batches.

    Returns:
        Changes and rounds; of each way seconds and processor seconds (medians), and the greatest
        resident memory of a worker's processes in megabytes; one worker's seconds over two
        workers', and over those without Spark, and the same of the processor's: median, smallest
        and largest of the rounds.

    Raises:
        RuntimeError: a rebuild failed, or its tables are not those of the others.
    """
    master = f"spark://127.0.0.1:{free_ports(1)[0]}"
    with new_stack(SPARK_MASTER=master) as stack:
        stack.up("minio", *SPARK)
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        _land(lake, changes)
        rebuild_silver(lake, _RULES, [_ENTITY])
        wanted = _digests(lake)

        def taken(way: str, cores: int, batch: int = _BATCH) -> _Taken:
            found = _timed(stack, cores, batch)
            if _digests(lake) != wanted:
                message = f"{way}: silver is not what it was"
                raise RuntimeError(message)
            return found

        ways: dict[str, list[_Taken]] = {way: [] for way in _WAYS}
        for number in range(rounds):
            # None is always the first.
            for way in list(_WAYS)[number % 3 :] + list(_WAYS)[: number % 3]:
                ways[way].append(taken(way, _WAYS[way]))
        ways[f"one worker, batches of {_SMALLER:,}"] = [taken("smaller batches", 1, _SMALLER)]
    none, one, two = ([each.seconds for each in ways[way]] for way in _WAYS)
    cpu = {way: [each.cpu_seconds for each in ways[way]] for way in _WAYS}
    return {
        "changes": changes,
        "rounds": rounds,
        "ways": [
            {
                "way": way,
                "seconds": round(statistics.median(each.seconds for each in found), 1),
                "cpu_seconds": round(statistics.median(each.cpu_seconds for each in found), 1),
                "peak_worker_mb": round(max(each.peak for each in found) / 1024 / 1024),
            }
            for way, found in ways.items()
        ],
        "ratios": [
            _ratio("one worker over two", one, two),
            _ratio("one worker over none", one, none),
            _ratio("one worker over none, CPU", cpu["one worker"], cpu["without Spark"]),
        ],
    }


def rebuild(cores: int, batch: int) -> None:
    """Rebuild silver on so many cores of Spark, or without it: what a process of its own does."""
    rules = replace(_RULES, batch=BatchLimits(records=batch))
    cluster = None
    if cores:
        settings = StackConfig().stack
        folder = settings.data_dir / f"spark-conf-{cores}"
        folder.mkdir(exist_ok=True)
        ours = configuration_in(Data(root=settings.data_dir)) / "spark-defaults.conf"
        (folder / "spark-defaults.conf").write_text(
            f"{ours.read_text()}spark.cores.max {cores}\nspark.executorEnv.POLARS_MAX_THREADS 1\n"
        )
        programs = programs_of(Cache(root=settings.cache_dir)) | {"SPARK_CONF_DIR": str(folder)}
        cluster = Cluster(settings=SparkSettings(), programs=programs)
    with cluster or nullcontext():
        rebuild_silver(writing_lake(), rules, [_ENTITY], cluster=cluster)


def _timed(stack: TestStack, cores: int, batch: int) -> _Taken:
    env = {**stack.env, "POLARS_MAX_THREADS": "1"}
    workers = [psutil.Process(pid) for name in SPARK[1:] if (pid := stack.pid(name))]
    command = [sys.executable, "-m", "benchmarks.spark", str(cores), str(batch)]
    if not cores:
        # As the workers are.
        command = ["nice", "-n", "5", "taskset", "--cpu-list", "0", *command]
    began, taken = time.monotonic(), _Taken()
    with subprocess.Popen(command, env=env, cwd=ROOT) as process:
        own = psutil.Process(process.pid)
        while process.poll() is None:
            for each in (own, *own.children(recursive=True)):
                taken.note(each)
            for worker in workers:
                here = sum(map(taken.note, worker.children(recursive=True)))
                taken.peak = max(taken.peak, here)
            time.sleep(0.5)
    taken.seconds = time.monotonic() - began
    if process.returncode:
        message = f"the rebuild on {cores} cores ended with {process.returncode}"
        raise RuntimeError(message)
    return taken


def _ratio(what: str, one: list[float], other: list[float]) -> dict[str, object]:
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return {
        "ratio": what,
        "median": round(statistics.median(ratios), 2),
        "smallest": round(min(ratios), 2),
        "largest": round(max(ratios), 2),
    }


def _digests(lake: Lake) -> list[Digest]:
    tables = (lake.open("silver", name) for name in (_ENTITY.silver, QUARANTINE))
    return [digest(scan(table)) for table in tables if table is not None]


def _land(lake: Lake, changes: int) -> None:
    topic, size = Topic(name=_ENTITY.table, table=_ENTITY.table), Size(orders=10 * changes)
    for number in range(-(-changes // _LANDED)):
        count = min(_LANDED, changes - number * _LANDED)
        land(lake, _ENTITY, topic.batch(changed(_ENTITY.table, size, number, count)))


if __name__ == "__main__":
    rebuild(*map(int, sys.argv[1:]))
