"""Separate Python environments for programs whose versions conflict with the project's."""

import sys
from pathlib import Path

from stack.tools import Tools, uv_environment


def install_environment(
    tools: Tools, uv: Path, lock: Path, result: Path, *, python: str = sys.executable
) -> None:
    """Create a relocatable environment in `result` from a hash-locked requirement file.

    Modules are compiled now: otherwise each process would compile them at its first start, and the
    service user may not be allowed to store the result.

    Args:
        tools: runner of the programs.
        uv: the uv to install with.
        lock: the requirement file.
        result: an empty folder.
        python: the interpreter, or the versions that uv may choose from and download.

    Raises:
        StopPipelineError: a package cannot be fetched, or differs from its lock.
    """
    variables = uv_environment()
    quiet = ("--quiet", "--python")
    tools.run([uv, "venv", "--relocatable", *quiet, python, result], env=variables)
    sync = (uv, "pip", "sync", "--compile-bytecode", *quiet, result / "bin" / "python")
    tools.run([*sync, "--require-hashes", lock], env=variables)
