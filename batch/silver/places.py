"""How far a table has read each partition of bronze, in which epoch."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from lakehouse.coordinates import Span, bronze_app_id


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """One partition of bronze in one epoch. Order within it is the offset."""

    epoch: int
    topic_id: str
    partition: int

    @property
    def app_id(self) -> str:
        """Id of the app transaction with its watermark."""
        return bronze_app_id(self.topic_id, self.epoch, self.partition)


Spans = Mapping[Place, Span]


def starting_position(table: DeltaTable, place: Place) -> int:
    """The first offset that a table has not taken in."""
    last = table.transaction_version(place.app_id)
    return 0 if last is None else last + 1


def watermarks(spans: Spans) -> dict[str, int]:
    """The last offset of each span, by app id."""
    return {place.app_id: span.stop - 1 for place, span in spans.items()}


def is_within(spans: Spans) -> pl.Expr:
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
