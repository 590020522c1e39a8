"""The partitions that a lander owns, and how far it has polled each."""

from collections.abc import Mapping

import pyarrow as pa

from lakehouse.errors import StopPipelineError
from lakehouse.offsets import OffsetRange, TopicPartition


class Assignment:
    """Positions by partition; a partition that is not in it is not ours."""

    def __init__(self) -> None:
        self._positions: dict[TopicPartition, int] = {}

    def __contains__(self, partition: TopicPartition) -> bool:
        """Whether the partition is ours."""
        return partition in self._positions

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Own these partitions, polled from these positions on."""
        self._positions.update(positions)

    def remove(self, partition: TopicPartition) -> None:
        """Own it no longer."""
        del self._positions[partition]

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """How far each partition was polled."""
        return self._positions

    def find(self, topic: str, number: int) -> TopicPartition | None:
        """The partition of ours with this name and number."""
        for partition in self._positions:
            if partition.topic == topic and partition.partition == number:
                return partition
        return None

    def advance(self, topic: str, chunk: pa.RecordBatch) -> dict[TopicPartition, OffsetRange]:
        """Step over the records of `chunk`, and return the positions stepped over.

        Raises:
            StopPipelineError: a record is of a partition that is not ours.
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
        """Step over what stands between the last record and the end: marks of transactions.

        Returns:
            The positions stepped over, none of which holds a record; None if there are none.
        """
        start = self._positions[partition]
        if position <= start:
            return None
        self._positions[partition] = position
        return OffsetRange(start=start, stop=position)

    def topics(self) -> set[str]:
        """Topics of which some partition is ours."""
        return {partition.topic for partition in self._positions}
