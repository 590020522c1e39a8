"""How far a table has read each partition of bronze, in which epoch."""

from collections.abc import Mapping

import polars as pl
from deltalake import DeltaTable

from lakehouse.offsets import EpochPartition, OffsetRange, next_position

OffsetRanges = Mapping[EpochPartition, OffsetRange]


def starting_position(table: DeltaTable, place: EpochPartition) -> int:
    """The first offset that a table has not taken in."""
    return next_position(table.transaction_version(place.app_id))


def watermarks(spans: OffsetRanges) -> dict[str, int]:
    """The last offset of each span, by app id."""
    return {place.app_id: span.stop - 1 for place, span in spans.items()}


def is_within(spans: OffsetRanges) -> pl.Expr:
    """Whether a change stands in one of these spans. Files outside can be skipped by statistics."""
    within = pl.lit(value=False)
    for place, span in spans.items():
        within = within | (
            (pl.col("_partition") == place.partition)
            & pl.col("_offset").is_between(span.start, span.stop - 1)
            & (pl.col("_topic_id") == place.topic_id)
            & (pl.col("_epoch") == place.epoch)
        )
    return within
