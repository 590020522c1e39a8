"""Spark Structured Streaming into Delta, on two local cores, `availableNow`.

100,000 offsets in a trigger; checkpoints on the local disk, which is faster than the store. The
second table is landed by a session that is warm.
"""

import json
import sys
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.peer_programs.task import Task, begin, land_each

_OFFSETS = 100_000


@cache
def _session() -> SparkSession:
    task = Task(**json.loads(sys.argv[1]))
    settings = {
        "spark.jars": ",".join(map(str, sorted(Path(task.jars).glob("*.jar")))),
        "spark.driver.memory": "2g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.local.dir": task.folder,
        "spark.sql.warehouse.dir": f"{task.folder}/warehouse",
        "spark.hadoop.fs.s3a.endpoint": task.endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": task.region,
        "spark.hadoop.fs.s3a.access.key": task.access_key,
        "spark.hadoop.fs.s3a.secret.key": task.secret_key,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _land(task: Task, table: str) -> None:
    spark = _session()
    begin()
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", task.bootstrap_servers)
        .option("subscribe", task.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", _OFFSETS)
        .load()
        .select("partition", "offset", "timestamp", "key", "value")
    )
    query = (
        messages.writeStream.format("delta")
        .option("checkpointLocation", f"file://{task.state_of(table)}/checkpoint")
        .trigger(availableNow=True)
        .start(f"s3a://{task.path_of(table)}")
    )
    query.awaitTermination()


if __name__ == "__main__":
    land_each(_land)
