"""Atomic creation of cache folders: complete or absent, and created by one process at a time."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.errors import StopPipelineError


def ensure(folder: Path, make: Callable[[Path, Path], None]) -> bool:
    """Create `folder` with `make`, unless it exists.

    Args:
        folder: the folder to create.
        make: called with a working directory and the path of the result inside it. The working
            directory is kept after an interruption, so that `make` can resume; the result is not.

    Returns:
        Whether it had to be created.

    Raises:
        StopPipelineError: the cache cannot be written.
    """
    if folder.exists():
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock")):
            if folder.exists():
                return False
            work = folder.with_name(f"{folder.name}.part")
            result = work / "result"
            remove_tree(result)
            result.mkdir(parents=True)
            make(work, result)
            result.rename(folder)
            remove_tree(work)
    except OSError as error:
        problem = f"{folder} cannot be set up: {error}"
        action = (
            "Free space or give yourself write access, or set STACK_CACHE_DIR to another "
            "directory. Then run the same command again."
        )
        raise StopPipelineError(problem, action) from error
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock during the block; the kernel releases it when the process ends."""
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(file.fileno(), path):
                yield
                return


def _is_still(descriptor: int, path: Path) -> bool:
    """Return whether `path` is still the open file, not deleted or replaced while waiting."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_tree(folder: Path) -> None:
    """Delete a folder, read-only ones inside it included (Go's module cache is)."""
    if not folder.exists():
        return
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)
