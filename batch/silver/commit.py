"""Commits to silver's tables: rows and how far bronze has been read land together, once.

As in landing, every failure of the store is read as *unknown*: the commit may have landed. So the
table is opened anew, asked for its watermarks, and given what it does not have yet.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from typing_extensions import override

from batch.silver.offsets import OffsetRanges, is_within, starting_position, watermarks
from lakehouse.commit import a_few_times, plan_commit, until_known
from lakehouse.delta import NO_HOOKS, WRITER, with_watermarks
from lakehouse.errors import StopPipelineError


@dataclass(kw_only=True)
class SilverTable:
    """A Delta table of silver, and a handle on one version of it."""

    delta: DeltaTable
    pause: Callable[[float], None] = field(default=time.sleep)

    def apply(
        self, changes: pl.DataFrame, ranges: OffsetRanges, write: Callable[[pl.DataFrame], "Write"]
    ) -> int:
        """Take in changes that the table does not have yet, and move its watermarks.

        Args:
            changes: with their coordinates; all that there are in the ranges.
            ranges: what is covered, by place.
            write: makes the commit from the changes that are new to the table.

        Returns:
            How many rows the commit wrote; none where an earlier one turns out to have landed.

        Raises:
            StopPipelineError: the table lacks changes before the ranges.
            RetryLaterError: the store does not answer, or others keep committing.
        """
        wait = a_few_times(self.delta.table_uri, self.pause)

        def attempt() -> int:
            left = self._left(ranges)
            if not left:
                return 0
            new = changes if left == ranges else changes.filter(is_within(left))
            return write(new).commit(self.delta, watermarks(left))

        return until_known(attempt, reopen=self.delta.update_incremental, wait=wait)

    def _left(self, ranges: OffsetRanges) -> OffsetRanges:
        plan = plan_commit(
            ranges, {partition: starting_position(self.delta, partition) for partition in ranges}
        )
        for partition, start in plan.gaps.items():
            message = (
                f"{self.delta.table_uri}: has bronze up to {start} of {partition}, and was given "
                f"changes from {ranges[partition].start} on. Run ./pipeline rebuild --layer silver."
            )
            raise StopPipelineError(message)
        return plan.keep


@dataclass(frozen=True, kw_only=True)
class Write:
    """One commit. Without rows it moves the watermarks only."""

    rows: pa.Table

    def commit(self, delta: DeltaTable, watermarks: Mapping[str, int]) -> int:
        """Append the rows; how many."""
        append(delta, self.rows, watermarks)
        return int(self.rows.num_rows)


@dataclass(frozen=True, kw_only=True)
class Merge(Write):
    """Rows that take the place of those with the same key, if they are newer.

    `order` names the columns that tell which is newer; without it, the given rows always win.
    `matched_on` identifies a row, `partition` is the column that splits the table.
    """

    matched_on: tuple[str, ...]
    order: tuple[str, ...]
    partition: str | None = None

    @override
    def commit(self, delta: DeltaTable, watermarks: Mapping[str, int]) -> int:
        """Merge the rows; if none of them is newer, only the watermarks move.

        Returns:
            How many were inserted or took the place of an older one.
        """
        before = delta.version()
        merged = 0
        if self.rows.num_rows:
            merging = delta.merge(
                self.rows,
                predicate=self._predicate(delta),
                source_alias="s",
                target_alias="t",
                writer_properties=WRITER,
                commit_properties=with_watermarks(watermarks),
                post_commithook_properties=NO_HOOKS,
            ).when_matched_update_all(predicate=self._is_newer())
            done = merging.when_not_matched_insert_all().execute()
            merged = int(done["num_target_rows_inserted"] + done["num_target_rows_updated"])
        # A merge that changes nothing commits nothing, its watermarks included.
        if delta.version() == before:
            append(delta, self.rows.slice(0, 0), watermarks)
        return merged

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


def append(delta: DeltaTable, rows: pa.Table, watermarks: Mapping[str, int]) -> None:
    """Append rows, perhaps none, with the watermarks."""
    write_deltalake(
        delta,
        rows,
        mode="append",
        writer_properties=WRITER,
        commit_properties=with_watermarks(watermarks),
        post_commithook_properties=NO_HOOKS,
    )


def partitions_with(delta: DeltaTable, partition: str, key: str, rows: pa.Table) -> str:
    """A predicate for the partitions of a table in which some of these keys can stand.

    From the files' statistics: exact, and without reading any of them.
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
