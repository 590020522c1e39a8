"""Clusters without Spark: jobs run in this process, or fail."""

import pickle
import random

import polars as pl
import pyarrow as pa

from batch.spark.worker import map_tasks, reduce_shard
from lakehouse.errors import RetryLaterError

AWAY = RetryLaterError("Spark failed: gone")


class Here:
    """A cluster in this process. Tasks may run twice, and their files come in any order."""

    def __init__(self, seed=0):
        self.draw = random.Random(seed)
        self.jobs = 0

    def run(self, job):
        self.jobs += 1
        content = pickle.dumps(job)
        numbers = list(range(job.tasks))
        self.draw.shuffle(numbers)
        for lost in numbers[: job.tasks // 2]:  # an executor that was killed: its task runs again
            list(map_tasks(content, [pa.record_batch({"id": [lost]})]))
        found = [
            batch for n in numbers for batch in map_tasks(content, [pa.record_batch({"id": [n]})])
        ]
        rows = pl.DataFrame(pa.Table.from_batches(found)).sample(fraction=1, shuffle=True, seed=1)
        done = []
        for _, parts in rows.group_by("shard"):
            table = parts.to_arrow().cast(found[0].schema)
            for _ in range(self.draw.randint(1, 2)):
                result = reduce_shard(content, table)
            done.append(pickle.loads(result["content"][0].as_py()))  # noqa: S301
        return done


class Gone:
    """A cluster that fails, and counts its jobs."""

    def __init__(self):
        self.jobs = 0

    def run(self, _job):
        self.jobs += 1
        raise AWAY
