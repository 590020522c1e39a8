"""Replaces values by their cleaned form. Grain: one row per change."""

from collections.abc import Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Cleaning, Entity

SPELLED = "spelled:"
"""Prefix of a column's cleaned value; null if there is none, or if it cannot be cleaned."""


def raw(name: str) -> str:
    """Return the name of the column that keeps the value from before cleaning."""
    return f"raw:{name}"


def clean(changes: Frame, entity: Entity) -> Frame:
    """Replace every text by its cleaned form.

    Args:
        changes: the contract's columns in their types, and `spelled:…` of those that are cleaned
            or derived.
        entity: the contract.

    Returns:
        The same rows with cleaned columns, the derived columns added, and `raw:…` of each column
        that is cleaned.
    """
    names = changes.collect_schema().names()
    spelled = [name.removeprefix(SPELLED) for name in names if name.startswith(SPELLED)]
    if not spelled:
        return changes
    return changes.with_columns(
        *(nw.col(name).alias(raw(name)) for name in cleaned_columns(entity)),
        *(nw.col(f"{SPELLED}{name}").alias(name) for name in spelled),
    ).drop(*(f"{SPELLED}{name}" for name in spelled))


def cleaned_columns(entity: Entity) -> Sequence[str]:
    """Return the columns of which `clean` keeps the raw value."""
    return [c.name for c in entity.columns if c.cleaning is not Cleaning.NONE]
