"""Finds the changes that no rule could mend. Grain: one row per change.

A rule is named by its column and what is wrong there, or by the contract for those that offsets
columns. A delete has nothing but its key, and so cannot break any other rule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.clean import raw
from lakehouse.contracts import Cleaning, Column, Entity, OnSchemaChange, Type
from lakehouse.contracts.model import LISTED, RATE_SCALE

BROKEN = "_broken"
"""Names of the rules that a change breaks, in order, separated by commas; null if none."""
SUSPECT = "_suspect"
"""Whether a change may break a rule. Only for such a one `BROKEN` is worked out."""
_KINDS = (
    "unreadable", "too_long", "unknown", "invalid", "missing", "out_of_range", "in_future",
)  # fmt: skip
NOT_A_CHANGE = "not_a_row_change"
NO_COMMIT = "committed_at_unreadable"
"""The change does not say when it was committed, or not in the calendar that we can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What breaks a rule.

    Attributes:
        name: of the rule.
        is_broken: true where it is.
        sign: true wherever it is broken, and for few others; as cheap as can be. None where it is
            broken only for changes with something unreadable.
    """

    name: str
    is_broken: nw.Expr
    sign: nw.Expr | None


def flag_suspects(changes: Frame, entity: Entity, *, clock_skew: timedelta) -> Frame:
    """Add `SUSPECT`.

    Most changes break no rule. To find these takes a tenth of the expressions that it takes to say
    which rule it is, and for a small batch each expression costs, not each row.

    Args:
        changes: cleaned; with `operation`, `_unreadable`, `_beyond`, `_as_of_date` and
            `_committed_at`.
        entity: the contract.
        clock_skew: how far a source's clock may be ahead.
    """
    signs = [one.sign for one in conditions(entity, clock_skew=clock_skew)]
    operation = nw.col("operation")
    is_suspect = nw.any_horizontal(
        operation.is_null(),
        nw.col("_committed_at").is_null(),
        ~nw.col("_unreadable").is_null(),
        ~nw.col("_beyond").is_null(),
        (operation == "d") & nw.col(entity.key).is_null(),
        nw.all_horizontal(
            operation != "d",
            nw.any_horizontal(*(sign for sign in signs if sign is not None), ignore_nulls=False),
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
    is_kept = nw.col("operation") != "d"
    of_key = nw.col(entity.key).is_null()
    names = [
        _named(NOT_A_CHANGE, nw.col("operation").is_null()),
        _named(NO_COMMIT, nw.col("_committed_at").is_null() & ~nw.col("operation").is_null()),
        _named(f"{entity.key}_missing", of_key & nw.col("operation").is_in(["d"])),
        *(
            _named(one.name, is_kept & one.is_broken)
            for one in conditions(entity, clock_skew=clock_skew)
        ),
    ]
    # In two steps: an expression that stands in another twice is put together, and run, twice.
    joined = nw.concat_str(names, separator=",", ignore_nulls=True)
    broken = nw.when(nw.col(BROKEN) != "").then(nw.col(BROKEN))
    return changes.with_columns(joined.alias(BROKEN)).with_columns(broken.alias(BROKEN))


def conditions(entity: Entity, *, clock_skew: timedelta) -> Sequence[Condition]:
    """What breaks each rule, in order."""
    found: dict[str, Condition] = {}
    for column in entity.columns:
        found |= {one.name: one for one in _of_column(column, entity, clock_skew)}
    for rule in entity.rules:
        found[rule.name] = _exactly(rule.name, ~rule.holds())
    return tuple(found.values())


def rule_names(entity: Entity) -> list[str]:
    """All that may stand in `BROKEN`."""
    names = [one.name for one in conditions(entity, clock_skew=timedelta())]
    return [NOT_A_CHANGE, NO_COMMIT, f"{entity.key}_missing", *names]


def former_rule_names(entity: Entity) -> list[str]:
    """Rules of columns that a contract of before may have had, and quarantine may still tell of."""
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
    """What breaks each limit of a number."""
    value = nw.col(column.name)
    if column.minimum is not None and column.maximum is not None:
        yield ~value.is_between(column.minimum, column.maximum)
    elif column.minimum is not None:
        yield value < column.minimum
    elif column.maximum is not None:
        yield value > column.maximum
    if column.maximum_in_base is not None:
        # Of whole numbers, `a * b <= c` is `a <= c // b`; the product may exceed 64 bits.
        yield value > nw.lit(column.maximum_in_base * RATE_SCALE) // nw.col(column.rate)


def _is_in_future(column: Column, entity: Entity, clock_skew: timedelta) -> nw.Expr:
    if column.type is Type.DATE:
        return nw.col(column.name) > nw.col("_as_of_date")
    return nw.col(column.name) > nw.col(entity.as_of) + nw.lit(clock_skew)
