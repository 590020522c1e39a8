"""A cluster of Spark's, as the environment names it, and jobs on it."""

import pickle
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.spark.job import Job
from lakehouse.environment import process_environment
from lakehouse.errors import AwayError, PipelineError, RetryLaterError
from lakehouse.settings import ROOT, SparkSettings

_LINES = 8


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where jobs run.

    Attributes:
        settings: address of the master, or of a Spark Connect server.
        programs: Spark's own variables, such as PYSPARK_PYTHON and JAVA_HOME, over those of this
            process.
    """

    settings: SparkSettings
    programs: dict[str, str]

    def run(self, job: Job) -> list[Any]:
        """Run a job; return the result of each shard. Nothing is committed.

        Raises:
            StopPipelineError: a worker cannot run the project, or a contract says to stop.
            RetryLaterError: Spark or the object store does not answer, or the driver has ended.
        """
        self._require_master()
        with tempfile.TemporaryDirectory(prefix="spark-") as name:
            folder = Path(name)
            (folder / "job").write_bytes(pickle.dumps(job))
            status = self._drive(folder)
            try:
                done = pickle.loads((folder / "result").read_bytes())  # noqa: S301 - of our driver
            except FileNotFoundError:
                problem = f"Spark's driver ended with status {status}: {_end_of(folder / 'log')}"
                raise RetryLaterError(problem, "Run the same command again.") from None
            if isinstance(done, PipelineError):
                end = f"Its log ends with: {_end_of(folder / 'log')}"
                raise type(done)(done.told.problem, done.told.action or end)
        return [pickle.loads(one) for one in done]  # noqa: S301 - of our workers

    def _drive(self, folder: Path) -> int:
        """Run the driver in a process of its own: whatever ends this one, ends it, too."""
        python = self.programs.get("PYSPARK_DRIVER_PYTHON", sys.executable)
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(
                [python, "-P", "-m", "batch.spark.driver", folder],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            ) as driver,
        ):
            try:
                # Not `communicate`, which would end its standard input.
                return driver.wait()
            except BaseException:
                driver.kill()
                raise

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


def _end_of(log: Path) -> str:
    """Return the last lines of a log, without the places of Java's traces."""
    lines = log.read_text(errors="replace").splitlines()
    return " / ".join([one for one in lines if not one.lstrip().startswith("at ")][-_LINES:])
