"""Losses: changes that Kafka no longer has and bronze never got, detected before reading on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from typing_extensions import override

from lakehouse.errors import StopPipelineError
from lakehouse.kafka import Topic
from lakehouse.lake import LOSS_LEDGER_SCHEMA
from lakehouse.object_store import addressed
from lakehouse.offsets import Epoch, OffsetRange, TopicPartition

_Place = tuple[str, int, int]


class LossKind(StrEnum):
    """Reasons why offsets are missing."""

    EXPIRED = "expired"
    BEYOND_END = "beyond_end"
    RECREATED = "recreated"
    REPARTITIONED = "repartitioned"
    SLOT_LOST = "slot_lost"
    """Changes that never reached Kafka, committed just before the one at `first_offset`."""
    TRUNCATED = "truncated"
    """Missing deletes: rows were removed by a TRUNCATE before `first_offset`."""
    READ_AGAIN = "read_again"
    """Not a loss, but its resolution: a full extraction up to `last_offset` restored the rows."""


RESOLVABLE = frozenset({LossKind.SLOT_LOST, LossKind.TRUNCATED})
"""Losses that a full extraction can resolve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An offset range of one partition, both ends inclusive; `last_offset` may be unknown."""

    kind: LossKind
    topic: str
    topic_id: str
    partition: int
    first_offset: int
    last_offset: int | None
    explanation: str

    @override
    def __str__(self) -> str:
        """Format as one line for messages."""
        last = "an unknown end" if self.last_offset is None else self.last_offset
        return (
            f"{self.topic}[{self.partition}]: {self.explanation} "
            f"Offsets {self.first_offset} to {last} ({self.kind})."
        )


class LossFoundError(StopPipelineError):
    """Continuing would skip changes; an operator must accept that, or restore them."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        self.losses = tuple(losses)
        lines = "\n".join(f"  {loss}" for loss in losses)
        super().__init__(
            f"Kafka no longer has changes that bronze needs:\n{lines}\n"
            "Extract the affected source tables again (./pipeline extract --full); then run "
            "`./pipeline land --accept-loss` once: it records the loss in bronze/_loss_ledger and "
            "resumes after it."
        )


def find_offset_loss(
    partition: TopicPartition, *, wanted: int, oldest: int, end: int, reader: str = "bronze"
) -> Loss | None:
    """Check a position against the broker's oldest and end offsets; holes in between are no loss.

    Args:
        partition: the partition.
        wanted: the next position of the reader.
        oldest: first offset that the broker still has (low watermark).
        end: offset after the last one (high watermark).
        reader: name of the reader, for the message.
    """
    coordinate = {
        "topic": partition.topic,
        "topic_id": partition.topic_id,
        "partition": partition.partition,
    }
    if wanted < oldest:
        return Loss(
            kind=LossKind.EXPIRED,
            first_offset=wanted,
            last_offset=oldest - 1,
            explanation=f"{reader} needs offset {wanted}, but the broker's oldest is {oldest}.",
            **coordinate,  # type: ignore[arg-type]
        )
    if wanted > end:
        return Loss(
            kind=LossKind.BEYOND_END,
            first_offset=end,
            last_offset=wanted - 1,
            explanation=f"{reader} has landed up to {wanted - 1}, but the topic ends at {end}.",
            **coordinate,  # type: ignore[arg-type]
        )
    return None


def find_identity_loss(
    topic: Topic, epoch: Epoch, watermarks: Mapping[TopicPartition, int | None]
) -> list[Loss]:
    """Check the topic's id and partition count against the table's current epoch.

    Args:
        topic: as the broker describes it.
        epoch: the current epoch in bronze.
        watermarks: of the epoch's partitions.
    """
    if topic.topic_id != epoch.topic_id:
        kind = LossKind.RECREATED
        explanation = (
            f"the topic was recreated (id {epoch.topic_id} became {topic.topic_id}); "
            "records left in the old one are lost."
        )
    elif topic.partition_count != epoch.partition_count:
        kind = LossKind.REPARTITIONED
        explanation = (
            f"the topic had {epoch.partition_count} partitions, now {topic.partition_count}; "
            "the order of a key's records across the change is unknown."
        )
    else:
        return []
    return [
        Loss(
            kind=kind,
            topic=topic.name,
            topic_id=epoch.topic_id,
            partition=partition.partition,
            first_offset=0 if watermark is None else watermark + 1,
            last_offset=None,
            explanation=explanation,
        )
        for partition, watermark in watermarks.items()
    ]


