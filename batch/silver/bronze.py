"""Bronze as silver reads it: ranges of offsets of one version of a table."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import ceil

import polars as pl
from deltalake import DeltaTable

from batch.silver.offsets import OffsetRanges, is_within, starting_position
from batch.silver.sizes import BatchLimits, Footers, batches_of, size_of
from lakehouse.contracts.schemas import COORDINATE
from lakehouse.delta import scan
from lakehouse.lake import BRONZE_SCHEMA, EPOCHS_PROPERTY
from lakehouse.offsets import EpochPartition, OffsetRange, kafka_app_id, up_to

_COLUMNS = ("key", "value", "_topic_id", "_epoch", "_partition", "_offset", "_timestamp")
_KEYS_AT_ONCE = 20_000


class BronzeSource:
    """One version of a bronze table. Records that land later are not visible.

    Where its `ends` are known, they are not read again.
    """

    def __init__(self, delta: DeltaTable, ends: Mapping[EpochPartition, int] | None = None) -> None:
        self.delta = delta
        self.ends = dict(self._ends() if ends is None else ends)
        self._footers = Footers(delta)

    def pending(self, table: DeltaTable) -> dict[EpochPartition, OffsetRange]:
        """Return the ranges that `table` has not applied yet. A range may hold no record."""
        ranges = {}
        for partition, end in self.ends.items():
            start = starting_position(table, partition)
            if start < end:
                ranges[partition] = OffsetRange(start=start, stop=end)
        return ranges

    def batches(
        self, ranges: OffsetRanges, limits: BatchLimits
    ) -> Iterator[dict[EpochPartition, OffsetRange]]:
        """Split ranges into batches that fit into memory, in the order of each partition."""
        return batches_of(ranges, self._footers.stretches(ranges), limits)

    def count_batches(self, ends: Mapping[EpochPartition, int], limits: BatchLimits) -> int:
        """Return how many batches all records before these ends make, at least one."""
        by_bytes = size_of(self._footers.stretches(up_to(ends))) / limits.bytes
        return max(1, ceil(by_bytes), ceil(sum(ends.values()) / limits.records))

    def read(self, ranges: OffsetRanges, *, keys: pl.Series | None = None) -> pl.DataFrame:
        """Read the records in these ranges, of these keys only if any are given."""
        if not ranges:
            return scan(self.delta).select(_COLUMNS).head(0).collect()
        rows = scan(self.delta).filter(is_within(ranges))
        if keys is not None:
            rows = rows.filter(pl.col("key").is_in(keys.implode()))
        return rows.select(_COLUMNS).collect()

    def keys(self, ranges: OffsetRanges) -> pl.Series:
        """Return the distinct keys in these ranges, as in Kafka."""
        rows = scan(self.delta).filter(is_within(ranges)).select(pl.col("key").unique())
        return rows.collect()["key"].drop_nulls()

    def all_keys(self) -> Iterator[pl.Series]:
        """Yield the keys of all records, as in Kafka, in batches of distinct keys."""
        rows = scan(self.delta).select("key").drop_nulls()
        for batch in rows.collect_batches(maintain_order=False):
            yield batch["key"].unique()

    def keyless(self, ranges: OffsetRanges) -> pl.DataFrame:
        """Return the coordinates of records without a key in these ranges."""
        if not ranges:
            return pl.DataFrame(schema=pl.Schema(BRONZE_SCHEMA)).select(COORDINATE)
        rows = scan(self.delta).filter(is_within(ranges) & pl.col("key").is_null())
        return rows.select(COORDINATE).collect()

    def counted(self, ranges: OffsetRanges) -> pl.DataFrame:
        """Count records. Grain: one row per partition and epoch with records in these ranges.

        Returns:
            `epoch`, `partition`, `records`, `keys`, `oldest_at`, `newest_at`.
        """
        return (
            scan(self.delta)
            .filter(is_within(ranges))
            .group_by(epoch="_epoch", partition="_partition")
            .agg(
                records=pl.len(),
                keys=pl.col("key").n_unique(),
                oldest_at=pl.col("_timestamp").min(),
                newest_at=pl.col("_timestamp").max(),
            )
            .collect()
        )

    def since(self, moment: datetime) -> dict[EpochPartition, int]:
        """Return the first offset of each partition whose record is of `moment` or later.

        As in Kafka: records before that offset may be older or newer. A partition without such a
        record is left out.
        """
        found = (
            scan(self.delta)
            .filter(pl.col("_timestamp") >= moment)
            .group_by("_epoch", "_topic_id", "_partition")
            .agg(pl.col("_offset").min())
            .collect()
        )
        return {
            EpochPartition(epoch=epoch, topic_id=topic_id, partition=partition): offset
            for epoch, topic_id, partition, offset in found.iter_rows()
        }

    def of_keys(self, keys: pl.Series, ends: Mapping[EpochPartition, int]) -> pl.DataFrame:
        """Read all records of these keys (as in Kafka) before the given end offsets."""
        ranges = up_to(ends)
        rows = scan(self.delta).filter(is_within(ranges)).select(_COLUMNS)
        parts = [
            rows.filter(pl.col("key").is_in(keys.slice(first, _KEYS_AT_ONCE).implode())).collect()
            for first in range(0, max(len(keys), 1), _KEYS_AT_ONCE)
        ]
        return pl.concat(parts)

    def _ends(self) -> Iterator[tuple[EpochPartition, int]]:
        """Yield the end offset of each partition in each epoch."""
        stored = self.delta.metadata().configuration.get(EPOCHS_PROPERTY) or "[]"
        epochs = json.loads(stored)
        for number, epoch in enumerate(epochs):
            is_superseded = any(e["topic_id"] == epoch["topic_id"] for e in epochs[number + 1 :])
            for partition in range(epoch["partition_count"]):
                coordinate = EpochPartition(
                    epoch=epoch["epoch"], topic_id=epoch["topic_id"], partition=partition
                )
                if is_superseded:
                    # The topic continued with new offsets, and so did its watermark.
                    yield coordinate, self._last(coordinate) + 1
                else:
                    app_id = kafka_app_id(coordinate.topic_id, partition)
                    last = self.delta.transaction_version(app_id)
                    yield coordinate, 0 if last is None else last + 1

    def _last(self, coordinate: EpochPartition) -> int:
        of_place = (
            (pl.col("_epoch") == coordinate.epoch)
            & (pl.col("_topic_id") == coordinate.topic_id)
            & (pl.col("_partition") == coordinate.partition)
        )
        last = scan(self.delta).filter(of_place).select(pl.col("_offset").max()).collect().item()
        return -1 if last is None else int(last)
