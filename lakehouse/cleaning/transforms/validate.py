"""Finds the changes that no rule could mend. Grain: one row per change.

A rule is named by its column and what is wrong there, or by the contract for those that span
columns. A delete has nothing but its key, and so cannot break any other rule.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.clean import raw
from lakehouse.contracts import Cleaning, Column, Entity, OnSchemaChange, Type

BROKEN = "_broken"
"""Names of the rules that a change breaks, in order, separated by commas; null if none."""
NOT_A_CHANGE = "not_a_row_change"
_UNKNOWN = (Cleaning.CHOICE, Cleaning.COUNTRY)


def validate(changes: Frame, entity: Entity, *, clock_skew: timedelta) -> Frame:
    """Add `BROKEN`.

    Args:
        changes: cleaned; with `operation`, `_unreadable`, `_as_of_date` and `_committed_at`.
        entity: the contract.
        clock_skew: how far a source's clock may be ahead.
    """
    is_kept = nw.col("operation") != "d"
    of_key = nw.col(entity.key).is_null()
    names = [
        _named(NOT_A_CHANGE, nw.col("operation").is_null()),
        _named(f"{entity.key}_missing", of_key & nw.col("operation").is_in(["d"])),
        *(
            _named(name, is_kept & is_broken)
            for name, is_broken in conditions(entity, clock_skew=clock_skew).items()
        ),
    ]
    # In two steps: an expression that stands in another twice is put together, and run, twice.
    joined = nw.concat_str(names, separator=",", ignore_nulls=True)
    broken = nw.when(nw.col(BROKEN) != "").then(nw.col(BROKEN))
    return changes.with_columns(joined.alias(BROKEN)).with_columns(broken.alias(BROKEN))


def conditions(entity: Entity, *, clock_skew: timedelta) -> Mapping[str, nw.Expr]:
    """What breaks each rule, by its name, in order."""
    found: dict[str, nw.Expr] = {}
    for column in entity.columns:
        found |= dict(_of_column(column, entity, clock_skew))
    for rule in entity.rules:
        found[rule.name] = ~rule.holds()
    return found


def _named(name: str, is_broken: nw.Expr) -> nw.Expr:
    return nw.when(is_broken.fill_null(value=False)).then(nw.lit(name))


def _of_column(
    column: Column, entity: Entity, clock_skew: timedelta
) -> Iterator[tuple[str, nw.Expr]]:
    value = nw.col(column.name)
    listed = nw.concat_str([nw.lit(","), nw.col("_unreadable"), nw.lit(",")])
    is_unreadable = listed.str.contains(f",{column.name},", literal=True).fill_null(value=False)
    yield f"{column.name}_unreadable", is_unreadable
    is_lost = nw.lit(value=False)
    if column.cleaning is not Cleaning.NONE:
        is_blank = nw.col(raw(column.name)).str.strip_chars() == ""
        is_lost = ~nw.col(raw(column.name)).is_null() & value.is_null() & ~is_blank
        if not column.can_be_dropped:
            kind = "unknown" if column.cleaning in _UNKNOWN else "invalid"
            yield f"{column.name}_{kind}", is_lost
    if column.required and entity.on_removed is not OnSchemaChange.EVOLVE:
        yield f"{column.name}_missing", value.is_null() & ~is_unreadable & ~is_lost
    if column.least is not None or column.greatest is not None:
        yield f"{column.name}_out_of_range", _is_outside(column)
    if column.is_past:
        yield f"{column.name}_in_future", _is_in_future(column, entity, clock_skew)
    if column.name == entity.as_of:
        ahead = nw.col("_committed_at") + nw.lit(clock_skew)
        yield f"{column.name}_in_future", value > ahead


def _is_outside(column: Column) -> nw.Expr:
    value, is_outside = nw.col(column.name), nw.lit(value=False)
    if column.least is not None:
        is_outside = is_outside | (value < column.least)
    if column.greatest is not None:
        is_outside = is_outside | (value > column.greatest)
    return is_outside


def _is_in_future(column: Column, entity: Entity, clock_skew: timedelta) -> nw.Expr:
    if column.type is Type.DATE:
        return nw.col(column.name) > nw.col("_as_of_date")
    return nw.col(column.name) > nw.col(entity.as_of) + nw.lit(clock_skew)
