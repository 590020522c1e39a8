"""How fast silver is rebuilt from bronze on Spark: by two workers, by one, and without Spark.

Changes of orders, half of them new rows and half of them updates, as Kafka has them. Each worker
has one core, and the process that does without Spark is pinned to one. Timed are whole rebuilds of
the same bronze, start of Python and of Spark's driver included.
"""

import statistics
import subprocess
import sys
import time

import psutil

from batch.silver.rebuild import rebuild_silver
from batch.silver.run import SilverRules, consolidate_silver
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
from stack.paths import Cache, StackConfig
from stack.spark.install import programs_of

SMALL = {"changes": 100_000, "rounds": 1}
CHANGES = 4_000_000
ROUNDS = 3
_ENTITY = ENTITIES["orders"]
_LANDED = 200_000
"""Changes of one batch that lands."""
_WAYS = {"without Spark": 0, "one worker": 1, "two workers": 2}
"""How many cores of Spark each way takes."""
_RULES = SilverRules(
    time_zone="Europe/Paris", retention_hours=168, batch=BatchLimits(records=100_000)
)


def run(changes: int = CHANGES, rounds: int = ROUNDS) -> dict[str, object]:
    """Rebuild the same table in each way, in alternation.

    Returns:
        Changes and rounds; seconds of each way (medians); one worker's seconds over two workers',
        and over those without Spark: median, smallest and largest of the rounds; the greatest
        resident memory of a worker's processes in megabytes.

    Raises:
        RuntimeError: a rebuild failed, or its tables are not those of the others.
    """
    master = f"spark://127.0.0.1:{free_ports(1)[0]}"
    with new_stack(SPARK_MASTER=master) as stack:
        stack.up("minio", *SPARK)
        lake = Lake.of(stack.minio, stack.secrets, user="admin")
        _land(lake, changes)
        consolidate_silver(lake, _RULES, [_ENTITY])
        wanted = _digests(lake)
        seconds: dict[str, list[float]] = {way: [] for way in _WAYS}
        peak = 0.0
        for number in range(rounds):
            # None is always the first.
            ways = list(_WAYS)[number % 3 :] + list(_WAYS)[: number % 3]
            for way in ways:
                took, most = _timed(stack, _WAYS[way])
                seconds[way].append(took)
                peak = max(peak, most)
                if _digests(lake) != wanted:
                    message = f"{way}: silver is not what it was"
                    raise RuntimeError(message)
    return {
        "changes": changes,
        "rounds": rounds,
        "peak_worker_mb": round(peak),
        "ways": [
            {"way": way, "seconds": round(statistics.median(rounds_of), 1)}
            for way, rounds_of in seconds.items()
        ],
        "ratios": [
            _ratio("one worker over two", seconds["one worker"], seconds["two workers"]),
            _ratio("one worker over none", seconds["one worker"], seconds["without Spark"]),
        ],
    }


def rebuild(cores: int) -> None:
    """Rebuild silver on so many cores of Spark, or without it: what a process of its own does."""
    cluster = None
    if cores:
        settings = StackConfig().stack
        folder = settings.data_dir / f"spark-conf-{cores}"
        folder.mkdir(exist_ok=True)
        (folder / "spark-defaults.conf").write_text(
            f"spark.cores.max {cores}\nspark.ui.enabled false\n"
            "spark.executorEnv.POLARS_MAX_THREADS 1\n"
        )
        programs = programs_of(Cache(root=settings.cache_dir)) | {"SPARK_CONF_DIR": str(folder)}
        cluster = Cluster(settings=SparkSettings(), programs=programs)
    rebuild_silver(writing_lake(), _RULES, [_ENTITY], cluster=cluster)


def _timed(stack: TestStack, cores: int) -> tuple[float, float]:
    """Return the seconds of a rebuild, and the greatest memory of a worker with its children."""
    env = {**stack.env, "POLARS_MAX_THREADS": "1"}
    workers = [psutil.Process(pid) for name in SPARK[1:] if (pid := stack.pid(name))]
    began, peak = time.monotonic(), 0
    command = [sys.executable, "-m", "benchmarks.spark", str(cores)]
    if not cores:
        command = ["taskset", "--cpu-list", "0", *command]
    with subprocess.Popen(command, env=env, cwd=ROOT) as process:
        while process.poll() is None:
            for worker in workers:
                peak = max(peak, sum(map(_resident, worker.children(recursive=True))))
            time.sleep(0.2)
    if process.returncode:
        message = f"the rebuild on {cores} cores ended with {process.returncode}"
        raise RuntimeError(message)
    return time.monotonic() - began, peak / 1024 / 1024


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


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
    rebuild(int(sys.argv[1]))
