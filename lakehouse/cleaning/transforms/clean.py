"""Brings values into their one spelling. Grain: one row per change."""

from collections.abc import Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Cleaning, Entity

SPELLED = "spelled:"
"""Before the name of a column: what its value becomes; null if it has none or cannot be mended."""


def raw(name: str) -> str:
    """Where the value of a column stands as it was before it was cleaned."""
    return f"raw:{name}"


def clean(changes: Frame, entity: Entity) -> Frame:
    """Spell every text as the contract wants it.

    Args:
        changes: the contract's columns in their types, and `spelled:…` of those that have one
            spelling or are derived by one.
        entity: the contract.

    Returns:
        The same rows with these columns in their spelling, the derived ones added, and `raw:…` of
        each column that was cleaned.
    """
    names = changes.collect_schema().names()
    spelled = [name.removeprefix(SPELLED) for name in names if name.startswith(SPELLED)]
    return changes.with_columns(
        *(nw.col(name).alias(raw(name)) for name in cleaned_columns(entity)),
        *(nw.col(f"{SPELLED}{name}").alias(name) for name in spelled),
    ).drop(*(f"{SPELLED}{name}" for name in spelled))


def cleaned_columns(entity: Entity) -> Sequence[str]:
    """The columns of which `clean` keeps the raw value."""
    return [c.name for c in entity.columns if c.cleaning is not Cleaning.NONE]
