"""A cluster of Spark's, as the environment names it, and jobs on it."""

import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from batch.child import Child, EndedError
from batch.spark.driver import cannot_run
from batch.spark.job import Job
from lakehouse.environment import process_environment
from lakehouse.errors import AwayError, PipelineError, RetryLaterError
from lakehouse.settings import BatchSettings, SparkSettings


@dataclass(kw_only=True)
class Cluster:
    """Where jobs run. All jobs have one driver, which ends with the block or by `close`.

    Attributes:
        settings: address of the master, or of a Spark Connect server.
        programs: Spark's own variables, such as PYSPARK_PYTHON and JAVA_HOME, over those of this
            process.
    """

    settings: SparkSettings
    programs: dict[str, str]
    _driver: "_Driver | None" = field(default=None, init=False, repr=False)

    @classmethod
    def of_settings(
        cls, engine: str | None = None, programs: Callable[[], dict[str, str]] = dict
    ) -> "Cluster | None":
        """Return the cluster of the environment; None where the engine is another.

        Args:
            engine: by default the one that BATCH_ENGINE names.
            programs: called where the engine is Spark.
        """
        if (engine or BatchSettings().engine) != "spark":
            return None
        return cls(settings=SparkSettings(), programs=programs())

    def __enter__(self) -> Self:
        """Return this; the driver starts with the first job."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the driver."""
        self.close()

    def run(self, job: Job) -> list[Any]:
        """Run a job; return the result of each shard. Nothing is committed.

        Raises:
            StopPipelineError: a worker cannot run the project, or a contract says to stop.
            RetryLaterError: Spark or the object store does not answer, or the driver has ended.
        """
        if self._driver is None:
            self._require_master()
            environment = self._environment
            python = environment.get("PYSPARK_DRIVER_PYTHON", sys.executable)
            self._driver = _Driver(python, environment)
        try:
            return [pickle.loads(one) for one in self._driver.done(job)]  # noqa: S301 - of ours
        except BaseException:
            # Its session may have ended, too.
            self._driver.kill()
            self._driver = None
            raise

    def close(self) -> None:
        """End the driver, if there is one, and free what it holds of the cluster."""
        if self._driver is not None:
            self._driver.end()
            self._driver = None

    @property
    def _environment(self) -> dict[str, str]:
        settings = self.settings
        if settings.remote:
            return process_environment() | self.programs | {"SPARK_REMOTE": settings.remote}
        # Otherwise the driver listens for its workers on all interfaces.
        address = {"SPARK_LOCAL_IP": "127.0.0.1"} if settings.is_here else {}
        return address | process_environment() | self.programs | {"MASTER": settings.master}

    def _require_master(self) -> None:
        """Check that a standalone master answers: Spark tries for a minute, and tells little."""
        errors: list[OSError] = []
        for address in [] if self.settings.remote else self.settings.masters:
            try:
                with socket.create_connection(address, 5):
                    return
            except OSError as error:
                errors.append(error)
        if errors:
            problem = f"Spark's master does not answer at {self.settings.master}: {errors[0]}"
            action = "Run ./pipeline up --spark, or set SPARK_MASTER or SPARK_REMOTE."
            raise AwayError(problem, action) from errors[0]


class _Driver:
    """The driver, a process of its own."""

    def __init__(self, python: str, environment: Mapping[str, str]) -> None:
        try:
            self._child = Child(python, "batch.spark.driver", environment)
        except OSError as error:
            raise cannot_run(error) from error

    def done(self, job: Job) -> list[bytes]:
        """Run a job; return the results of its shards, pickled.

        Raises:
            PipelineError: of a worker, or of Spark.
            RetryLaterError: the driver has ended.
        """
        try:
            found = self._child.ask(pickle.dumps(job))
        except EndedError as error:
            problem = f"Spark's driver ended with {error}"
            raise RetryLaterError(problem, "Run the same command again.") from None
        if isinstance(found, PipelineError):
            end = f"Its log ends with: {self._child.last_lines}"
            raise type(found)(found.told.problem, found.told.action or end)
        jobs_results: list[bytes] = found
        return jobs_results

    def end(self) -> None:
        """End it, and its session."""
        self._child.end()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
