"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from lakehouse.contracts.goods import PRODUCTS, STOCK_MOVEMENTS
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
from lakehouse.contracts.people import CUSTOMERS, SUPPLIERS
from lakehouse.contracts.sales import ORDER_LINES, ORDERS, PAYMENTS
from lakehouse.contracts.visits import INTERACTIONS

ENTITIES: dict[str, Entity] = {
    entity.table: entity
    for entity in (
        SUPPLIERS,
        PRODUCTS,
        CUSTOMERS,
        ORDERS,
        ORDER_LINES,
        PAYMENTS,
        STOCK_MOVEMENTS,
        INTERACTIONS,
    )
}
"""Contracts by the shop's table name; referenced tables come first."""

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
