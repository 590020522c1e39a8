"""The records of bronze, keys, and rows of silver that a range of offsets or times selects."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from batch.silver.bronze import BronzeSource
from batch.silver.keys import names_of, names_standing
from batch.silver.offsets import OffsetRanges, starting_position
from batch.silver.tables import Rows
from lakehouse.contracts import Entity
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake
from lakehouse.offsets import EpochPartition, OffsetRange, up_to
from lakehouse.selection import Selection


@dataclass(frozen=True, kw_only=True)
class ChosenRange:
    """A range of an entity's changes, up to silver's watermarks.

    Attributes:
        entity: the contract.
        ranges: offset ranges by partition and epoch.
        is_all: whether these are all changes that silver has applied.
        bronze: the table, at the version that was read.
        silver: the tables with rows of its keys.
    """

    entity: Entity
    ranges: OffsetRanges
    is_all: bool
    bronze: BronzeSource
    silver: tuple[DeltaTable, ...]

    def keys(self) -> pl.Series:
        """Return the keys of its records, and of silver's rows from this range, as silver has them.

        Invalid keys are left out.
        """
        entity = self.entity
        named = names_of(entity, self.bronze.keys(self.ranges))
        standing = names_standing(entity, self.silver, self.bronze, self.ranges)
        return pl.concat([named, standing]).drop_nulls().unique()

    def rows(self, keys: pl.Series) -> Mapping[str, Rows]:
        """Return the rows of these keys, by silver table."""

        def narrow(rows: pl.LazyFrame) -> pl.LazyFrame:
            return rows.filter(pl.col(self.entity.key).is_in(keys.implode()))

        names = (self.entity.silver, self.entity.history)
        return {name: narrow for name in names if name is not None}

    def described(self) -> pl.DataFrame:
        """Summarize the range. Grain: one row per partition and epoch.

        Returns:
            `epoch`, `partition`, `first_offset`, `last_offset` (both inclusive), `records`, `keys`,
            `oldest_at`, `newest_at` (times of the records).
        """
        ranges = pl.DataFrame(
            [(p.epoch, p.partition, s.start, s.stop - 1) for p, s in sorted(self.ranges.items())],
            schema={"epoch": pl.Int32, "partition": pl.Int32, "first_offset": pl.Int64,
                    "last_offset": pl.Int64},
            orient="row",
        )  # fmt: skip
        counted = self.bronze.counted(self.ranges)
        return ranges.join(counted, on=["epoch", "partition"], how="left").with_columns(
            pl.col("records", "keys").fill_null(0),
            pl.col("oldest_at", "newest_at").dt.truncate("1s"),
        )


def choose(lake: Lake, entity: Entity, selection: Selection) -> ChosenRange:
    """Resolve a selection against bronze, up to silver's watermark.

    Raises:
        StopPipelineError: bronze or silver has no such table, or a given partition does not exist.
        RetryLaterError: the object store does not answer.
    """
    silver = lake.open("silver", entity.silver)
    bronze = lake.open("bronze", entity.bronze)
    if silver is None or bronze is None:
        missing = f"bronze/{entity.bronze}" if bronze is None else f"silver/{entity.silver}"
        message = f"{missing} does not exist yet: ./pipeline consolidate builds silver from bronze."
        raise StopPipelineError(message)
    with retry_later(f"bronze/{entity.bronze} cannot be read"):
        source = BronzeSource(bronze)
        ends = {coordinate: starting_position(silver, coordinate) for coordinate in source.ends}
        selection.require_known(entity.table, {coordinate.partition for coordinate in ends})
        ranges = _spans(source, ends, selection)
    history = lake.open("silver", entity.history) if entity.history is not None else None
    return ChosenRange(
        entity=entity, ranges=ranges, is_all=ranges == up_to(ends), bronze=source,
        silver=(silver,) if history is None else (silver, history),
    )  # fmt: skip


def _spans(
    source: BronzeSource, ends: Mapping[EpochPartition, int], selection: Selection
) -> dict[EpochPartition, OffsetRange]:
    since = {} if selection.since is None else source.since(selection.since)
    until = {} if selection.until is None else source.since(selection.until)
    epoch = max((coordinate.epoch for coordinate in ends), default=0)
    ranges = {}
    for coordinate, end in ends.items():
        # Offsets on the command line refer to the topic's current epoch.
        if selection.has_offsets and coordinate.epoch != epoch:
            continue
        offsets = selection.offsets(
            coordinate.partition, end=end, since=since.get(coordinate), until=until.get(coordinate)
        )
        if offsets is not None:
            ranges[coordinate] = offsets
    return ranges


def months(lake: Lake, chosen: ChosenRange, keys: pl.Series) -> list[str]:
    """Return the months of silver's partitions with rows of these keys; empty if unpartitioned."""
    entity = chosen.entity
    delta = lake.open("silver", entity.silver)
    if entity.partition is None or delta is None:
        return []
    rows = chosen.rows(keys)[entity.silver](scan(delta))
    found = rows.select(pl.col(entity.partition).unique()).collect()
    return sorted(found[entity.partition].drop_nulls())
