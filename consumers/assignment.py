"""The partitions assigned to a consumer, and how far each was polled."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from lakehouse.offsets import OffsetRange, TopicPartition


class Assignment:
    """Positions by assigned partition."""

    def __init__(self) -> None:
        self._positions: dict[TopicPartition, int] = {}
        self._named: dict[tuple[str, int], TopicPartition] = {}

    def __contains__(self, partition: TopicPartition) -> bool:
        """Return whether the partition is assigned."""
        return partition in self._positions

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Add these partitions, to be polled from these positions."""
        self._positions.update(positions)
        self._named |= {(p.topic, p.partition): p for p in positions}

    def remove(self, partition: TopicPartition) -> None:
        """Remove a partition that is no longer assigned."""
        del self._positions[partition]
        del self._named[partition.topic, partition.partition]

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """Return the next position of each partition."""
        return self._positions

    def find(self, topic: str, number: int) -> TopicPartition | None:
        """Return the assigned partition with this topic name and number, if any."""
        return self._named.get((topic, number))

    def advance(
        self, topic: str, chunk: pa.RecordBatch
    ) -> tuple[pa.RecordBatch, dict[TopicPartition, OffsetRange]]:
        """Advance past the records of assigned partitions that were not polled before.

        librdkafka works in the background while the group rebalances. It may still return records
        of a partition that was just revoked: the next owner reads them again. It also stops and
        starts the partitions that this member keeps, and may return records of those once more.

        Returns:
            The records without those two kinds, and the ranges covered.
        """
        numbers, offsets = chunk["_partition"].to_numpy(), chunk["_offset"].to_numpy()
        order = np.argsort(numbers, kind="stable")
        is_new = np.zeros(len(order), dtype=bool)
        ranges = {}
        for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            partition = self.find(topic, int(numbers[rows[0]]))
            if partition is None:
                continue
            start = self._positions[partition]
            furthest = np.maximum.accumulate(np.concatenate(([start - 1], offsets[rows])))
            is_new[rows] = offsets[rows] > furthest[:-1]
            stop = int(furthest[-1]) + 1
            if stop > start:
                ranges[partition] = OffsetRange(start=start, stop=stop)
                self._positions[partition] = stop
        if not is_new.all():
            chunk = chunk.filter(pa.array(is_new))
        return chunk, ranges

    def advance_each(
        self, topic: str, messages: Sequence[Message]
    ) -> tuple[list[Message], dict[TopicPartition, OffsetRange]]:
        """Advance past messages as `advance` does past records; for a few, this costs less."""
        kept: list[Message] = []
        starts: dict[TopicPartition, int] = {}
        for message in messages:
            partition = self.find(topic, message.partition() or 0)
            if partition is None:
                continue
            start, offset = self._positions[partition], message.offset() or 0
            if offset >= start:
                starts.setdefault(partition, start)
                self._positions[partition] = offset + 1
                kept.append(message)
        return kept, {
            partition: OffsetRange(start=start, stop=self._positions[partition])
            for partition, start in starts.items()
        }

    def see_end(self, partition: TopicPartition, position: int) -> OffsetRange | None:
        """Advance to the end of the partition, past transaction markers.

        Returns:
            The range covered, which holds no record; None if it is empty.
        """
        start = self._positions[partition]
        if position <= start:
            return None
        self._positions[partition] = position
        return OffsetRange(start=start, stop=position)

    def topics(self) -> set[str]:
        """Return the topics with at least one assigned partition."""
        return {partition.topic for partition in self._positions}
