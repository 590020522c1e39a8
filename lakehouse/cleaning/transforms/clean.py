"""Brings values into their one spelling. Grain: one row per change."""

from collections.abc import Mapping, Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Cleaning, Entity

SPELLED = "spelled"
"""In a table of spellings: what a value becomes; null if it cannot be mended."""
_IS_LISTED = "is_listed"


def raw(name: str) -> str:
    """Where the value of a column stands as it was before it was cleaned."""
    return f"raw:{name}"


def clean(changes: Frame, entity: Entity, spellings: Mapping[str, Frame]) -> Frame:
    """Spell every text as the contract wants it.

    Args:
        changes: the contract's columns in their types.
        entity: the contract.
        spellings: by column, what raw values become. Those not listed stay as they are; derived
            columns have no value of their own.

    Returns:
        The same rows with the columns cleaned, the derived ones added, and `raw:…` of each column
        that was cleaned or that decides a spelling.
    """
    kept = {name for table in spellings.values() for name in _inputs(table)}
    changes = changes.with_columns(*(nw.col(name).alias(raw(name)) for name in sorted(kept)))
    for name, table in spellings.items():
        changes = _respell(changes, name, table, is_derived=name not in _columns(entity))
    return changes


def cleaned_columns(entity: Entity) -> Sequence[str]:
    """The columns of which `clean` keeps the raw value."""
    return [c.name for c in entity.columns if c.cleaning is not Cleaning.NONE]


def _columns(entity: Entity) -> set[str]:
    return {column.name for column in entity.columns}


def _inputs(table: Frame) -> list[str]:
    names = table.collect_schema().names()
    return [name.removeprefix(raw("")) for name in names if name != SPELLED]


def _respell(changes: Frame, name: str, table: Frame, *, is_derived: bool) -> Frame:
    # A null in an input is a value like others here, and a join never finds one. All values get a
    # letter in front, so that none of them is the empty text that stands for null.
    keys = {raw(column): f"key:{column}" for column in _inputs(table)}
    as_keys = [_as_key(c).alias(key) for c, key in keys.items()]
    listed = table.with_columns(nw.lit(value=True).alias(_IS_LISTED), *as_keys).drop(*keys)
    joined = changes.with_columns(*as_keys).join(listed, on=list(keys.values()), how="left")
    spelled = nw.col(SPELLED)
    if not is_derived:
        spelled = nw.when(nw.col(_IS_LISTED).is_null()).then(nw.col(name)).otherwise(spelled)
    return joined.with_columns(spelled.alias(name)).drop(SPELLED, _IS_LISTED, *keys.values())


def _as_key(column: str) -> nw.Expr:
    return nw.concat_str(nw.lit("="), nw.col(column).cast(nw.String)).fill_null("")
