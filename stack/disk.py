"""Check of free disk space before anything is written."""

import shutil
from pathlib import Path

from lakehouse.errors import Problem, StopPipelineError


def require_space(path: Path, needed_mb: int, *, variable: str) -> None:
    """Check that at least `needed_mb` are free.

    Raises:
        StopPipelineError: too little is free; names `variable`, which sets another directory.
    """
    there = existing_parent(path)
    free_mb = shutil.disk_usage(there).free // 2**20
    if free_mb < needed_mb:
        message = Problem(
            f"{path}: {free_mb:,} MB are free on its disk, {needed_mb:,} MB are needed",
            f"Free space, or set {variable} to a directory on another disk.",
        )
        raise StopPipelineError(message)


def existing_parent(path: Path) -> Path:
    """Return `path`, or its nearest existing parent."""
    return next(p for p in (path, *path.parents) if p.exists())
