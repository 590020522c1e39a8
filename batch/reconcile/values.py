"""Comparison of the shop's rows with bronze's latest, value by value. Pure, except for `Recast`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples, Frame
from batch.reconcile.kinds import NOT_MASKED
from batch.reconcile.records import read_images
from batch.reconcile.tables import Column

Recast = Callable[[Column, Sequence[bytes]], Frame]
"""Returns how the shop would represent values now: see `batch.reconcile.recast.recast`."""
SHOP = "shop:"
BRONZE = "bronze:"
"""Prefixes of the two sides' columns, whose names are arbitrary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFaults:
    """Faults of a table's rows; `untold` are none: rows with a value that no change tells."""

    missing: Fault
    extra: Fault
    different: Fault
    untold: Fault


def compare_rows(
    latest: Frame,
    source: Frame,
    columns: Sequence[Column],
    examples: Examples,
    recast: Recast | None = None,
) -> RowFaults:
    """Compare the latest changes of bronze with the rows of the shop.

    Args:
        latest: `key` and `value` of each current row in bronze.
        source: `key` and, as canonical values, the columns of each row of the shop.
        columns: columns to compare.
        examples: number of keys to report.
        recast: called for values that differ; without it they count as different.
    """
    images = canonical(read_images(latest, columns).unnest("after"), columns, prefix=BRONZE)
    bronze = pl.concat([latest.select("key", "value"), images], how="horizontal")
    different, untold = _different(
        source.join(bronze, on="key", how="inner"), columns, examples, recast
    )
    return RowFaults(
        missing=examples.fault(source.join(bronze, on="key", how="anti")),
        extra=examples.fault(bronze.join(source, on="key", how="anti")),
        different=different,
        untold=untold,
    )


def canonical(images: Frame, columns: Sequence[Column], *, prefix: str) -> Frame:
    """Convert each value to its canonical form."""
    # Numbers, since Polars takes names such as * for patterns.
    values = {str(place): images.get_column(c.name) for place, c in enumerate(columns)}
    return pl.DataFrame(values).select(
        c.kind.canonical(pl.col(str(place))).alias(prefix + c.name)
        for place, c in enumerate(columns)
    )


def _different(
    both: Frame, columns: Sequence[Column], examples: Examples, recast: Recast | None
) -> tuple[Fault, Fault]:
    unequal = {c.name: pl.col(SHOP + c.name).ne_missing(pl.col(BRONZE + c.name)) for c in columns}
    suspects = both.filter(pl.any_horizontal(*unequal.values(), pl.lit(value=False)))
    if suspects.is_empty():
        return Fault(), Fault()
    # Few rows differ, if any: the expensive checks are made for these only.
    suspects = suspects.with_row_index("row")
    names = [pl.when(is_unequal).then(pl.lit(name)) for name, is_unequal in unequal.items()]
    asked = suspects.select("row", "value", names=pl.concat_list(names).list.drop_nulls())
    told = _told(asked)
    untold = asked.explode("names").join(
        told, left_on=["row", "names"], right_on=["row", "name"], how="anti", maintain_order="left"
    )
    if recast is not None:
        equal = [_equal_after_cast(told, suspects, column, recast) for column in columns]
        told = told.join(pl.concat(equal), on=["row", "name"], how="anti", maintain_order="left")
    told = told.join(_not_masked(suspects, columns), on=["row", "name"], how="left")
    label = pl.concat_str("name", "note", separator=", ", ignore_nulls=True)
    keys = suspects.select("row", "key")
    return (
        _named(told.with_columns(names=label), keys, examples), _named(untold, keys, examples)
    )  # fmt: skip


def _named(found: Frame, keys: Frame, examples: Examples) -> Fault:
    """Return a fault for each row: its key, and the `names` of columns."""
    named = found.group_by("row", maintain_order=True).agg(pl.col("names").str.join(", "))
    keyed = named.join(keys, on="row", maintain_order="left")
    return examples.fault(keyed.select(key=pl.format("{} ({})", "key", "names")))


def _told(asked: Frame) -> Frame:
    """Filter columns that the changes contain: one that was added later is in no earlier change."""
    found = [
        (row, name, orjson.dumps(after[name]))
        for row, value, names in asked.iter_rows()
        for after in (orjson.loads(value)["after"],)
        for name in names
        if name in after
    ]
    schema = pl.Schema({"row": pl.UInt32, "name": pl.String, "said": pl.Binary})
    return pl.DataFrame(found, schema=schema, orient="row")


def _not_masked(suspects: Frame, columns: Sequence[Column]) -> Frame:
    """Return `row`, `name` and a note for values that were captured before they were masked."""
    values = {c.name: pl.col(BRONZE + c.name) for c in columns if not c.kind.is_list}
    found = [
        suspects.filter(value.cast(pl.String) == NOT_MASKED).select(
            "row", name=pl.lit(name), note=pl.lit(NOT_MASKED)
        )
        for name, value in values.items()
    ]
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "name": pl.String, "note": pl.String})
    return pl.concat([nothing, *found])


def _equal_after_cast(told: Frame, suspects: Frame, column: Column, recast: Recast) -> Frame:
    """Return `row` and `name` of values that equal after a cast to the column's current type."""
    own = told.filter(pl.col("name") == column.name, pl.col("said") != b"null")
    if own.is_empty():
        return own.select("row", "name")
    spelled = recast(column, own["said"].to_list())
    now = column.kind.canonical(column.kind.read(pl.col("spelled")))
    placed = own.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    both = placed.join(spelled.with_columns(now=now), on="number").join(suspects, on="row")
    is_equal = pl.col("now").eq_missing(pl.col(SHOP + column.name))
    return both.filter(is_equal).select("row", "name").unique()
