"""Losses that were recorded and mended: which changes go on behind one. Pure but for reading.

Where the replication slot was lost, versions are missing for good. The ledger says from which
offset on, and up to where all rows were read again. A key whose changes step over such a place has
lost versions there that nobody can bring back: its life begins anew behind it. A loss that was
recorded and not mended excuses nothing, nor does a hole anywhere else.
"""

from dataclasses import dataclass

import polars as pl

from lakehouse.delta import scan
from lakehouse.lake import LOSS_LEDGER, Lake

_LOST, _MENDED = "slot_lost", "read_again"


@dataclass(frozen=True, slots=True, kw_only=True)
class MendedLoss:
    """Changes before offset `first` and from it on do not meet; by `last` the rows are right."""

    topic_id: str
    partition: int
    first: int
    last: int


def read_mended(lake: Lake) -> dict[str, tuple[MendedLoss, ...]]:
    """The mended losses, by topic.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    ledger = lake.open("bronze", LOSS_LEDGER)
    return {} if ledger is None else mended(scan(ledger).collect())


def mended(ledger: pl.DataFrame) -> dict[str, tuple[MendedLoss, ...]]:
    """Of the ledger's rows, the losses of which both loss and mending stand there, by topic."""
    place = ["topic", "topic_id", "partition", "first_offset"]
    # Where one was lost behind another, all rows read by the first's mending lie before the place.
    lost = ledger.filter(pl.col("kind") == _LOST).select(place).unique()
    read = ledger.filter(pl.col("kind") == _MENDED).group_by(place).agg(pl.col("last_offset").max())
    found: dict[str, tuple[MendedLoss, ...]] = {}
    for topic, topic_id, partition, first, last in (
        lost.join(read, on=place).sort(place).iter_rows()
    ):
        one = MendedLoss(topic_id=topic_id, partition=partition, first=first, last=last)
        found[topic] = (*found.get(topic, ()), one)
    return found


def goes_on_behind(losses: tuple[MendedLoss, ...]) -> pl.Expr:
    """Whether a change is the first of its key behind one of these losses.

    Of changes by key and in order, with `key` and the coordinate.
    """
    offset, key = pl.col("_offset"), pl.col("key")
    place = pl.struct("key", "_topic_id", "_epoch", "_partition")
    before = pl.when(place == place.shift(1)).then(offset.shift(1)).fill_null(-1)
    is_behind = pl.lit(value=False)
    for loss in losses:
        is_behind = is_behind | (
            (pl.col("_topic_id") == loss.topic_id)
            & (pl.col("_partition") == loss.partition)
            & offset.is_between(loss.first, loss.last)
            & (before < loss.first)
        )
    return (is_behind & key.is_not_null()).alias("goes_on")
