"""The driver of Spark, a process of its own: `python -m batch.spark.driver`.

Reads pickled jobs from its standard input, and writes the results of all shards of each, or the
error, to its standard output. It ends when its input does, so that it does not outlive its caller.
Jobs have the object store's keys: they are in no file.
"""

import pickle
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from batch.child import pipes, serve
from batch.spark.worker import PARTS, RESULTS, fingerprint
from lakehouse.environment import environment
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.spark.job import Job

_TOLD = "shop-pipeline-error:"
# Of Python, Arrow, Rust and the loader of libraries.
_NO_MEMORY = re.compile(
    r"(?<!OutOf)MemoryError|malloc of size|memory allocation of \d+|failed to map segment"
    r"|Cannot allocate memory"
)
_CRASHED = "Python worker exited unexpectedly"
"""What Spark tells of any end: of Rust without memory, a signal, a machine that is shut down."""
_MORE_MEMORY = (
    "Lower CONSOLIDATION_CHUNK_ROWS, or give workers more: spark.executor.pyspark.memory, "
    "where it is set, bounds the address space of each Python."
)
_INSTALL = (
    "Install the same version of this project for the Python of the workers (PYSPARK_PYTHON), or "
    "ship it by spark.archives."
)


def on_worker(function: str, expected: str, content: bytes) -> Callable[[Any], Any]:
    """Return a function for Spark's workers, which runs `function` of `batch.spark.worker`.

    It is sent as a value, so that a worker without this project can say so.
    """
    marker = _TOLD

    def call(given: Any) -> Any:  # noqa: ANN401 - batches or a table
        import importlib  # noqa: PLC0415 - on the worker
        import pickle  # noqa: PLC0415
        import platform  # noqa: PLC0415
        from base64 import b64encode  # noqa: PLC0415

        def told(error: Exception) -> Exception:
            place = f"Spark worker on {platform.node()}"
            return RuntimeError(f"{marker}{b64encode(pickle.dumps((place, error))).decode()}.")

        try:
            worker = importlib.import_module("batch.spark.worker")
            worker.require_same(expected)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - of any kind, as the machine is unknown
            raise told(ImportError(str(error))) from None
        ours = importlib.import_module("lakehouse.errors").PipelineError

        def explaining(batches: Iterator[Any]) -> Iterator[Any]:
            try:
                yield from batches
            except ours as error:
                raise told(error) from error

        try:
            found = getattr(worker, function)(content, given)
        except ours as error:
            raise told(error) from error
        # Spark takes batches from a generator after this function has returned.
        return explaining(found) if isinstance(found, Iterator) else found

    return call


def explained(error: BaseException) -> PipelineError:
    """Return the error of the worker that made a job fail; else Spark's own."""
    found = re.search(rf"{_TOLD}([A-Za-z0-9+/=]+)\.", str(error))
    if isinstance(error, ImportError):
        return cannot_run(error)
    if found is None:
        return _of_spark(str(error))
    told: tuple[str, PipelineError | ImportError] = pickle.loads(  # noqa: S301 - of our own worker
        b64decode(found[1])
    )
    place, cause = told
    if isinstance(cause, ImportError) and _NO_MEMORY.search(str(cause)):
        return _lacks_memory(f"{place}: {cause}")
    if isinstance(cause, ImportError):
        problem = f"{place} cannot run this project: {cause}"
        return StopPipelineError(problem, _INSTALL)
    return type(cause)(f"{place}: {cause.told.problem}", cause.told.action)


def _of_spark(text: str) -> PipelineError:
    """Return the error that Spark's own text tells of."""
    # The last line: before it come lines of code.
    if lines := list(filter(_NO_MEMORY.search, text.splitlines())):
        return _lacks_memory(lines[-1].strip())
    if lines := [line for line in text.splitlines() if _CRASHED in line]:
        problem = f"A Spark worker crashed, perhaps for lack of memory: {lines[-1].strip()}"
        return RetryLaterError(problem, f"If it does so again: {_MORE_MEMORY}")
    return RetryLaterError(f"Spark failed: {_cause(text)}")


