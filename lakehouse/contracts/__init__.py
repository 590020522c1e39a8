"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from importlib import import_module
from pkgutil import iter_modules

from lakehouse.contracts import shop
from lakehouse.contracts.model import (
    Cleaning,
    Column,
    Derivation,
    Derived,
    Entity,
    Mask,
    OnSchemaChange,
    OnUnknown,
    Rule,
    Type,
)

ENTITIES: dict[str, Entity] = {
    entity.table: entity
    for module in sorted(one.name for one in iter_modules(shop.__path__))
    for entity in vars(import_module(f"{shop.__name__}.{module}")).values()
    if isinstance(entity, Entity)
}
"""Contracts by the shop's table name: of all modules of `lakehouse.contracts.shop`, by name, in the
order in which each declares them."""

__all__ = [
    "ENTITIES",
    "Cleaning",
    "Column",
    "Derivation",
    "Derived",
    "Entity",
    "Mask",
    "OnSchemaChange",
    "OnUnknown",
    "Rule",
    "Type",
]
