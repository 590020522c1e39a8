"""Position of a table in each partition and epoch of bronze."""

from collections.abc import Mapping

import polars as pl
from deltalake import DeltaTable

from lakehouse.offsets import EpochPartition, OffsetRange, next_position

OffsetRanges = Mapping[EpochPartition, OffsetRange]


def starting_position(table: DeltaTable, partition: EpochPartition, reader: str = "") -> int:
    """Return the first offset that a table, or this reader in it, has not applied."""
    return next_position(table.transaction_version(partition.app_id(reader)))


def watermarks(ranges: OffsetRanges, reader: str = "") -> dict[str, int]:
    """Return the last offset of each range, by app id."""
    return {partition.app_id(reader): offsets.stop - 1 for partition, offsets in ranges.items()}


def is_within(ranges: OffsetRanges) -> pl.Expr:
    """Return whether a change is in one of these ranges; statistics skip files outside."""
    within = pl.lit(value=False)
    for coordinate, offsets in ranges.items():
        within = within | (
            (pl.col("_partition") == coordinate.partition)
            & pl.col("_offset").is_between(offsets.start, offsets.stop - 1)
            & (pl.col("_topic_id") == coordinate.topic_id)
            & (pl.col("_epoch") == coordinate.epoch)
        )
    return within