def _lacks_memory(what: str) -> StopPipelineError:
    """Return the error that a worker's Python has met its limit, or that of its machine."""
    return StopPipelineError(f"A Spark worker has too little memory: {what}", _MORE_MEMORY)


def cannot_run(error: Exception) -> StopPipelineError:
    """Return the error that the driver's Python, or what it needs, is not there."""
    action = (
        "Name a Python with pyspark and this project by PYSPARK_DRIVER_PYTHON, or unset "
        "BATCH_ENGINE."
    )
    return StopPipelineError(f"Spark's driver cannot run: {error}", action)


def _cause(text: str) -> str:
    """Return the line of a trace of Python or Java that tells what went wrong."""
    lines = [line.strip(" :") for line in text.splitlines() if line.strip()]
    of_python = [line for line in lines if re.match(r"(\w+\.)*\w+(Error|Exception): ", line)]
    of_java = [line for line in of_python if re.match(r"org\.apache|java\.", line)]
    return (of_java[:1] or of_python[-1:] or lines[:1] or [text])[0]


def run(job: bytes, tasks: int, shards: int) -> list[bytes]:
    """Run a pickled job; return the results of its shards.

    Raises:
        Exception: of Spark; `explained` tells what it means.
    """
    return (_run_on_tables if _is_remote() else _run_on_objects)(job, tasks, shards)


def _is_remote() -> bool:
    return bool(environment().get("SPARK_REMOTE"))


def _run_on_objects(job: bytes, tasks: int, shards: int) -> list[bytes]:
    """Run a job without Spark SQL, whose Java takes as long to begin as Spark's own."""
    from pyspark import SparkContext  # noqa: PLC0415

    expected = fingerprint()
    found: list[bytes] = (
        SparkContext.getOrCreate()
        .parallelize(range(tasks), tasks)
        .mapPartitions(on_worker("map_tasks", expected, job))
        # One more for what is for the caller.
        .partitionBy(shards + 1, lambda shard: shard)
        .mapPartitions(on_worker("reduce_shard", expected, job))
        .collect()
    )
    return found


def _run_on_tables(job: bytes, tasks: int, shards: int) -> list[bytes]:
    """Run a job by Spark Connect, which has nothing but Spark SQL."""
    from pyspark.sql import SparkSession  # noqa: PLC0415

    spark = SparkSession.builder.getOrCreate()
    expected = fingerprint()
    files = spark.range(0, tasks, 1, tasks).mapInArrow(
        on_worker("map_batches", expected, job), _ddl(PARTS)
    )
    # With a number of partitions: Spark joins partitions that look small to it.
    found = (
        files.repartition(shards, "shard")
        .groupBy("shard")
        .applyInArrow(on_worker("reduce_table", expected, job), _ddl(RESULTS))
        .collect()
    )
    return [bytes(row["content"]) for row in found]


def _ddl(schema: "pa.Schema") -> str:
    kinds = {"int32": "int"}
    return ", ".join(f"{one.name} {kinds.get(str(one.type), one.type)}" for one in schema)


def _stop() -> None:
    if _is_remote():
        from pyspark.sql import SparkSession  # noqa: PLC0415

        SparkSession.builder.getOrCreate().stop()
    else:
        # Not in `pyspark-client`, which Connect may be used with.
        from pyspark import SparkContext  # noqa: PLC0415

        SparkContext.getOrCreate().stop()


def _done(content: bytes) -> list[bytes] | PipelineError:
    job: Job = pickle.loads(content)  # noqa: S301 - of the caller
    try:
        return run(content, job.tasks, job.shards)
    except Exception as error:  # noqa: BLE001 - told to the caller
        return explained(error)


def run_jobs(given: IO[bytes], told: IO[bytes]) -> None:
    """Run jobs until there are no more, and free what the session holds of the cluster."""
    serve(given, told, _done)
    _stop()


if __name__ == "__main__":
    with pipes() as (given, told):
        run_jobs(given, told)
