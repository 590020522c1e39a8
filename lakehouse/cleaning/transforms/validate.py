"""Finds the changes that break a rule. Grain: one row per change.

A rule is named after its column and the fault, or by the contract if it spans several columns.
A delete carries only its key, so it cannot break any other rule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.clean import raw
from lakehouse.contracts import Cleaning, Column, Entity, OnSchemaChange, Type
from lakehouse.contracts.conditions import computed
from lakehouse.contracts.model import LISTED, RATE_SCALE

BROKEN = "_broken"
"""Names of the rules that a change breaks, in order, separated by commas; null if none."""
SUSPECT = "_suspect"
"""Whether a change may break a rule. `BROKEN` is computed only for these."""
_KINDS = (
    "unreadable", "too_long", "unknown", "invalid", "missing", "out_of_range", "in_future",
)  # fmt: skip
NOT_A_CHANGE = "not_a_row_change"
NO_COMMIT = "committed_at_unreadable"
"""The commit timestamp of the change is missing, or outside the supported range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Condition under which a change breaks a rule.

    Attributes:
        name: name of the rule.
        is_broken: true where the rule is broken.
        sign: a cheap filter: true wherever the rule is broken, and for few other changes. None if
            the rule can only be broken by changes with an unreadable column.
    """

    name: str
    is_broken: nw.Expr
    sign: nw.Expr | None


def flag_suspects(changes: Frame, entity: Entity, *, clock_skew: timedelta) -> Frame:
    """Add `SUSPECT`.

    Most changes break no rule. Finding the suspects takes a tenth of the expressions that naming
    the broken rules takes, and the cost of a small batch depends on expressions, not on rows.

    Args:
        changes: cleaned; with `_operation`, `_unreadable`, `_beyond`, `_as_of_date` and
            `_committed_at`.
        entity: the contract.
        clock_skew: how far a source's clock may be ahead.
    """
    signs = [one.sign for one in conditions(entity, clock_skew=clock_skew)]
    operation = nw.col("_operation")
    is_suspect = nw.any_horizontal(
        operation.is_null(),
        nw.col("_committed_at").is_null(),
        ~nw.col("_unreadable").is_null(),
        ~nw.col("_beyond").is_null(),
        (operation == "d") & nw.col(entity.key).is_null(),
        nw.all_horizontal(
            operation != "d",
            nw.any_horizontal(
                nw.lit(value=False), *(s for s in signs if s is not None), ignore_nulls=False
            ),
            ignore_nulls=False,
        ),
        ignore_nulls=False,
    )
    return changes.with_columns(is_suspect.fill_null(value=False).alias(SUSPECT))


def validate(changes: Frame, entity: Entity, *, clock_skew: timedelta) -> Frame:
    """Add `BROKEN`.

    Args:
        changes: as in `flag_suspects`.
        entity: the contract.
        clock_skew: how far a source's clock may be ahead.
    """
    is_kept = nw.col("_operation") != "d"
    of_key = nw.col(entity.key).is_null()
    names = [
        _named(NOT_A_CHANGE, nw.col("_operation").is_null()),
        _named(NO_COMMIT, nw.col("_committed_at").is_null() & ~nw.col("_operation").is_null()),
        _named(f"{entity.key}_missing", of_key & nw.col("_operation").is_in(["d"])),
        *(
            _named(one.name, is_kept & one.is_broken)
            for one in conditions(entity, clock_skew=clock_skew)
        ),
    ]
    # In two steps: Polars evaluates an expression twice if another contains it twice.
    joined = nw.concat_str(names, separator=",", ignore_nulls=True)
    broken = nw.when(nw.col(BROKEN) != "").then(nw.col(BROKEN))
    return changes.with_columns(joined.alias(BROKEN)).with_columns(broken.alias(BROKEN))


def conditions(entity: Entity, *, clock_skew: timedelta) -> Sequence[Condition]:
    """Return the condition of each rule, in order."""
    found: dict[str, Condition] = {}
    for column in entity.columns:
        found |= {one.name: one for one in _of_column(column, entity, clock_skew)}
    for rule in entity.rules:
        found[rule.name] = _exactly(rule.name, ~computed(rule.parsed(), nw.col))
    return tuple(found.values())


def rule_names(entity: Entity) -> list[str]:
    """Return all rule names that can occur in `BROKEN`."""
    names = [one.name for one in conditions(entity, clock_skew=timedelta())]
    return [NOT_A_CHANGE, NO_COMMIT, f"{entity.key}_missing", *names]


def former_rule_names(entity: Entity) -> list[str]:
    """Return rules that earlier contracts may have had, and that quarantine may still contain."""
    return [f"{column.name}_{kind}" for column in entity.columns for kind in _KINDS]


def _named(name: str, is_broken: nw.Expr) -> nw.Expr:
    return nw.when(is_broken.fill_null(value=False)).then(nw.lit(name))


def _exactly(name: str, is_broken: nw.Expr) -> Condition:
    return Condition(name=name, is_broken=is_broken, sign=is_broken)


def _of_column(column: Column, entity: Entity, clock_skew: timedelta) -> Iterator[Condition]:
    name, value = column.name, nw.col(column.name)
    is_unreadable, is_beyond = _is_listed("_unreadable", name), _is_listed("_beyond", name)
    yield Condition(name=f"{name}_unreadable", is_broken=is_unreadable, sign=None)
    if column.most_bytes is not None:
        yield Condition(name=f"{name}_too_long", is_broken=is_beyond, sign=None)
    is_lost = nw.lit(value=False)
    if column.cleaning is not Cleaning.NONE:
        is_told = ~nw.col(raw(name)).is_null() & value.is_null()
        is_lost = is_told & ~(nw.col(raw(name)).str.strip_chars() == "")
        if not (column.can_be_dropped or column.counts_unknown):
            kind = "unknown" if column.cleaning in LISTED else "invalid"
            yield Condition(name=f"{name}_{kind}", is_broken=is_lost, sign=is_told)
    if column.required and entity.on_removed is not OnSchemaChange.EVOLVE:
        is_missing = value.is_null() & ~is_unreadable & ~is_beyond & ~is_lost
        yield Condition(name=f"{name}_missing", is_broken=is_missing, sign=value.is_null())
    if column.type is not Type.TEXT:
        limits = [*_outside(column)]
        is_outside = nw.any_horizontal(*limits, ignore_nulls=True) if limits else None
        is_broken = is_beyond if is_outside is None else is_beyond | is_outside
        yield Condition(name=f"{name}_out_of_range", is_broken=is_broken, sign=is_outside)
    if column.not_in_future:
        yield _exactly(f"{name}_in_future", _is_in_future(column, entity, clock_skew))
    if name == entity.as_of:
        ahead = nw.col("_committed_at") + nw.lit(clock_skew)
        yield _exactly(f"{name}_in_future", value > ahead)


def _is_listed(names: str, name: str) -> nw.Expr:
    listed = nw.concat_str([nw.lit(","), nw.col(names), nw.lit(",")])
    return listed.str.contains(f",{name},", literal=True).fill_null(value=False)


def _outside(column: Column) -> Iterator[nw.Expr]:
    """Yield the conditions that break a number's minimum or maximum."""
    value = nw.col(column.name)
    if column.minimum is not None and column.maximum is not None:
        yield ~value.is_between(column.minimum, column.maximum)
    elif column.minimum is not None:
        yield value < column.minimum
    elif column.maximum is not None:
        yield value > column.maximum
    if column.maximum_in_base is not None:
        # For whole numbers, `a * b <= c` is `a <= c // b`; the product may exceed 64 bits.
        yield value > nw.lit(column.maximum_in_base * RATE_SCALE) // nw.col(column.rate)


def _is_in_future(column: Column, entity: Entity, clock_skew: timedelta) -> nw.Expr:
    if column.type is Type.DATE:
        return nw.col(column.name) > nw.col("_as_of_date")
    return nw.col(column.name) > nw.col(entity.as_of) + nw.lit(clock_skew)
