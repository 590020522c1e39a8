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
_File = tuple[str, bytes]
"""Name and content."""


def fingerprint() -> str:
    """Return what has to be the same on all machines: code, and the hash that shards rows."""
    hashes = (*pl.Series(["a", "b"]).hash(0), *pl.Series([1, 2]).hash(0))
    return f"{distributed_version()}, Polars {pl.__version__}, {sum(hashes) % 0xFFFF:04x}"


@lru_cache(maxsize=1)
def _job(content: bytes) -> Job:
    job: Job = pickle.loads(content)  # noqa: S301 - of the caller
    return job


def map_tasks(content: bytes, tasks: Iterable[int]) -> Iterator[tuple[int, _File]]:
    """Run the tasks with the given numbers; yield their files by shard."""
    job = _job(content)
    with retry_later("A Spark worker could not read the lake"):
        # One at a time: each may have hundreds of megabytes. Spark holds its files until it ends.
        for part in chain.from_iterable(map(job.map, tasks)):
            yield part.shard, (part.name, part.content)


def reduce_shard(content: bytes, files: Iterable[tuple[int, _File]]) -> Iterator[bytes]:
    """Bring the files of one shard together, if there are any."""
    files = iter(files)
    for shard, first in files:
        parts = chain([first], (file for _, file in files))
        found = (Part(shard=shard, name=name, content=file) for name, file in parts)
        with retry_later("A Spark worker could not write files"):
            yield _job(content).reduce(shard, found)


# The same for Spark Connect, which knows tables only.


def map_batches(content: bytes, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Run the tasks with the given numbers; yield their files."""
    tasks = chain.from_iterable(batch.column(0).to_pylist() for batch in batches)
    for shard, (name, file) in map_tasks(content, tasks):
        row = {"shard": shard, "name": name, "content": file}
        yield pa.RecordBatch.from_pylist([row], schema=PARTS)


def reduce_table(content: bytes, files: pa.Table) -> pa.Table:
    """Bring the files of one shard together."""
    rows = zip(files["shard"], files["name"], files["content"], strict=True)
    found = ((shard.as_py(), (name.as_py(), file.as_py())) for shard, name, file in rows)
    return pa.table({"content": list(reduce_shard(content, found))}, schema=RESULTS)


def require_same(expected: str) -> None:
    """Check that this machine has the same code.

    Raises:
        StopPipelineError: it computes by other code, or shards rows otherwise.
    """
    found = fingerprint()
    if found != expected:
        problem = f"it has another version of this project ({found}) than the driver ({expected})"
        raise StopPipelineError(problem)
