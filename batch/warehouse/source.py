"""Silver as the warehouse reads it: the changes since a version, or all rows.

Frames hold columns of the silver table, and `_is_deleted` and `_commit_version`: of several rows of
a key, the one with the highest version counts, and within a version one that is not deleted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import polars as pl
import pyarrow as pa

from batch.silver.tables import Rows
from batch.warehouse.entities import TABLES
from batch.warehouse.pinned import Pinned, PinnedDelta
from batch.warehouse.validated import DeltaCounts, RuleCounts
from lakehouse.contracts.schemas import RULE_COUNTS
from lakehouse.delta import require_no_deletion_vectors, scan
from lakehouse.lake import Lake
from lakehouse.offsets import bronze_app_id

CHUNK_ROWS = 200_000
_CHANGES = ("insert", "update_postimage", "delete")


class FeedGoneError(Exception):
    """The change feed does not reach back to the requested version: read all rows instead."""


class SilverSource(Pinned, Protocol):
    """One silver table, pinned to one version."""

    def watermark(self, topic_id: str, epoch: int, partition: int) -> int | None:
        """Return the last bronze offset of a partition in this version; None if there is none."""

    def rows(self, columns: Sequence[str], *, narrow: Rows | None = None) -> Iterator[pl.DataFrame]:
        """Yield all rows of this version, or those that pass the filter."""

    def changes(self, columns: Sequence[str], *, since: int) -> Iterator[pl.DataFrame]:
        """Yield the rows changed after version `since`, in their current or an intermediate state.

        Raises:
            FeedGoneError: the feed does not reach back that far. Frames may have been yielded
                before.
        """


class Silver(dict[str, SilverSource]):
    """Silver's tables by name, and the totals of its rules; None if nothing was counted yet."""

    def __init__(self, tables: Mapping[str, SilverSource], counts: RuleCounts | None) -> None:
        super().__init__(tables)
        self.counts = counts

    @property
    def versions(self) -> dict[str, int]:
        """Return the versions of all tables, as `silver_sources` expects them."""
        pins = {name: source.version for name, source in self.items()}
        return pins if self.counts is None else {**pins, RULE_COUNTS: self.counts.version}


class DeltaSource(PinnedDelta):
    """A silver table of the lake."""

    __slots__ = ()

    def watermark(self, topic_id: str, epoch: int, partition: int) -> int | None:
        """Read the watermark from the table's app transactions."""
        return self.table.transaction_version(bronze_app_id(topic_id, epoch, partition))

    def rows(self, columns: Sequence[str], *, narrow: Rows | None = None) -> Iterator[pl.DataFrame]:
        """Yield all rows of this version, or those that pass the filter, without tombstones.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        live = scan(self.table).filter(pl.col("_deleted_at").is_null())
        if narrow is not None:
            live = narrow(live)
        frame = live.select(
            *columns,
            pl.lit(self.version).alias("_commit_version"),
            pl.col("_deleted_at").is_not_null().alias("_is_deleted"),
        )
        with self.reading():
            yield from frame.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=False)

    def changes(self, columns: Sequence[str], *, since: int) -> Iterator[pl.DataFrame]:
        """Read the change feed.

        Raises:
            FeedGoneError: part of it has been cleaned up.
            StopPipelineError: another engine has made it unusable.
        """
        require_no_deletion_vectors(self.table)
        try:
            feed = self.table.load_cdf(starting_version=since + 1, ending_version=self.version)
            for batch in feed:
                yield _of_feed(pl.DataFrame(pa.record_batch(batch)), columns)
        # A missing file is a plain Exception here.
        except Exception as error:
            message = f"no change feed from version {since + 1}: {error}"
            raise FeedGoneError(message) from error


def silver_sources(
    lake: Lake,
    only: Iterable[str] | None = None,
    *,
    versions: Mapping[str, int] | None = None,
) -> Silver:
    """Open the existing silver tables, by name, and the rule counts, each pinned to a version.

    Args:
        lake: opened as a user that may read silver.
        only: names of tables; by default all.
        versions: versions by table name; tables that are not given are pinned to their newest.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    wanted = {table.silver for table in TABLES} if only is None else set(only)
    pins = versions or {}
    found = {name: lake.open("silver", name, version=pins.get(name)) for name in sorted(wanted)}
    counts = lake.open("silver", RULE_COUNTS, version=pins.get(RULE_COUNTS))
    return Silver(
        {name: DeltaSource(table) for name, table in found.items() if table is not None},
        None if counts is None else DeltaCounts(counts),
    )


def _of_feed(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    gone = (pl.col("_change_type") == "delete") | pl.col("_deleted_at").is_not_null()
    return frame.filter(pl.col("_change_type").is_in(_CHANGES)).select(
        *columns, pl.col("_commit_version").cast(pl.Int64), gone.alias("_is_deleted")
    )
