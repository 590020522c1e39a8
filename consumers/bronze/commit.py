"""The commit protocol of `lakehouse.commit` for a batch of Kafka records and a bronze table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from consumers.buffer import Batch
from lakehouse.commit import Plan, plan_commit, until_known
from lakehouse.offsets import TopicPartition, next_position


class BronzeTable(Protocol):
    """A table whose rows and watermarks are committed together."""

    def watermark(self, partition: TopicPartition) -> int | None:
        """Last offset landed, as the handle knows it; None before the first commit."""

    def append(self, rows: pa.Table, watermarks: Mapping[TopicPartition, int]) -> None:
        """Commit `rows` (perhaps none) and `watermarks` in one step, or neither.

        Must fail if another commit moved one of these watermarks since the handle was opened.
        Any exception leaves the outcome unknown.
        """

    def reopen(self) -> None:
        """Let the handle see the newest version. May fail: the store may be away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a batch."""

    rows: int
    """Rows this call knows it landed."""
    landed: Mapping[TopicPartition, int]
    """Last offset landed of each partition that is level with the batch, whoever landed it."""
    gaps: Mapping[TopicPartition, int]
    """Partitions whose table lies behind the batch, and the position to read again from."""


def commit_batch(
    table: BronzeTable, batch: Batch, wait: Callable[[int, Exception], None]
) -> Outcome:
    """Land a batch, exactly once, however often and wherever it was tried before.

    Args:
        table: where to.
        batch: rows and the ranges they cover.
        wait: called after each failed try with its number, from 1, and the error; backs off, or
            raises to give up.

    Raises:
        Whatever `wait` raises. The batch is then landed, or not; a later try will know.
        StopPipelineError: raised by the table, passed on: no retry can help.
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
    """Once the plan is carried out: the last offset of each partition level with the batch."""
    return {p: offsets.stop - 1 for p, offsets in batch.ranges.items() if p not in plan.gaps}


def rows_from(batch: Batch, plan: Plan[TopicPartition]) -> pa.Table:
    """The rows that the plan keeps."""
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
