"""JSON in a file that is whole or absent, whenever its writer is killed."""

from pathlib import Path
from typing import Any

import orjson


def read_json(file: Path) -> Any | None:  # noqa: ANN401 - whatever was written
    """Return the stored value; None if there is no file."""
    return orjson.loads(file.read_bytes()) if file.exists() else None


def write_json(file: Path, value: object) -> None:
    """Replace the file."""
    draft = file.with_suffix(".new")
    draft.write_bytes(orjson.dumps(value))
    draft.replace(file)
