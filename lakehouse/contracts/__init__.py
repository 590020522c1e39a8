"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from lakehouse.contracts.declared import read_contracts
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

ENTITIES = read_contracts()
"""Contracts by the shop's table name: of all files in `lakehouse/contracts/shop/`."""

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
