"""The partitions assigned to a consumer, and how far each was polled."""

from collections.abc import Mapping

import pyarrow as pa

from lakehouse.errors import StopPipelineError
from lakehouse.offsets import OffsetRange, TopicPartition


class Assignment:
    """Positions by assigned partition."""

    def __init__(self) -> None:
        self._positions: dict[TopicPartition, int] = {}

    def __contains__(self, partition: TopicPartition) -> bool:
        """Return whether the partition is assigned."""
        return partition in self._positions

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Add these partitions, to be polled from these positions."""
        self._positions.update(positions)

    def remove(self, partition: TopicPartition) -> None:
        """Remove a partition that is no longer assigned."""
        del self._positions[partition]

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """Return the next position of each partition."""
        return self._positions

    def find(self, topic: str, number: int) -> TopicPartition | None:
        """Return the assigned partition with this topic name and number, if any."""
        for partition in self._positions:
            if partition.topic == topic and partition.partition == number:
                return partition
        return None

    def advance(self, topic: str, chunk: pa.RecordBatch) -> dict[TopicPartition, OffsetRange]:
        """Advance past the records of `chunk`, and return the ranges covered.

        Raises:
            StopPipelineError: a record is from a partition that is not assigned.
        """
        ends = (
            pa.Table.from_batches([chunk.select(["_partition", "_offset"])])
            .group_by("_partition")
            .aggregate([("_offset", "max")])
        )
        ranges = {}
        for number, last in zip(ends[0].to_pylist(), ends[1].to_pylist(), strict=True):
            partition = self.find(topic, number)
            if partition is None:
                message = f"{topic}[{number}]: polled a record of a partition that is not assigned"
                raise StopPipelineError(message)
            ranges[partition] = OffsetRange(start=self._positions[partition], stop=last + 1)
            self._positions[partition] = last + 1
        return ranges

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
