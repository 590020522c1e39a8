"""Silver rebuilt on a standalone master of Spark with two workers, which read and write MinIO."""

import random
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from batch.reconcile.history import Examples
from batch.reconcile.silver import compare_silver
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import chosen_entities, consolidate_silver
from batch.silver.sizes import BatchLimits
from batch.spark.cluster import Cluster
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.settings import SparkSettings
from stack.catalog import SPARK
from stack.spark.install import configuration_in, programs_of
from tests.stacks import free_ports, new_stack
from tests.unit.bronze_maker import RULES, customers, rows_of
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
