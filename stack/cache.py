"""Folders of the cache are whole or absent, and two pipelines never make the same one at once."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.errors import StopPipelineError


def ensure(folder: Path, make: Callable[[Path, Path], None]) -> bool:
    """Have `make` produce `folder`, unless it is there.

    Args:
        folder: what is wanted.
        make: called with a working directory and the place for the result inside it. The working
            directory survives an interruption, for `make` to continue from; the result does not.

    Returns:
        Whether it had to be made.

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
        message = (
            f"{folder} cannot be set up: {error}. Make room or give yourself write access, or set "
            "STACK_CACHE_DIR to another place. Then run the same command again."
        )
        raise StopPipelineError(message) from error
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock while the block runs; it goes with the process, however that ends."""
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(file.fileno(), path):
                yield
                return


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether `path` is the open file, and not deleted or replaced while we waited for it."""
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
