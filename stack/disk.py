"""A disk that is nearly full is said before anything is written, not found out half way."""

import shutil
from pathlib import Path

from lakehouse.errors import StopPipelineError


def require_space(path: Path, needed_mb: int, *, variable: str) -> None:
    """Refuse to continue where less than `needed_mb` is free.

    Raises:
        StopPipelineError: too little is free; names `variable`, which chooses another place.
    """
    there = existing_parent(path)
    free_mb = shutil.disk_usage(there).free // 2**20
    if free_mb < needed_mb:
        message = (
            f"{path}: {free_mb:,} MB are free on its disk, {needed_mb:,} MB are needed. Make room, "
            f"or set {variable} to a place with more."
        )
        raise StopPipelineError(message)


def existing_parent(path: Path) -> Path:
    """`path`, or the nearest of its parents that exists."""
    return next(p for p in (path, *path.parents) if p.exists())
