"""Airflow's environment, from its lock: the project's dependencies are in it, the project is not.

Airflow imports the project from the checkout, so that it runs what the command line runs.
"""

import sys
from pathlib import Path

from lakehouse.environment import process_environment
from stack.layout import LOCKS
from stack.tools import Tools


def install_airflow(tools: Tools, uv: Path, result: Path) -> None:
    """Fill `result` with an environment that can be moved.

    Raises:
        StopPipelineError: a package cannot be fetched, or is not the one that was locked.
    """
    quiet = ("--quiet", "--python")
    variables = process_environment()
    tools.run([uv, "venv", "--relocatable", *quiet, sys.executable, result], env=variables)
    lock = ("--require-hashes", LOCKS / "airflow.txt")
    python = result / "bin" / "python"
    tools.run([uv, "pip", "sync", *quiet, python, *lock], env=variables)
