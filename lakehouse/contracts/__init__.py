"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from lakehouse.contracts import goods, people, sales, visits
from lakehouse.contracts.model import (
    Cleaning,
    Column,
    Derivation,
    Derived,
    Entity,
    OnSchemaChange,
    OnUnknown,
    Rule,
    Type,
)

ENTITIES: dict[str, Entity] = {
    entity.table: entity
    for module in (people, goods, sales, visits)
    for entity in vars(module).values()
    if isinstance(entity, Entity)
}
"""Contracts by the shop's table name, in the order in which their modules declare them."""

__all__ = [
    "ENTITIES",
    "Cleaning",
    "Column",
    "Derivation",
    "Derived",
    "Entity",
    "OnSchemaChange",
    "OnUnknown",
    "Rule",
    "Type",
]
