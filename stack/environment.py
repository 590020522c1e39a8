"""An environment of its own for a program that cannot share versions with the project."""

import sys
from pathlib import Path

from lakehouse.environment import process_environment
from stack.tools import Tools


def install_environment(
    tools: Tools, uv: Path, lock: Path, result: Path, *, is_compiled: bool = False
) -> None:
    """Fill `result` with an environment that can be moved, from a hash-locked requirement file.

    Args:
        tools: runs it.
        uv: the uv to install with.
        lock: the requirement file.
        result: an empty folder.
        is_compiled: modules are compiled now, not when they are first imported.

    Raises:
        StopPipelineError: a package cannot be fetched, or is not the one that was locked.
    """
    quiet = ("--quiet", "--python")
    variables = process_environment()
    tools.run([uv, "venv", "--relocatable", *quiet, sys.executable, result], env=variables)
    python = result / "bin" / "python"
    compiling = ("--compile-bytecode",) if is_compiled else ()
    sync = [uv, "pip", "sync", *compiling, *quiet, python, "--require-hashes", lock]
    tools.run(sync, env=variables)
