"""Polled records that are not committed yet: one buffer per table, with the ranges covered."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypeVar, override

from consumers.records import Polled
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicPartition

Chunk: TypeAlias = pa.RecordBatch | Polled
Rows = TypeVar("Rows", default=pa.Table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Rows]):
    """Rows of one table, and the range of offsets they cover of each partition.

    A range begins at the consumer's position, not at the first record: offsets have holes.
    """

    rows: Rows
    ranges: Mapping[TopicPartition, OffsetRange]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushPolicy:
    """Limits of a buffer; it is flushed when it reaches any of them."""

    rows: int
    bytes: int
    seconds: float


class TableBuffer:
    """Rows waiting for the next commit of one table."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._spans: dict[TopicPartition, OffsetRange] = {}
        self._oldest: float | None = None
        self.rows = 0
        self.bytes = 0

    def add(
        self, chunk: Chunk | None, ranges: Mapping[TopicPartition, OffsetRange], now: float
    ) -> None:
        """Append `chunk`, which must continue where each partition's last chunk ended.

        Args:
            chunk: columns of `BRONZE_SCHEMA`, or messages; None where a range holds no record.
            ranges: the range covered of each partition.
            now: monotonic seconds.

        Raises:
            ValueError: a range does not begin where the previous one of its partition stopped.
        """
        for partition, offsets in ranges.items():
            held = self._spans.get(partition)
            if held is not None and held.stop != offsets.start:
                message = (
                    f"{partition}: expected a chunk from {held.stop}, got one from {offsets.start}"
                )
                raise ValueError(message)
            start = offsets.start if held is None else held.start
            self._spans[partition] = OffsetRange(start=start, stop=offsets.stop)
        if chunk is not None and chunk.num_rows:
            self._chunks.append(chunk)
            self.rows += chunk.num_rows
            self.bytes += chunk.nbytes
        self._oldest = now if self._oldest is None else self._oldest

    @property
    def is_empty(self) -> bool:
        """Return whether it covers no offsets at all."""
        return not self._spans

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        """Return the first offset covered of each partition."""
        return {partition: offsets.start for partition, offsets in self._spans.items()}

    def is_due(self, policy: FlushPolicy, now: float) -> bool:
        """Return whether a limit of `policy` is reached."""
        is_full = self.rows >= policy.rows or self.bytes >= policy.bytes
        return self._oldest is not None and (is_full or self.has_waited(policy.seconds, now))

    def has_waited(self, seconds: float, now: float) -> bool:
        """Return whether the oldest chunk has been waiting for longer than `seconds`."""
        return self._oldest is not None and now - self._oldest >= seconds

    def held(self) -> Batch:
        """Return everything buffered, messages as columns, too."""
        chunks = [one.columns() if isinstance(one, Polled) else one for one in self._chunks]
        rows = pa.Table.from_batches(chunks, schema=BRONZE_SCHEMA)
        return Batch(rows=rows, ranges=dict(self._spans))

    def polled(self) -> Batch | Batch[Polled]:
        """Return everything buffered: messages, or columns if not all are of one incarnation."""
        chunks = [chunk for chunk in self._chunks if isinstance(chunk, Polled)]
        identities = {chunk.identity for chunk in chunks}
        if len(chunks) < len(self._chunks) or len(identities) != 1:
            return self.held()
        messages = [message for chunk in chunks for message in chunk.messages]
        return Batch(rows=replace(chunks[0], messages=messages), ranges=dict(self._spans))

    def drop(self, partition: TopicPartition) -> None:
        """Discard a partition that was revoked, or is read again from another position."""
        if self._spans.pop(partition, None) is None:
            return
        kept = [_without(chunk, partition) for chunk in self._chunks]
        self._chunks = [chunk for chunk in kept if chunk.num_rows]
        self.rows = sum(chunk.num_rows for chunk in self._chunks)
        self.bytes = sum(chunk.nbytes for chunk in self._chunks)
        if not self._spans:
            self._oldest = None


class Buffers(Mapping[str, TableBuffer]):
    """The buffers of all topics, by topic, longest waiting first.

    A buffer may have become empty. Only methods of this class change it.
    """

    def __init__(self) -> None:
        self._held: dict[str, TableBuffer] = {}

    @override
    def __getitem__(self, topic: str) -> TableBuffer:
        return self._held[topic]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    @override
    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes(self) -> int:
        """Return the memory used by all buffers."""
        return sum(buffer.bytes for buffer in self._held.values())

    def add(
        self,
        topic: str,
        chunk: Chunk | None,
        ranges: Mapping[TopicPartition, OffsetRange],
        now: float,
    ) -> None:
        """Append a chunk of a topic; see `TableBuffer.add`."""
        self._held.setdefault(topic, TableBuffer()).add(chunk, ranges, now)

    def take(self, topic: str) -> Batch:
        """Remove a topic's buffer, and return its content."""
        return self._held.pop(topic).held()

    def discard(self, topics: Iterable[str]) -> None:
        """Remove the buffers of these topics, once they are committed."""
        for topic in list(topics):
            del self._held[topic]

    def drop(self, partition: TopicPartition) -> None:
        """Discard a partition that was revoked, or is read again from another position."""
        if partition.topic in self._held:
            self._held[partition.topic].drop(partition)


def _without(chunk: Chunk, partition: TopicPartition) -> Chunk:
    if isinstance(chunk, Polled):
        if chunk.identity.topic_id != partition.topic_id:
            return chunk
        others = [m for m in chunk.messages if m.partition() != partition.partition]
        return replace(chunk, messages=others)
    is_other = pc.or_(
        pc.not_equal(chunk["_partition"], partition.partition),
        pc.not_equal(chunk["_topic_id"], partition.topic_id),
    )
    return chunk.filter(is_other)
