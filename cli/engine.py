"""The engine of a command: this machine, or Apache Spark."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import err_console

if TYPE_CHECKING:
    from batch.spark.cluster import Cluster


class Engine(StrEnum):
    """What computes a layer from scratch."""

    LOCAL = "local"
    SPARK = "spark"


EngineOption = Annotated[
    Engine | None,
    typer.Option(help="What computes; by default the one that BATCH_ENGINE names."),
]


def spark_of(
    engine: Engine | None, *, is_used: bool = True
) -> "AbstractContextManager[Cluster | None]":
    """Return Spark's cluster if it is asked for and used; all jobs in its block have one driver."""
    from batch.spark.cluster import Cluster

    return (Cluster.of_settings(engine, _programs) if is_used else None) or nullcontext()


def _programs() -> dict[str, str]:
    """Return the variables by which a driver finds what it runs on, which is installed."""
    from importlib.util import find_spec

    from lakehouse.environment import environment
    from lakehouse.errors import StopPipelineError
    from lakehouse.settings import default_uv
    from stack.paths import Cache, StackConfig
    from stack.spark.install import driver_of, ensure_spark, programs_of

    config = StackConfig()
    if "PYSPARK_DRIVER_PYTHON" in environment() or find_spec("pyspark") is not None:
        # In an environment that has Spark, as those of clusters have, its own variables count.
        return driver_of(config)
    cache, uv = Cache(root=config.stack.cache_dir), default_uv()
    if not cache.spark.exists():
        if uv is None:
            problem = "No uv to install Spark with"
            raise StopPipelineError(problem, "Run through ./pipeline, or put uv on the PATH.")
        with err_console.status("installing Spark"):
            ensure_spark(cache, uv)
    return programs_of(cache) | driver_of(config)
