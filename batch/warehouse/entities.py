"""Tables of the schema `entity`: the silver table of each, and its columns.

Grain of `entity.<table>`: one row per current key. Of `entity.<table>_history`: one row per
valid version of a key, without deletes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.contracts import ENTITIES, Column, Derivation, Derived, Entity, Type
from lakehouse.contracts.model import OnSchemaChange
from lakehouse.contracts.schemas import COORDINATE, VALIDITY

POSTGRES_TYPES: Mapping[Type, str] = {
    Type.TEXT: "text",
    Type.INTEGER: "bigint",
    Type.CENTS: "bigint",
    Type.RATE: "bigint",
    Type.DEGREES: "double precision",
    Type.BOOLEAN: "boolean",
    Type.TIMESTAMP: "timestamp with time zone",
    Type.DATE: "date",
    Type.DECIMAL: "numeric",
    Type.FLOAT: "double precision",
    Type.WALL_CLOCK: "timestamp without time zone",
    Type.TIME: "text",
    Type.OPAQUE: "text",
}
"""Types of single values, of all types but bytes."""
LIVE_COLUMNS = ("_is_deleted", "_is_first")
"""Columns that a table of live has besides; the second one only a history."""
_ALWAYS = (Derivation.BUSINESS_DATE, Derivation.MONTH)
"""Derivations that have a value whenever their inputs do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityTable:
    """One table of the schema `entity`, loaded from one silver table."""

    name: str
    silver: str
    entity: Entity
    key: tuple[str, ...]
    is_history: bool

    @property
    def is_live(self) -> bool:
        """Return whether live has a table of the same name."""
        return self.name in self.entity.live_tables

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all its columns; they have the same names in silver."""
        validity = tuple(VALIDITY.names) if self.is_history else ()
        return (*self.entity.names, *COORDINATE, *validity)


def _tables() -> tuple[EntityTable, ...]:
    found = []
    for entity in ENTITIES.values():
        found.append(
            EntityTable(
                name=entity.table, silver=entity.silver, entity=entity, key=(entity.key,),
                is_history=False,
            )
        )  # fmt: skip
        if entity.history is not None:
            key = (entity.key, "_epoch", "_offset")
            found.append(
                EntityTable(
                    name=f"{entity.table}_history", silver=entity.history, entity=entity, key=key,
                    is_history=True,
                )
            )  # fmt: skip
    return tuple(found)


TABLES = _tables()
"""In the order of their contracts, a history after its current rows."""
BY_SILVER = {table.silver: table for table in TABLES}


def is_required(field: Column | Derived, entity: Entity) -> bool:
    """Return whether the contract guarantees a value in every row.

    If a removed column counts as absent, silver has nulls in it from then on; never in a key.
    """
    if isinstance(field, Column):
        can_be_absent = entity.on_removed is OnSchemaChange.EVOLVE and field.name != entity.key
        return field.required and not can_be_absent
    fields = {one.name: one for one in entity.fields}
    return field.how in _ALWAYS and all(is_required(fields[i], entity) for i in field.inputs)
