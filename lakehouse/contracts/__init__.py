"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from lakehouse.contracts.declared import read_contracts
from lakehouse.contracts.mapping import with_mapping
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

DECLARED = read_contracts()
"""Contracts of our own shop, by its table."""
ENTITIES = with_mapping(DECLARED)
"""Contracts by the entity's name: of all files in `lakehouse/contracts/shop/`, laid over by the
mapping, if there is one. Without it, entities are named like the shop's tables."""

__all__ = [
    "DECLARED",
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
