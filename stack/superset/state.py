"""State of Superset's own database, stored as a comment on it."""

import json
from typing import Literal

from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.program import ProgramDatabase

NAME = "superset"
"""Name of the database and of the role that owns it."""
Deed = Literal["filled_by", "applied"]


def prepare_database(warehouse: WarehouseSettings, secrets: Secrets) -> None:
    """Create role and database. Idempotent."""
    _database(warehouse, secrets).prepare()


def read_state(warehouse: WarehouseSettings, secrets: Secrets) -> dict[Deed, str]:
    """Return the stored state: environment of the set-up, and imported dashboards."""
    note = _database(warehouse, secrets).note()
    found: dict[Deed, str] = json.loads(note) if note else {}
    return found


def write_state(warehouse: WarehouseSettings, secrets: Secrets, **done: str) -> None:
    """Add values to the stored state."""
    before = read_state(warehouse, secrets)
    _database(warehouse, secrets).write_note(json.dumps({**before, **done}))


def _database(warehouse: WarehouseSettings, secrets: Secrets) -> ProgramDatabase:
    return ProgramDatabase(name=NAME, warehouse=warehouse, secrets=secrets)
