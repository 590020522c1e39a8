"""Superset's environment, from its lock: it cannot share versions with the project's."""

import sys
from pathlib import Path

from lakehouse.environment import process_environment
from stack.layout import LOCKS
from stack.tools import Tools


def install_superset(tools: Tools, uv: Path, result: Path) -> None:
    """Fill `result` with an environment that can be moved.

    Raises:
        StopPipelineError: a package cannot be fetched, or is not the one that was locked.
    """
    quiet = ("--quiet", "--python")
    variables = process_environment()
    tools.run([uv, "venv", "--relocatable", *quiet, sys.executable, result], env=variables)
    lock = ("--require-hashes", LOCKS / "superset.txt")
    python = result / "bin" / "python"
    # Compiled here, or its first start would take a minute longer.
    tools.run([uv, "pip", "sync", "--compile-bytecode", *quiet, python, *lock], env=variables)
