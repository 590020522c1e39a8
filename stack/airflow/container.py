"""Airflow in a container, whose Python has both Airflow and the project."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from lakehouse.environment import process_environment
from lakehouse.secrets import Secrets
from lakehouse.settings import settings_in_environment
from stack.airflow.server import Airflow
from stack.paths import Data, StackConfig


def airflow_of(config: StackConfig, secrets: Secrets) -> Airflow:
    """The Airflow of this container."""
    return Airflow(
        settings=config.airflow,
        monitoring=config.monitoring,
        warehouse=config.warehouse,
        secrets=secrets,
        variables=settings_in_environment(),
        python=Path(sys.executable),
        version=f"airflow-{version('apache-airflow')}",
        data=Data(root=config.stack.data_dir),
    )


def become(arguments: Sequence[str]) -> None:
    """Write the configuration, and replace this process by one of Airflow's programs."""
    config = StackConfig()
    airflow = airflow_of(config, Secrets(config.stack.secrets_path))
    airflow.configure()
    program = airflow.program("airflow", *arguments)
    os.chdir(program.directory)
    # The container's environment is kept: AIRFLOW__… variables override the file.
    environment = {**process_environment(), **program.environment}
    os.execve(program.command[0], program.command, environment)  # noqa: S606 - no shell wanted
