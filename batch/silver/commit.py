"""Commits to silver's tables: rows and bronze watermarks are written together, exactly once.

As in landing, every failure of the store means *unknown*: the commit may have succeeded. So the
table is reopened, its watermarks are read, and only what it lacks is written.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from typing_extensions import override

from batch.delta_log import DeltaLog
from batch.silver.offsets import OffsetRanges, is_within, starting_position, watermarks
from lakehouse.commit import a_few_times, plan_commit, until_known
from lakehouse.delta import CHECKPOINTS, with_watermarks, writer_of
from lakehouse.errors import StopPipelineError
from lakehouse.offsets import EpochPartition, bronze_kind


@dataclass(kw_only=True)
class SilverTable:
    """A Delta table of silver, opened at one version.

    `reader` is whose watermarks are meant, in a table that more than one entity of a topic is
    written to.
    """

    delta: DeltaTable
    reader: str = ""
    pause: Callable[[float], None] = field(default=time.sleep)

    def apply(
        self, changes: pl.DataFrame, ranges: OffsetRanges, write: Callable[[pl.DataFrame], "Write"]
    ) -> int:
        """Apply changes that the table does not have yet, and advance its watermarks.

        Args:
            changes: with their coordinates; all changes in the ranges.
            ranges: offset ranges by partition and epoch.
            write: makes the commit from the changes that are new to the table.

        Returns:
            The number of rows written; 0 if an earlier commit turns out to have succeeded.

        Raises:
            StopPipelineError: the table lacks changes before the ranges.
            RetryLaterError: the store does not answer, or other writers keep committing.
        """
        wait = a_few_times(self.delta.table_uri, self.pause)

        def attempt() -> int:
            left = self._left(ranges)
            if not left:
                return 0
            new = changes if left == ranges else changes.filter(is_within(left))
            return write(new).commit(self.delta, self.watermarks(left))

        return until_known(attempt, reopen=self.delta.update_incremental, wait=wait)

    def position(self, partition: EpochPartition) -> int:
        """Return the first offset that is not applied."""
        return starting_position(self.delta, partition, self.reader)

    def watermarks(self, ranges: OffsetRanges) -> dict[str, int]:
        """Return the last offset of each range, by app id."""
        return watermarks(ranges, self.reader)

    def watermarks_alone(self, ranges: OffsetRanges) -> dict[str, int]:
        """Return the same, and what ends the watermarks that the entity had with other expressions.

        Should they be in force again, the table has none of what they have read.
        """
        if not self.reader:
            return self.watermarks(ranges)
        begin, own = f"{bronze_kind(self.reader).rpartition(':')[0]}:", bronze_kind(self.reader)
        known = DeltaLog(self.delta).transactions()
        others = (one for one in known if one.startswith(begin) and not one.startswith(f"{own}/"))
        return {**dict.fromkeys(others, -1), **self.watermarks(ranges)}

    def _left(self, ranges: OffsetRanges) -> OffsetRanges:
        plan = plan_commit(ranges, {partition: self.position(partition) for partition in ranges})
        for partition, start in plan.gaps.items():
            problem = (
                f"{self.delta.table_uri}: has bronze up to {start} of {partition}, but got changes "
                f"from {ranges[partition].start}"
            )
            raise StopPipelineError(problem, "Run ./pipeline rebuild --layer silver.")
        return plan.keep


@dataclass(frozen=True, kw_only=True)
class Write:
    """One commit. Without rows it only advances the watermarks.

    `is_alone`: fail if anything was committed since the table was opened, because it may have some
    of the rows.
    """

    rows: pa.Table
    is_alone: bool = False

    def commit(self, delta: DeltaTable, watermarks: Mapping[str, int]) -> int:
        """Append the rows; return their number."""
        append(delta, self.rows, watermarks, is_alone=self.is_alone)
        return int(self.rows.num_rows)


@dataclass(frozen=True, kw_only=True)
class Merge(Write):
    """A commit of rows, some of which may replace those with the same key, if they are newer.

    Where none does, `Write` commits the same: a merge of new rows takes four times as long.

    `order` names the columns that decide which is newer; without it, the given rows always win.
    `matched_on` identifies a row, `partition` is the partition column of the table, and `updated`
    names the columns that a replaced row takes over: all of them, if none is named.
    """

    matched_on: tuple[str, ...]
    order: tuple[str, ...]
    partition: str | None = None
    updated: tuple[str, ...] = ()

    @override
    def commit(self, delta: DeltaTable, watermarks: Mapping[str, int]) -> int:
        """Merge the rows; if none of them is newer, only the watermarks advance.

        Returns:
            How many rows were inserted or replaced an older one.
        """
        before = delta.version()
        merging = delta.merge(
            self.rows,
            predicate=self._predicate(delta),
            source_alias="s",
            target_alias="t",
            writer_properties=writer_of(self.rows.schema),
            commit_properties=with_watermarks(watermarks),
            post_commithook_properties=CHECKPOINTS,
        ).when_matched_update(
            {name: f"s.{name}" for name in self.updated or self.rows.schema.names},
            predicate=self._is_newer(),
        )
        done = merging.when_not_matched_insert_all().execute()
        # A merge that changes nothing commits nothing, not even its watermarks.
        if delta.version() == before:
            append(delta, self.rows.slice(0, 0), watermarks)
        return int(done["num_target_rows_inserted"] + done["num_target_rows_updated"])

    def _predicate(self, delta: DeltaTable) -> str:
        same = " and ".join(f"t.{name} = s.{name}" for name in self.matched_on)
        if self.partition is None:
            return same
        partitions = partitions_with(delta, self.partition, self.matched_on[0], self.rows)
        return f"{same} and {partitions}"

    def _is_newer(self) -> str | None:
        if not self.order:
            return None
        major, minor = self.order
        return f"s.{major} > t.{major} or (s.{major} = t.{major} and s.{minor} > t.{minor})"


def append(
    delta: DeltaTable, rows: pa.Table, watermarks: Mapping[str, int], *, is_alone: bool = False
) -> None:
    """Append rows, possibly none, with the watermarks."""
    write_deltalake(
        delta,
        rows,
        mode="append",
        writer_properties=writer_of(rows.schema),
        commit_properties=with_watermarks(watermarks, is_alone=is_alone),
        post_commithook_properties=CHECKPOINTS,
    )


def partitions_with(delta: DeltaTable, partition: str, key: str, rows: pa.Table) -> str:
    """Return a predicate for the partitions of a table that may contain some of these keys.

    Uses file statistics: exact, and without reading data files.
    """
    files = pl.DataFrame(pa.table(delta.get_add_actions(flatten=True)))
    keys = pl.Series(rows[key]).sort()
    found: list[str | None] = []
    if not files.is_empty():
        first, last = files[f"min.{key}"], files[f"max.{key}"]
        begins = keys.search_sorted(first.fill_null(keys[0]), side="left")
        ends = keys.search_sorted(last.fill_null(keys[-1]), side="right")
        found = files.filter(ends > begins)[f"partition.{partition}"].unique().to_list()
    return _one_of(f"t.{partition}", found)


def _one_of(column: str, values: Iterable[str | None]) -> str:
    listed = sorted(value for value in values if value is not None)
    quoted = ", ".join(f"'{value}'" for value in listed)
    some = f"{column} in ({quoted})" if listed else "false"
    return f"({some} or {column} is null)"
