"""Check of free disk space before anything is written."""

import os
import shutil
from pathlib import Path

import psutil

from lakehouse.errors import Problem, StopPipelineError

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - whatever is made there has a random name
_LEAST_MEMORY_MB = 14_000
"""Two stacks of tests write 1 GB each at most; their processes need 3 GB each."""


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


def has_room_in_memory() -> bool:
    """Return whether the data of tests fits into memory, where nothing syncs.

    What tests kill are processes, and pages that a process wrote outlive it in either place.
    """
    if not IN_MEMORY.is_dir() or os.statvfs(IN_MEMORY).f_flag & os.ST_NOEXEC:
        return False
    free = min(shutil.disk_usage(IN_MEMORY).free, psutil.virtual_memory().available)
    return free // 2**20 >= _LEAST_MEMORY_MB
