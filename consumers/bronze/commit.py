"""The commit protocol: rows and the watermarks that cover them land together, once.

The order of steps is the guarantee:

1. Read the watermark of each partition on the table's handle.
2. Compare it with the span of the batch: keep what lies beyond the watermark, drop what it
   covers already, and where it lies *before* the span's start, discard and report the gap.
3. Append the kept rows and the new watermarks in one commit on that same handle.
4. Any exception means *unknown*: the commit may have landed. Reopen, and go to 1.

A zombie's batch is dropped in step 2, since whoever took over has moved the watermark.
Protocol: Delta's application transactions (`txn` actions), see the Delta protocol, "Transaction
Identifiers".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from consumers.buffer import Batch
from lakehouse.coordinates import TopicPartition
from lakehouse.errors import StopPipelineError


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a batch is to be committed, against the watermarks of one moment."""

    keep: Mapping[TopicPartition, int]
    """First position still wanted, of each partition that has something to commit."""
    gaps: Mapping[TopicPartition, int]

    def keeps_all(self, batch: Batch) -> bool:
        """Whether nothing of the batch is covered, or lies behind a gap."""
        return all(self.keep.get(p) == span.start for p, span in batch.spans.items())

    def landed(self, batch: Batch) -> dict[TopicPartition, int]:
        """Once carried out: the last offset of each partition that is level with the batch."""
        return {p: span.stop - 1 for p, span in batch.spans.items() if p not in self.gaps}


def plan_commit(batch: Batch, watermarks: Mapping[TopicPartition, int | None]) -> Plan:
    """Step 2 for every partition of the batch."""
    keep: dict[TopicPartition, int] = {}
    gaps: dict[TopicPartition, int] = {}
    for partition, span in batch.spans.items():
        wanted = next_position(watermarks[partition])
        if wanted < span.start:
            gaps[partition] = wanted
        elif wanted < span.stop:
            keep[partition] = wanted
    return Plan(keep=keep, gaps=gaps)


def next_position(watermark: int | None) -> int:
    """First position that a watermark does not cover."""
    return 0 if watermark is None else watermark + 1


def commit_batch(
    table: BronzeTable, batch: Batch, wait: Callable[[int, Exception], None]
) -> Outcome:
    """Land a batch, exactly once, however often and wherever it was tried before.

    Args:
        table: where to.
        batch: rows and the spans they cover.
        wait: called after each failed try with its number, from 1, and the error; backs off, or
            raises to give up.

    Raises:
        Whatever `wait` raises. The batch is then landed, or not; a later try will know.
        StopPipelineError: raised by the table, passed on: no retry can help.
    """
    tries = 0
    while True:
        try:
            if tries:
                table.reopen()
            plan = plan_commit(batch, {p: table.watermark(p) for p in batch.spans})
            if plan.keep:
                rows = rows_from(batch, plan)
                table.append(rows, {p: batch.spans[p].stop - 1 for p in plan.keep})
                return _outcome(batch, plan, rows.num_rows)
            return _outcome(batch, plan, 0)
        except StopPipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - every failure means "unknown", see step 4
            tries += 1
            wait(tries, error)


def rows_from(batch: Batch, plan: Plan) -> pa.Table:
    """The rows that the plan keeps."""
    if plan.keeps_all(batch):
        return batch.rows
    wanted = None
    for partition, first in plan.keep.items():
        mine = pc.and_(
            pc.equal(batch.rows["_partition"], partition.partition),
            pc.and_(
                pc.equal(batch.rows["_topic_id"], partition.topic_id),
                pc.greater_equal(batch.rows["_offset"], first),
            ),
        )
        wanted = mine if wanted is None else pc.or_(wanted, mine)
    return batch.rows.filter(wanted)


def _outcome(batch: Batch, plan: Plan, rows: int) -> Outcome:
    return Outcome(rows=rows, landed=plan.landed(batch), gaps=plan.gaps)
