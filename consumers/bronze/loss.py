"""Loss: what Kafka no longer has and bronze never got. Found before it can pass unnoticed."""

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
from lakehouse.offsets import Epoch, OffsetRange, TopicPartition

_Place = tuple[str, int, int]


class LossKind(StrEnum):
    """How offsets come to be missing."""

    EXPIRED = "expired"
    BEYOND_END = "beyond_end"
    RECREATED = "recreated"
    REPARTITIONED = "repartitioned"
    SLOT_LOST = "slot_lost"
    """Not in Kafka at all: committed before `first_offset` was, and told by nothing from it on."""
    TRUNCATED = "truncated"
    """Deletes that are not in Kafka: rows went before `first_offset` was, by a TRUNCATE."""
    READ_AGAIN = "read_again"
    """No loss but its mending: at `last_offset` the rows were the shop's again."""


MENDABLE = frozenset({LossKind.SLOT_LOST, LossKind.TRUNCATED})
"""Losses behind which the rows are right once they were read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One range of offsets of one partition, both ends inclusive; `last_offset` may be unknown."""

    kind: LossKind
    topic: str
    topic_id: str
    partition: int
    first_offset: int
    last_offset: int | None
    explanation: str

    @override
    def __str__(self) -> str:
        """One line for a person."""
        last = "an unknown end" if self.last_offset is None else self.last_offset
        return (
            f"{self.topic}[{self.partition}]: {self.explanation} "
            f"Offsets {self.first_offset} to {last} ({self.kind})."
        )


class LossFoundError(StopPipelineError):
    """Going on would skip changes; a person has to accept that, or bring them back."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        self.losses = tuple(losses)
        lines = "\n".join(f"  {loss}" for loss in losses)
        super().__init__(
            f"changes are missing in Kafka that bronze has not got:\n{lines}\n"
            "Re-snapshot the source tables concerned; then run `./pipeline land --accept-loss` "
            "once: it records the gap in bronze/_loss_ledger and goes on behind it."
        )


def find_offset_loss(
    partition: TopicPartition, *, wanted: int, oldest: int, end: int, reader: str = "bronze"
) -> Loss | None:
    """Validator by the broker's oldest and end offsets; a hole in between is no loss.

    Args:
        partition: which one.
        wanted: the next position that the reader needs.
        oldest: first offset that the broker still has (low watermark).
        end: offset after the last one (high watermark).
        reader: who needs it.
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
            explanation=f"{reader} needs offset {wanted}, the broker's oldest is {oldest}.",
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
    """Validator by the topic's id and partition count, against the table's current epoch.

    Args:
        topic: as the broker describes it now.
        epoch: the one that bronze is in.
        watermarks: of the epoch's partitions.
    """
    if topic.topic_id != epoch.topic_id:
        kind = LossKind.RECREATED
        explanation = (
            f"the topic was recreated (id {epoch.topic_id} became {topic.topic_id}); "
            "what the old one still held is gone."
        )
    elif topic.partition_count != epoch.partition_count:
        kind = LossKind.REPARTITIONED
        explanation = (
            f"the topic had {epoch.partition_count} partitions and has {topic.partition_count}; "
            "order within a key is not known across the change."
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
    """Changes that the replication slot has skipped. Any table may have had some.

    Args:
        ends: the offset after the last record of each partition, while nothing is written.
        words: which changes.
    """
    explanation = f"the replication slot lost {words}; from here on versions may be missing."
    return [
        _at_place(partition, LossKind.SLOT_LOST, end, last=None, explanation=explanation)
        for partition, end in sorted(ends.items())
    ]


def losses_of_truncate(ended: Iterable[tuple[TopicPartition, OffsetRange]]) -> list[Loss]:
    """Rows that no delete tells of: they ended before a offsets, and were inserted again in it."""
    explanation = "rows ended before here and were inserted again; no delete tells of it."
    return [
        _at_place(partition, LossKind.TRUNCATED, offsets.start, last=None, explanation=explanation)
        for partition, offsets in ended
    ]


def mending_of(loss: Loss, stop: int, words: str) -> Loss:
    """That a loss was mended by `words`, up to before offset `stop`."""
    explanation = f"{words}; what was lost in between stays lost."
    return replace(loss, kind=LossKind.READ_AGAIN, last_offset=stop - 1, explanation=explanation)


def resolved_by_snapshot(
    rows: Sequence[Mapping[str, Any]], ends: Mapping[TopicPartition, int], words: str
) -> list[Loss]:
    """What reading tables again in full has mended, of the losses in the ledger. Pure.

    Args:
        rows: of the ledger.
        ends: the offset after the last record of each partition, once the tables were read.
        words: by what they were read.
    """
    partitions = {(p.topic_id, p.partition): p for p in ends}
    return [
        _at_place(
            partitions[topic_id, number],
            LossKind.READ_AGAIN,
            first,
            last=ends[partitions[topic_id, number]] - 1,
            explanation=f"{words}; the versions that were lost in between stay lost.",
        )
        for topic_id, number, first in open_losses(rows)
        if (topic_id, number) in partitions
    ]


def open_losses(rows: Sequence[Mapping[str, Any]]) -> list[_Place]:
    """Topic id, partition and first offset of what can be read again, and nobody has since.

    Where nothing was written in between, a second loss stands at the place of the first.
    """
    lost, read = _newest(rows, MENDABLE), _newest(rows, {LossKind.READ_AGAIN})
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
    """Of these losses, what is to be appended to a ledger with these rows. Pure.

    What can be read again is new unless it is open at that place, and its mending only if it is;
    any other loss is new once.
    """
    known = {(r["kind"], r["topic_id"], r["partition"], r["first_offset"]) for r in rows}
    waiting = set(open_losses(rows))

    def is_new(loss: Loss) -> bool:
        coordinate = loss.topic_id, loss.partition, loss.first_offset
        if loss.kind in MENDABLE:
            return coordinate not in waiting
        if loss.kind is LossKind.READ_AGAIN:
            return coordinate in waiting
        return (loss.kind, *coordinate) not in known

    # Their order says what is mended, so a clock that was set back must not change it.
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
        self._options = dict(options)

    def record(self, losses: Sequence[Loss]) -> None:
        """Append those that are not recorded yet."""
        new = new_rows(losses, self.rows(), datetime.now(tz=UTC))
        if new:
            rows = pa.Table.from_pylist(new, schema=LOSS_LEDGER_SCHEMA)
            write_deltalake(self._uri, rows, mode="append", storage_options=self._options)

    def rows(self) -> list[dict[str, Any]]:
        """Everything recorded so far."""
        try:
            table = DeltaTable(self._uri, storage_options=self._options)
        except TableNotFoundError:
            return []
        rows: list[dict[str, Any]] = pa.table(table.scan()).to_pylist()
        return rows
