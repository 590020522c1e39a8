"""Clusters without Spark: jobs run in this process, or fail."""

import pickle
import random
from itertools import chain

from batch.spark.worker import map_tasks, reduce_shard
from lakehouse.errors import RetryLaterError

AWAY = RetryLaterError("Spark failed: gone")


class Here:
    """A cluster in this process. Tasks may run twice, and their files come in any order.

    It counts its jobs, and keeps the last.
    """

    def __init__(self, seed=0):
        self.draw = random.Random(seed)
        self.jobs, self.job = 0, None

    def run(self, job):
        self.jobs, self.job = self.jobs + 1, job
        content = pickle.dumps(job)
        numbers = list(range(job.tasks))
        self.draw.shuffle(numbers)
        for lost in numbers[: job.tasks // 2]:  # an executor that was killed: its task runs again
            list(map_tasks(content, [lost]))
        found = list(chain.from_iterable(map_tasks(content, [n]) for n in numbers))
        self.draw.shuffle(found)
        done = []
        for shard in dict.fromkeys(shard for shard, _ in found):
            files = [one for one in found if one[0] == shard]
            for _ in range(self.draw.randint(1, 2)):
                (result,) = reduce_shard(content, files)
            done.append(pickle.loads(result))  # noqa: S301
        return done


class Gone:
    """A cluster that fails, and counts its jobs."""

    def __init__(self):
        self.jobs = 0

    def run(self, _job):
        self.jobs += 1
        raise AWAY
