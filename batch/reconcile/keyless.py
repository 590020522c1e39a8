"""Comparison of a table without a primary key: how often each row occurs on either side. Pure.

Such rows have no order and no history to check. But each change contains the full old and new row,
so adding the new ones and subtracting the old ones gives the current rows.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from batch.reconcile.findings import Fault, Findings
from batch.reconcile.history import Examples, Frame
from batch.reconcile.records import read_images
from batch.reconcile.tables import Column
from batch.reconcile.values import BRONZE, SHOP, canonical

ROW = "row"


def last_snapshot(changes: Frame) -> int:
    """Return the start of Debezium's last snapshot in these changes, in microseconds, or 0."""
    read = changes.filter(pl.col("op") == "r")["committed_us"].max()
    return read if isinstance(read, int) else 0


def since_snapshot(changes: Frame, read_us: int) -> Frame:
    """Filter that snapshot, which contains every row, and the changes after it."""
    is_later = pl.col("committed_us") > read_us
    is_of_it = (pl.col("op") == "r") & (pl.col("committed_us") == read_us)
    return changes.filter(is_later | is_of_it)


def rows_of_source(source: Frame, columns: Sequence[Column]) -> Frame:
    """Count the shop's rows. Grain: one row per distinct row."""
    return _tally(source.select(_text(columns, SHOP)), 1)


def rows_of_changes(changes: Frame, columns: Sequence[Column]) -> Frame:
    """Count inserts minus deletes. Grain: one row per distinct row in the changes."""
    images = read_images(changes, columns, ("before", "after"))
    tallies = []
    for image, ops, sign in (("after", "cur", 1), ("before", "ud", -1)):
        rows = images.filter(changes["op"].is_in(list(ops))).select(image).unnest(image)
        spelled = canonical(rows, columns, prefix=BRONZE)
        tallies.append(_tally(spelled.select(_text(columns, BRONZE)), sign))
    return add_up(tallies)


def add_up(tallies: Iterable[Frame]) -> Frame:
    """Add up several tallies, and drop rows that cancel out."""
    nothing = pl.DataFrame(schema={ROW: pl.String, "times": pl.Int64})
    summed = pl.concat([nothing, *tallies]).group_by(ROW).agg(pl.col("times").sum())
    return summed.filter(pl.col("times") != 0)


def compare_tallies(source: Frame, bronze: Frame, examples: Examples) -> Findings:
    """Find rows of the shop that bronze lacks, and rows of bronze that the shop lacks."""
    both = source.join(bronze, on=ROW, how="full", coalesce=True, suffix="_bronze")
    surplus = pl.col("times_bronze").fill_null(0) - pl.col("times").fill_null(0)
    checked = both.select(ROW, surplus=surplus)
    return Findings(
        source_rows=_total(source),
        bronze_rows=_total(bronze),
        missing=_fault(checked.filter(pl.col("surplus") < 0), -pl.col("surplus"), examples),
        extra=_fault(checked.filter(pl.col("surplus") > 0), pl.col("surplus"), examples),
    )


def _fault(rows: Frame, count: pl.Expr, examples: Examples) -> Fault:
    return examples.fault(rows, count=count, label=ROW)


def _tally(rows: Frame, sign: int) -> Frame:
    return rows.group_by(ROW).agg(times=pl.len().cast(pl.Int64) * sign)


def _total(tally: Frame) -> int:
    return int(tally["times"].sum())


def _text(columns: Sequence[Column], prefix: str) -> pl.Expr:
    # As text: JSON has no representation of NaN.
    values = pl.struct(_as_text(c, pl.col(prefix + c.name)).alias(c.name) for c in columns)
    return values.struct.json_encode().alias(ROW)


def _as_text(column: Column, value: pl.Expr) -> pl.Expr:
    return value if column.kind.is_list else value.cast(pl.String)
