"""Silver and gold on a standalone master of Spark with two workers, which read and write MinIO."""

import random
import subprocess
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import polars as pl
import psutil
import pytest

from batch.gold.run import rebuild_gold
from batch.reconcile.history import Examples
from batch.reconcile.silver import compare_silver
from batch.silver.bronze import BronzeSource
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import chosen_entities, consolidate_silver
from batch.silver.sizes import BatchLimits
from batch.spark.cluster import Cluster
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.object_store import object_store
from lakehouse.offsets import up_to
from lakehouse.settings import SparkSettings
from replay.silver import SilverReplayer
from stack.catalog import SPARK
from stack.net import is_listening
from stack.spark.install import configuration_in, programs_of
from tests.stacks import free_ports, new_stack
from tests.unit.bronze_maker import RULES, customers, rows_of
from tests.unit.gold_shop import LocalSilver, RandomShop
from tests.unit.test_silver_tables import happen

pytestmark = pytest.mark.integration
TABLES = ("enriched_users", "users_history", "quarantine")
KINDS = ("name", "mail", "bad mail", "far birth", "untold", "delete")
FEW = replace(RULES, batch=BatchLimits(records=60))
DEFAULTS = """
spark.ui.enabled false
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """A master and two workers, and what a driver of them starts with."""
    folder = tmp_path_factory.mktemp("spark")
    master = f"spark://127.0.0.1:{free_ports(1)[0]}"
    with new_stack(SPARK_MASTER=master) as stack:
        stack.up("minio", *SPARK)
        ours = configuration_in(stack.control.data) / "spark-defaults.conf"
        (folder / "spark-defaults.conf").write_text(ours.read_text() + DEFAULTS)
        programs = {**programs_of(stack.control.cache), "SPARK_CONF_DIR": str(folder)}
        with Cluster(settings=SparkSettings(master=master), programs=programs) as cluster:
            yield stack, cluster


@pytest.fixture(scope="module")
def lake(spark):
    """Bronze with the changes of ten batches, and silver that was made from them."""
    stack, _ = spark
    lake = Lake.of(stack.minio, stack.secrets, user="admin")
    draw = random.Random(7)
    script = [(draw.randint(1, 60), draw.choice(KINDS), draw.randint(0, 9)) for _ in range(600)]
    happen(customers(lake), script).land()
    consolidate_silver(lake, RULES, chosen_entities(["customers"]))
    return lake


def contents(lake):
    return {name: rows_of(lake, name) for name in TABLES}


def rebuild(lake, cluster):
    (report,) = rebuild_silver(lake, FEW, chosen_entities(["customers"]), cluster=cluster)
    return replace(report, seconds=0)


def compared(lake, cluster):
    reports = compare_silver(lake, FEW, Examples(), cluster=cluster)
    found = {one.table: one.findings for one in reports}
    assert all(one.is_exact for one in found.values())
    return found


def kill_one(worker, killed):
    """Kill the executor of a worker once it has begun to run Python."""
    while not killed:
        for executor in psutil.Process(worker).children():
            # One of an application that has just ended is gone.
            with suppress(psutil.NoSuchProcess):
                if executor.children():
                    executor.kill()
                    killed.append(executor.pid)
        time.sleep(0.05)


def test_spark_gives_the_tables_of_one_machine_though_an_executor_is_killed(spark, lake):
    stack, cluster = spark
    before = contents(lake)
    lake.open("silver", "enriched_users").delete("customer_id < 9")
    killed = []
    killer = threading.Thread(target=kill_one, args=[stack.pid(SPARK[1]), killed], daemon=True)
    killer.start()
    on_spark = rebuild(lake, cluster)
    assert killed
    assert contents(lake) == before
    assert on_spark == rebuild(lake, None)
    assert compared(lake, cluster) == compared(lake, None)


@pytest.mark.long
def test_workers_without_the_project_are_told_in_one_message(spark, lake, tmp_path):
    _, cluster = spark
    before = contents(lake)
    alone = tmp_path / "python"
    # Without PYTHONPATH, by which workers of ours find the checkout.
    alone.write_text(f'#!/bin/sh\nexec {cluster.programs["PYSPARK_PYTHON"]} -I "$@"\n')
    alone.chmod(0o755)
    cluster.close()  # it would hold all cores of the master
    cluster = replace(cluster, programs={**cluster.programs, "PYSPARK_PYTHON": str(alone)})
    with (
        cluster,
        pytest.raises(StopPipelineError, match="cannot run this project: No module named 'batch'"),
    ):
        rebuild(lake, cluster)
    assert contents(lake) == before


def gold_of(lake, cluster):
    """Make gold from all of silver; return its rows and what is told, but for the seconds."""
    told = rebuild_gold(lake, retention_hours=1, cluster=cluster)
    rows = {
        name: pl.scan_delta(lake.open("gold", name)).sort(table.key).collect().to_dicts()
        for name, table in GOLD_TABLES.items()
    }
    return rows, [replace(one, seconds=0) for one in told]


@pytest.mark.long
def test_gold_made_on_spark_is_that_of_one_machine(spark, lake, tmp_path):
    stack, cluster = spark
    silver = LocalSilver(tmp_path)
    random_shop = RandomShop(silver, 7)
    for _ in range(4):
        random_shop.next_batch()
    bucket, folder = lake.silver.removeprefix("s3://"), "of_a_random_shop"
    store = object_store(stack.minio, stack.secrets, user="admin")
    for file in filter(Path.is_file, (silver.root / "silver").rglob("*")):
        name = file.relative_to(silver.root / "silver").as_posix()
        store.fput_object(bucket, f"{folder}/{name}", str(file))
    stored = replace(lake, silver=f"{lake.silver}/{folder}")
    expected = gold_of(silver.lake, None)
    assert all(expected[0].values())
    assert gold_of(stored, cluster) == expected


@pytest.fixture
def connect_server(spark, tmp_path):
    """Settings that name a server of Spark Connect, which runs what it is given on the workers."""
    _, cluster = spark
    cluster.close()  # it would hold all cores of the master
    (port,) = free_ports(1)
    options = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
    }
    python = cluster.programs["PYSPARK_DRIVER_PYTHON"]
    where = [python, "-c", "import pyspark; print(pyspark.__path__[0])"]
    home = subprocess.run(where, capture_output=True, check=True, text=True).stdout.strip()
    command = [f"{home}/bin/spark-submit", "--master", cluster.settings.master]
    for name, value in options.items():
        command += ["--conf", f"{name}={value}"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    log = tmp_path / "server.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, "spark-internal"], env=cluster._environment, stdout=file, stderr=file
        ) as server,
    ):
        try:
            deadline = time.monotonic() + 120
            while not is_listening("127.0.0.1", port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield SparkSettings(remote=f"sc://127.0.0.1:{port}")
        finally:
            server.terminate()


@pytest.mark.long
def test_a_server_of_spark_connect_gives_the_tables_of_one_machine(spark, lake, connect_server):
    _, cluster = spark
    before = contents(lake)
    lake.open("silver", "enriched_users").delete("customer_id < 9")
    with replace(cluster, settings=connect_server) as remote:
        by_connect = rebuild(lake, remote)
        assert contents(lake) == before
        assert compared(lake, remote) == compared(lake, None)
    assert by_connect == rebuild(lake, None)


def replay(lake, cluster, folder):
    """Replay all; return what it tells, but for the seconds it takes."""
    (entity,) = chosen_entities(["customers"])
    return SilverReplayer(
        lake=lake,
        rules=FEW,
        entity=entity,
        ranges=up_to(BronzeSource(lake.open("bronze", entity.bronze)).ends),
        folder=folder,
        alone=nullcontext,
        cluster=cluster,
    ).run()


@pytest.mark.long
@pytest.mark.parametrize("damage", ["customer_id = 9", "customer_id < 50"])
def test_a_replay_on_spark_gives_the_tables_and_the_digests_of_one_machine(
    spark, lake, tmp_path, damage
):
    stack, cluster = spark
    before, peak, is_done = contents(lake), Peak(stack), threading.Event()
    lake.open("silver", "enriched_users").delete(damage)
    watch = threading.Thread(target=peak.watch, args=[is_done], daemon=True)
    watch.start()
    on_spark = replay(lake, cluster, tmp_path / "spark")
    is_done.set()
    watch.join()
    print(f"\n{peak}")  # noqa: T201 - for docs/DEPLOYMENT.md
    assert contents(lake) == before
    *others, current = on_spark.diffs
    assert all(one.before == one.after for one in others)
    assert current.differences.added == current.after.rows - current.before.rows > 0
    here = replay(lake, None, tmp_path / "here")
    assert [one.after for one in here.diffs] == [one.after for one in on_spark.diffs]
    assert (here.read, here.broken) == (on_spark.read, on_spark.broken)
    assert all(one.is_equal for one in here.diffs)


class Peak:
    """Greatest memory of one Python of a worker, in megabytes: resident, and addressed."""

    def __init__(self, stack):
        self.workers = [psutil.Process(stack.pid(name)) for name in SPARK[1:]]
        self.resident = self.addressed = 0

    def watch(self, is_done):
        while not is_done.wait(0.1):
            for process in chain.from_iterable(
                one.children(recursive=True) for one in self.workers
            ):
                with suppress(psutil.NoSuchProcess):
                    if process.name().startswith("python"):
                        found = process.memory_info()
                        self.resident = max(self.resident, found.rss >> 20)
                        self.addressed = max(self.addressed, found.vms >> 20)

    def __str__(self):
        return f"a worker's Python: {self.resident} MB resident, {self.addressed} MB addressed"


@pytest.mark.long
def test_workers_that_meet_their_bound_of_memory_are_told_in_one_message(spark, lake, tmp_path):
    _, cluster = spark
    before = contents(lake)
    ours = Path(cluster.programs["SPARK_CONF_DIR"], "spark-defaults.conf").read_text()
    bound = "spark.executor.pyspark.memory 900m\n"
    (tmp_path / "spark-defaults.conf").write_text(ours + bound)
    cluster.close()  # it would hold all cores of the master
    with (
        replace(cluster, programs={**cluster.programs, "SPARK_CONF_DIR": str(tmp_path)}) as bounded,
        pytest.raises(StopPipelineError, match="A Spark worker has too little memory") as told,
    ):
        rebuild(lake, bounded)
    print(f"\n{told.value}")  # noqa: T201
    assert contents(lake) == before


def test_a_program_that_does_not_know_the_secret_is_refused(spark, tmp_path):
    _, cluster = spark
    (tmp_path / "spark-defaults.conf").write_text(DEFAULTS)
    code = "from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate()"
    environment = {**cluster._environment, "SPARK_CONF_DIR": str(tmp_path)}
    with subprocess.Popen(
        [cluster.programs["PYSPARK_DRIVER_PYTHON"], "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as stranger:
        # It would try for a minute.
        told = next((line for line in stranger.stdout if "Failed to connect to master" in line), "")
        stranger.kill()
    assert told
