"""Losses that were recorded and mended: which changes go on behind one. Pure but for reading.

Where the replication slot was lost, versions are missing for good. The ledger says from which
offset on, and up to where all rows were read again. A key whose changes step over such a place has
lost versions there that nobody can bring back: its life begins anew behind it. A loss that was
recorded and not mended excuses nothing, nor does a hole anywhere else.

Where a TRUNCATE was not told, deletes are missing, and nothing else: a row that is inserted behind
such a place may have ended before it.
"""

from dataclasses import dataclass

import polars as pl

from lakehouse.delta import scan
from lakehouse.lake import LOSS_LEDGER, LOSS_LEDGER_SCHEMA, Lake

_LOST, _TRUNCATED, _MENDED = "slot_lost", "truncated", "read_again"
_EVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLoss:
    """Changes before offset `first` and from it on do not meet; by `last` the rows are right.

    Where it `is_truncate`, deletes alone are missing there.
    """

    topic_id: str
    partition: int
    first: int
    last: int
    is_truncate: bool = False


def read_resolved(lake: Lake) -> dict[str, tuple[ResolvedLoss, ...]]:
    """The mended losses, by topic.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return mended(_read(lake))


def read_recorded(lake: Lake) -> dict[str, tuple[ResolvedLoss, ...]]:
    """All that the slot lost or a TRUNCATE ended, as if it were mended by now, by topic.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    ledger = _read(lake)
    lost = ledger.filter(pl.col("kind").is_in([_LOST, _TRUNCATED]))
    by_now = pl.lit(_EVER, pl.Int64)
    return mended(pl.concat([lost, lost.with_columns(kind=pl.lit(_MENDED), last_offset=by_now)]))


def _read(lake: Lake) -> pl.DataFrame:
    ledger = lake.open("bronze", LOSS_LEDGER)
    if ledger is None:
        return pl.DataFrame(schema=pl.Schema(LOSS_LEDGER_SCHEMA))
    return scan(ledger).collect()


def mended(ledger: pl.DataFrame) -> dict[str, tuple[ResolvedLoss, ...]]:
    """Of the ledger's rows, the losses of which both loss and mending stand there, by topic."""
    coordinate = ["topic", "topic_id", "partition", "first_offset"]
    # Where one was lost behind another, all rows read by the first's mending lie before the place.
    lost = (
        ledger.filter(pl.col("kind").is_in([_LOST, _TRUNCATED]))
        .select("kind", *coordinate)
        .unique()
    )
    read = (
        ledger.filter(pl.col("kind") == _MENDED)
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
    """Whether a change is the first of its key behind one of these losses.

    Of changes by key and in order, with `key`, `op` and the coordinate.
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
    """Offset of the change before of the same key in the same partition; -1 where there is none."""
    partition = pl.struct("key", "_topic_id", "_epoch", "_partition")
    return pl.when(partition == partition.shift(1)).then(pl.col("_offset").shift(1)).fill_null(-1)
