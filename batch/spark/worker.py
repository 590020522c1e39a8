"""What Spark's Python workers run: one task, or one shard, of a job."""

import pickle
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

import polars as pl
import pyarrow as pa

from batch.spark.job import Job, Part
from lakehouse.delta import retry_later
from lakehouse.errors import StopPipelineError
from lakehouse.version import distributed_version

PARTS = pa.schema([("shard", pa.int32()), ("name", pa.string()), ("content", pa.binary())])
RESULTS = pa.schema([("content", pa.binary())])


def fingerprint() -> str:
    """Return what has to be the same on all machines: code, and the hash that shards rows."""
    hashes = (*pl.Series(["a", "b"]).hash(0), *pl.Series([1, 2]).hash(0))
    return f"{distributed_version()}, Polars {pl.__version__}, {sum(hashes) % 0xFFFF:04x}"


@lru_cache(maxsize=1)
def _job(content: bytes) -> Job:
    job: Job = pickle.loads(content)  # noqa: S301 - of the caller
    return job


def map_tasks(content: bytes, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Run the tasks with the given numbers; yield their files."""
    job = _job(content)
    tasks = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
    with retry_later("A Spark worker could not read the lake"):
        # One at a time: each may have hundreds of megabytes.
        for part in chain.from_iterable(map(job.map, tasks)):
            row = {"shard": part.shard, "name": part.name, "content": part.content}
            yield pa.RecordBatch.from_pylist([row], schema=PARTS)


def reduce_shard(content: bytes, parts: pa.Table) -> pa.Table:
    """Bring the files of one shard together."""
    job = _job(content)
    shard = parts["shard"][0].as_py()
    rows = zip(parts["name"], parts["content"], strict=True)
    found = (Part(shard=shard, name=name.as_py(), content=file.as_py()) for name, file in rows)
    with retry_later("A Spark worker could not write files"):
        return pa.table({"content": [job.reduce(shard, found)]}, schema=RESULTS)


def require_same(expected: str) -> None:
    """Check that this machine has the same code.

    Raises:
        StopPipelineError: it computes by other code, or shards rows otherwise.
    """
    found = fingerprint()
    if found != expected:
        problem = f"it has another version of this project ({found}) than the driver ({expected})"
        raise StopPipelineError(problem)
