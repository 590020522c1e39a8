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
_PARTITION = ("_topic_id", "_epoch", "_partition")


def snapshots(changes: Frame) -> Frame:
    """Return where Debezium's snapshots begin. Grain: one row per partition and time of reading.

    That time is when it began to read this table: it is of no use to compare others with.
    """
    read = changes.filter(pl.col("op") == "r")
    return _begin(read.select(*_PARTITION, "committed_us", first="_offset", first_at="_timestamp"))


def last_snapshot(found: Iterable[Frame]) -> Frame:
    """Return where the last snapshot begins, in each partition that has rows of it."""
    all_found = _begin(pl.concat(found))
    return all_found.filter(pl.col("committed_us") == pl.col("committed_us").max())


def _begin(read: Frame) -> Frame:
    return read.group_by(*_PARTITION, "committed_us").agg(pl.col("first", "first_at").min())


def since_snapshot(changes: Frame, snapshot: Frame) -> Frame:
    """Filter that snapshot, which contains every row, and the changes that it does not show.

    The connector writes a snapshot before it streams what was not committed by then; so behind its
    rows are exactly these changes. In a partition without its rows, they are those that were sent
    since: a record's time in Kafka is when the connector's only task sent it, and before a
    snapshot it is restarted. Of a transaction that was open when the snapshot was taken, positions
    in the log are before it; of another server, they may be anywhere.
    """
    if snapshot.is_empty():
        return changes
    is_later = pl.col("_timestamp") >= snapshot["first_at"].min()
    begun = changes.join(snapshot.select(*_PARTITION, "first"), on=_PARTITION, how="left")
    is_of_it = pl.col("_offset") >= pl.col("first")
    return begun.filter(pl.coalesce(is_of_it, is_later & (pl.col("op") != "r"))).drop("first")


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
