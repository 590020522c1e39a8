"""What was done last to Superset's own database: a note at the database itself."""

import json
from typing import Literal

from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.program import ProgramDatabase

NAME = "superset"
"""Of the database, and of the role that owns it."""
Deed = Literal["filled_by", "applied"]


def prepare_database(warehouse: WarehouseSettings, secrets: Secrets) -> None:
    """Make role and database; the second time changes nothing."""
    _database(warehouse, secrets).prepare()


def read_state(warehouse: WarehouseSettings, secrets: Secrets) -> dict[Deed, str]:
    """What was done: the environment that filled it, the dashboards that were applied."""
    note = _database(warehouse, secrets).note()
    found: dict[Deed, str] = json.loads(note) if note else {}
    return found


def write_state(warehouse: WarehouseSettings, secrets: Secrets, **done: str) -> None:
    """Note what was done, beside what was done before."""
    before = read_state(warehouse, secrets)
    _database(warehouse, secrets).write_note(json.dumps({**before, **done}))


def _database(warehouse: WarehouseSettings, secrets: Secrets) -> ProgramDatabase:
    return ProgramDatabase(name=NAME, warehouse=warehouse, secrets=secrets)