def losses_of_slot(ends: Mapping[TopicPartition, int], words: str) -> list[Loss]:
    """Return a loss per partition after a WAL gap, since changes of any table may be missing.

    Args:
        ends: the offset after the last record of each partition, while nothing is written.
        words: describes the lost changes.
    """
    explanation = f"the replication slot lost {words}; versions may be missing from here on."
    return [
        _at_place(partition, LossKind.SLOT_LOST, end, last=None, explanation=explanation)
        for partition, end in sorted(ends.items())
    ]


def losses_of_truncate(ended: Iterable[tuple[TopicPartition, OffsetRange]]) -> list[Loss]:
    """Return losses for rows that ended without a delete before a range, and reappear in it."""
    explanation = "rows ended before here without deletes, and were inserted again."
    return [
        _at_place(partition, LossKind.TRUNCATED, offsets.start, last=None, explanation=explanation)
        for partition, offsets in ended
    ]


def resolution_of(loss: Loss, stop: int, words: str) -> Loss:
    """Return the ledger entry that `words` resolved a loss, up to before offset `stop`."""
    explanation = f"{words}; changes lost in between are not restored."
    return replace(loss, kind=LossKind.READ_AGAIN, last_offset=stop - 1, explanation=explanation)


def resolved_by_snapshot(
    rows: Sequence[Mapping[str, Any]], ends: Mapping[TopicPartition, int], words: str
) -> list[Loss]:
    """Return the losses in the ledger that a full extraction resolved, as new entries. Pure.

    Args:
        rows: rows of the ledger.
        ends: end offset of each extracted partition, after the extraction.
        words: describes the extraction.
    """
    partitions = {(p.topic_id, p.partition): p for p in ends}
    return [
        _at_place(
            partitions[topic_id, number],
            LossKind.READ_AGAIN,
            first,
            last=ends[partitions[topic_id, number]] - 1,
            explanation=f"{words}; versions lost in between are not restored.",
        )
        for topic_id, number, first in open_losses(rows)
        if (topic_id, number) in partitions
    ]


def open_losses(rows: Sequence[Mapping[str, Any]]) -> list[_Place]:
    """Return topic id, partition and first offset of resolvable losses that are not resolved.

    If nothing was written in between, two losses have the same place.
    """
    lost, read = _newest(rows, RESOLVABLE), _newest(rows, {LossKind.READ_AGAIN})
    return sorted(
        partition for partition, at in lost.items() if partition not in read or read[partition] < at
    )


def _newest(
    rows: Sequence[Mapping[str, Any]], kinds: Collection[LossKind]
) -> dict[_Place, datetime]:
    newest: dict[_Place, datetime] = {}
    for row in rows:
        if row["kind"] in kinds:
            partition = row["topic_id"], row["partition"], row["first_offset"]
            newest[partition] = max(row["recorded_at"], newest.get(partition, row["recorded_at"]))
    return newest


def new_rows(
    losses: Sequence[Loss], rows: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return the losses to append to a ledger with these rows. Pure.

    A resolvable loss is new unless one is open at that place, a resolution only if one is;
    any other loss is new once.
    """
    known = {(r["kind"], r["topic_id"], r["partition"], r["first_offset"]) for r in rows}
    waiting = set(open_losses(rows))

    def is_new(loss: Loss) -> bool:
        coordinate = loss.topic_id, loss.partition, loss.first_offset
        if loss.kind in RESOLVABLE:
            return coordinate not in waiting
        if loss.kind is LossKind.READ_AGAIN:
            return coordinate in waiting
        return (loss.kind, *coordinate) not in known

    # The order tells what is resolved, so a clock that was set back must not change it.
    after = [row["recorded_at"] + timedelta(microseconds=1) for row in rows]
    recorded_at = max([now, *after])
    return [{**asdict(loss), "recorded_at": recorded_at} for loss in losses if is_new(loss)]


def _at_place(
    partition: TopicPartition, kind: LossKind, first: int, *, last: int | None, explanation: str
) -> Loss:
    return Loss(
        kind=kind,
        topic=partition.topic,
        topic_id=partition.topic_id,
        partition=partition.partition,
        first_offset=first,
        last_offset=last,
        explanation=explanation,
    )


class LossLedger:
    """The Delta table `bronze/_loss_ledger`."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self._uri = uri
        self._options = addressed(uri, options)

    def record(self, losses: Sequence[Loss]) -> None:
        """Append the losses that are not recorded yet."""
        new = new_rows(losses, self.rows(), datetime.now(tz=UTC))
        if new:
            rows = pa.Table.from_pylist(new, schema=LOSS_LEDGER_SCHEMA)
            write_deltalake(self._uri, rows, mode="append", storage_options=self._options)

    def rows(self) -> list[dict[str, Any]]:
        """Return all entries."""
        try:
            table = DeltaTable(self._uri, storage_options=self._options)
        except TableNotFoundError:
            return []
        rows: list[dict[str, Any]] = pa.table(table.scan()).to_pylist()
        return rows
