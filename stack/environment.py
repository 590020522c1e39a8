"""An environment of its own for a program that cannot share versions with the project."""

import sys
from pathlib import Path

from stack.tools import Tools, uv_environment


def install_environment(
    tools: Tools, uv: Path, lock: Path, result: Path, *, python: str = sys.executable
) -> None:
    """Fill `result` with an environment that can be moved, from a hash-locked requirement file.

    Modules are compiled now: on its first start, each of a program's processes would compile the
    same ones, and who runs the services may not be allowed to keep them.

    Args:
        tools: runs it.
        uv: the uv to install with.
        lock: the requirement file.
        result: an empty folder.
        python: the interpreter, or which versions uv may choose from and fetch.

    Raises:
        StopPipelineError: a package cannot be fetched, or is not the one that was locked.
    """
    variables = uv_environment()
    quiet = ("--quiet", "--python")
    tools.run([uv, "venv", "--relocatable", *quiet, python, result], env=variables)
    sync = (uv, "pip", "sync", "--compile-bytecode", *quiet, result / "bin" / "python")
    tools.run([*sync, "--require-hashes", lock], env=variables)
