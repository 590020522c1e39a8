"""The folder of a replay, from which the same replay resumes after an interruption."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from deltalake import DeltaTable

from lakehouse.delta import has_only_grown
from lakehouse.json_file import read_json


@contextmanager
def workspace(root: Path, table: str, *request: object) -> Iterator[Path]:
    """Yield the folder for a request; delete it when the block ends, unless it raises.

    Args:
        root: folder of all workspaces.
        table: layer and table, such as `silver-orders`.
        request: everything that decides the result, versions of the code included, as JSON. The
            folder's name is a digest of it, so that only an equal request resumes from there.
    """
    known = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    folder = root / f"{table}-{hashlib.sha256(known).hexdigest()[:16]}"
    yield folder
    shutil.rmtree(folder)


def resumed(notes: Path, bronze: DeltaTable) -> dict[str, Any] | None:
    """Return the notes of an interrupted replay, or clear their folder for a new one.

    Args:
        notes: file in the workspace. Its `version` is one of the bronze table.
        bronze: a handle on the table that the replay reads.

    Returns:
        None if there are no notes, or if the table was rewritten since that version.
    """
    found: dict[str, Any] | None = read_json(notes)
    if found is not None and has_only_grown(bronze, found["version"]):
        return found
    notes.parent.mkdir(parents=True, exist_ok=True)
    # First of all, so that a replay that is interrupted here also restarts.
    notes.unlink(missing_ok=True)
    for left in notes.parent.iterdir():
        left.unlink()
    return None


def discard(root: Path, table: str) -> None:
    """Delete all workspaces of a table, because what they were made from has changed."""
    for folder in root.glob(f"{table}-*"):
        shutil.rmtree(folder, ignore_errors=True)
