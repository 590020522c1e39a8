"""Contracts: each shop table declared once, for parsing, merging, checks and documents."""

from collections.abc import Mapping

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
from lakehouse.declarations import are_faults_deferred
from lakehouse.errors import PipelineError


def _mapped(declared: Mapping[str, Entity]) -> tuple[dict[str, Entity], PipelineError | None]:
    try:
        return with_mapping(declared), None
    except PipelineError as error:
        if not are_faults_deferred():
            raise
        return dict(declared), error


DECLARED = read_contracts()
"""Contracts of our own shop, by its table."""
ENTITIES, MAPPING_FAULT = _mapped(DECLARED)
"""Contracts by the entity's name: of all files in `lakehouse/contracts/shop/`, laid over by the
mapping, if there is one. Without it, entities are named like the shop's tables.

A faulty mapping is raised, so that nothing reads or writes data by other contracts. Only commands
that need none are run without it (`cli.faulty_mapping`), and `MAPPING_FAULT` has the error.
"""

__all__ = [
    "DECLARED",
    "ENTITIES",
    "MAPPING_FAULT",
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
