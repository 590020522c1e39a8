"""What things are called: in the files by name, in Superset by an id that follows from the name.

A thing that somebody made in the browser has an id of its own, and its file keeps it.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

KINDS = ("datasets", "charts", "dashboards")
"""Folders of files, each kind after those that it refers to."""
DATABASE_NAME = "Shop"
_NAMESPACE = uuid.UUID("5b0c6f1e-3f0a-4c7e-9a53-0d1f6a7be6c4")
_TITLES = {"datasets": "table_name", "charts": "slice_name", "dashboards": "dashboard_title"}


def derived_id(kind: str, name: str) -> str:
    """The id of what is called so in the files."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


def is_derived(found: str) -> bool:
    """Whether an id follows from the name of a file: Superset draws its own at random."""
    return uuid.UUID(found).version == 5


def id_of(kind: str, name: str, content: Mapping[str, Any]) -> str:
    """The id of a file's thing."""
    return str(content.get("uuid") or derived_id(kind, name))


def title_of(kind: str, content: Mapping[str, Any]) -> str:
    """What people call it."""
    return str(content[_TITLES[kind]])


def name_from(title: str) -> str:
    """A file's name for what somebody made in the browser."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "untitled"


DATABASE_ID = derived_id("databases", DATABASE_NAME)
