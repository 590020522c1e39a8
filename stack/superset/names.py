"""Names and ids: objects have names in files, and ids in Superset that are derived from them.

The file of an object that was created in the browser stores its id.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

KINDS = ("datasets", "charts", "dashboards")
"""Kinds of objects, which are folders, each one after those that it refers to."""
DATABASE_NAME = "Shop"
_NAMESPACE = uuid.UUID("5b0c6f1e-3f0a-4c7e-9a53-0d1f6a7be6c4")
_TITLES = {"datasets": "table_name", "charts": "slice_name", "dashboards": "dashboard_title"}


def derived_id(kind: str, name: str) -> str:
    """Return the id derived from a name."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


def is_derived(found: str) -> bool:
    """Return whether an id is derived from a name; ids of Superset are random."""
    return uuid.UUID(found).version == 5


def id_of(kind: str, name: str, content: Mapping[str, Any]) -> str:
    """Return the id of a file's object."""
    return str(content.get("uuid") or derived_id(kind, name))


def title_of(kind: str, content: Mapping[str, Any]) -> str:
    """Return the title of an object."""
    return str(content[_TITLES[kind]])


def name_from(title: str) -> str:
    """Return a file name for an object created in the browser."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "untitled"


DATABASE_ID = derived_id("databases", DATABASE_NAME)
