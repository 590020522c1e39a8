"""The commit protocol of `lakehouse.commit`, for batches of Kafka records and bronze tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from consumers.buffer import Batch
from lakehouse.commit import Plan, plan_commit, until_known
from lakehouse.offsets import TopicPartition, next_position


class BronzeTable(Protocol):
    """A table that commits rows and watermarks together."""

    def watermark(self, partition: TopicPartition) -> int | None:
        """Return the last offset landed at the handle's version; None before the first commit."""

    def append(self, rows: pa.Table, watermarks: Mapping[TopicPartition, int]) -> None:
        """Commit `rows` (possibly none) and `watermarks` atomically.

        Must fail if another commit changed one of these watermarks since the handle was opened.
        Any exception leaves the outcome unknown.
        """

    def reopen(self) -> None:
        """Refresh the handle to the newest version. Fails if the store is unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of committing a batch."""

    rows: int
    """Rows that this call is known to have committed."""
    landed: Mapping[TopicPartition, int]
    """Last offset of each partition whose table now has the whole batch, whoever committed it."""
    gaps: Mapping[TopicPartition, int]
    """Partitions with an offset gap before the batch, and the position to resume reading from."""


def commit_batch(
    table: BronzeTable, batch: Batch, wait: Callable[[int, Exception], None]
) -> Outcome:
    """Commit a batch exactly once, no matter how often and where it was tried before.

    Args:
        table: target table.
        batch: rows and the offset ranges they cover.
        wait: called after each failed attempt with its number, from 1, and the error; backs off,
            or raises to give up.

    Raises:
        Exception: raised by `wait`. Whether the batch was committed is then unknown.
        StopPipelineError: raised by the table and passed on, because retrying does not help.
    """

    def attempt() -> Outcome:
        positions = {p: next_position(table.watermark(p)) for p in batch.ranges}
        plan = plan_commit(batch.ranges, positions)
        rows = 0
        if plan.keep:
            kept = rows_from(batch, plan)
            table.append(kept, {p: offsets.stop - 1 for p, offsets in plan.keep.items()})
            rows = kept.num_rows
        return Outcome(rows=rows, landed=landed(batch, plan), gaps=plan.gaps)

    return until_known(attempt, reopen=table.reopen, wait=wait)


def landed(batch: Batch, plan: Plan[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the last offset of each partition that will have the whole batch."""
    return {p: offsets.stop - 1 for p, offsets in batch.ranges.items() if p not in plan.gaps}


def rows_from(batch: Batch, plan: Plan[TopicPartition]) -> pa.Table:
    """Return the rows that the plan keeps."""
    if plan.keep == batch.ranges:
        return batch.rows
    wanted = None
    for partition, offsets in plan.keep.items():
        mine = pc.and_(
            pc.equal(batch.rows["_partition"], partition.partition),
            pc.and_(
                pc.equal(batch.rows["_topic_id"], partition.topic_id),
                pc.greater_equal(batch.rows["_offset"], offsets.start),
            ),
        )
        wanted = mine if wanted is None else pc.or_(wanted, mine)
    return batch.rows.filter(wanted)
