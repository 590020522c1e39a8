"""Recorded and resolved losses, and the changes that follow them. Pure, except for reading.

After a WAL gap, versions are missing for good. The ledger records from which offset on, and up to
where a full extraction has read all rows again. A key whose changes cross such a place has lost
versions that cannot be restored: a new life begins after it. A loss that was recorded but not
resolved excuses nothing, nor does a hole anywhere else.

After a TRUNCATE that was not captured, only deletes are missing: a row that is inserted after
such a place may have ended before it.
"""

from dataclasses import dataclass

import polars as pl

from lakehouse.delta import scan
from lakehouse.lake import LOSS_LEDGER, LOSS_LEDGER_SCHEMA, Lake

_LOST, _TRUNCATED, _RESOLVED = "slot_lost", "truncated", "read_again"
_EVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLoss:
    """Changes are missing just before offset `first`; from `last` on, rows are correct again.

    If `is_truncate`, only deletes are missing.
    """

    topic_id: str
    partition: int
    first: int
    last: int
    is_truncate: bool = False


def read_resolved(lake: Lake) -> dict[str, tuple[ResolvedLoss, ...]]:
    """Return the resolved losses, by topic.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return resolved(_read(lake))


def read_recorded(lake: Lake) -> dict[str, tuple[ResolvedLoss, ...]]:
    """Return all WAL gaps and truncates, as if they were resolved by now, by topic.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    ledger = _read(lake)
    lost = ledger.filter(pl.col("kind").is_in([_LOST, _TRUNCATED]))
    by_now = pl.lit(_EVER, pl.Int64)
    return resolved(
        pl.concat([lost, lost.with_columns(kind=pl.lit(_RESOLVED), last_offset=by_now)])
    )


def _read(lake: Lake) -> pl.DataFrame:
    ledger = lake.open("bronze", LOSS_LEDGER)
    if ledger is None:
        return pl.DataFrame(schema=pl.Schema(LOSS_LEDGER_SCHEMA))
    return scan(ledger).collect()


def resolved(ledger: pl.DataFrame) -> dict[str, tuple[ResolvedLoss, ...]]:
    """Return the losses in the ledger that have a resolution, by topic."""
    coordinate = ["topic", "topic_id", "partition", "first_offset"]
    # If a second loss followed, all rows read to resolve the first lie before its place.
    lost = (
        ledger.filter(pl.col("kind").is_in([_LOST, _TRUNCATED]))
        .select("kind", *coordinate)
        .unique()
    )
    read = (
        ledger.filter(pl.col("kind") == _RESOLVED)
        .group_by(coordinate)
        .agg(pl.col("last_offset").max())
    )
    found: dict[str, tuple[ResolvedLoss, ...]] = {}
    for kind, topic, topic_id, partition, first, last in (
        lost.join(read, on=coordinate).sort(*coordinate, "kind").iter_rows()
    ):
        one = ResolvedLoss(
            topic_id=topic_id,
            partition=partition,
            first=first,
            last=last,
            is_truncate=kind == _TRUNCATED,
        )
        found[topic] = (*found.get(topic, ()), one)
    return found


def goes_on_behind(losses: tuple[ResolvedLoss, ...]) -> pl.Expr:
    """Return whether a change is the first of its key after one of these losses.

    For changes by key and in order, with `key`, `op` and the coordinate.
    """
    offset, key = pl.col("_offset"), pl.col("key")
    before, is_behind = offset_before(), pl.lit(value=False)
    for loss in losses:
        is_behind = is_behind | (
            (pl.col("_topic_id") == loss.topic_id)
            & (pl.col("_partition") == loss.partition)
            & offset.is_between(loss.first, loss.last)
            & (before < loss.first)
            & (pl.lit(not loss.is_truncate) | (pl.col("op") == "c"))
        )
    return (is_behind & key.is_not_null()).alias("goes_on")


def offset_before() -> pl.Expr:
    """Return the offset of the key's previous change in the same partition; -1 if there is none."""
    partition = pl.struct("key", "_topic_id", "_epoch", "_partition")
    return pl.when(partition == partition.shift(1)).then(pl.col("_offset").shift(1)).fill_null(-1)
