"""The coordinate of a change (topic id, partition, offset), and watermarks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import override

Partition = TypeVar("Partition")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TopicPartition:
    """One partition of one incarnation of a topic.

    A topic that is deleted and created again keeps its name but gets another `topic_id`.
    """

    topic: str
    topic_id: str
    partition: int

    @property
    def app_id(self) -> str:
        """Id of the Delta app transaction that holds this partition's watermark."""
        return kafka_app_id(self.topic_id, self.partition)

    @override
    def __str__(self) -> str:
        """Short form for messages, such as `shop.public.orders[0]`."""
        return f"{self.topic}[{self.partition}]"


def kafka_app_id(topic_id: str, partition: int) -> str:
    """Return the id of the app transaction with a bronze table's watermark in Kafka."""
    return f"kafka/{topic_id}/{partition}"


def bronze_app_id(topic_id: str, epoch: int, partition: int, *, reader: str = "") -> str:
    """Return the id of the app transaction with a silver table's watermark in bronze.

    `reader` tells who has read so far, where several read one topic into one table.
    """
    return f"{bronze_kind(reader)}/{topic_id}/{epoch}/{partition}"


def bronze_kind(reader: str) -> str:
    """Return how the app ids of a reader's watermarks in bronze begin, up to the first slash."""
    return f"bronze:{reader}" if reader else "bronze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A period of a topic's history with the same topic id and number of partitions.

    Order within a key is (`epoch`, offset).
    """

    epoch: int
    topic_id: str
    partition_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicIdentity:
    """Incarnation of a topic that records come from, and their epoch."""

    topic_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EpochPartition:
    """One partition of bronze in one epoch, ordered by offset."""

    epoch: int
    topic_id: str
    partition: int

    def app_id(self, reader: str = "") -> str:
        """Return the id of the app transaction with its watermark in a silver table."""
        return bronze_app_id(self.topic_id, self.epoch, self.partition, reader=reader)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """Offsets from `start` (inclusive) to `stop` (exclusive) of a partition.

    Offsets are not dense: a range may hold fewer records than offsets, or none.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        """Reject a range that is negative or ends before it begins."""
        if not 0 <= self.start <= self.stop:
            message = f"not a range of offsets: {self.start} to {self.stop}"
            raise ValueError(message)


def next_position(watermark: int | None) -> int:
    """Return the first offset after a watermark, the last offset applied; 0 if there is none."""
    return 0 if watermark is None else watermark + 1


def count_missing(below: Mapping[Partition, int], own: Mapping[Partition, int]) -> int:
    """Count the offsets up to the watermarks `below` that `own` does not cover, including holes."""
    return sum(max(0, last - own.get(partition, -1)) for partition, last in below.items())


def up_to(ends: Mapping[Partition, int]) -> dict[Partition, OffsetRange]:
    """Return all offsets before these ends, for each partition that has any."""
    return {key: OffsetRange(start=0, stop=end) for key, end in ends.items() if end > 0}


def count_positions(ranges: Iterable[OffsetRange]) -> int:
    """Count the offsets in all ranges: at least the number of their records."""
    return sum(offsets.stop - offsets.start for offsets in ranges)


def batches(
    ranges: Mapping[Partition, OffsetRange], *, positions: int
) -> Iterator[dict[Partition, OffsetRange]]:
    """Split ranges into batches of about `positions` offsets, in the order of each partition.

    Args:
        ranges: by any identifier of a partition; empty ones are skipped.
        positions: offsets per batch, all its partitions together.
    """
    left = {key: offsets for key, offsets in ranges.items() if offsets.start < offsets.stop}
    while left:
        step = max(1, positions // len(left))
        batch = {
            k: OffsetRange(start=s.start, stop=min(s.stop, s.start + step)) for k, s in left.items()
        }
        yield batch
        left = {
            key: OffsetRange(start=batch[key].stop, stop=offsets.stop)
            for key, offsets in left.items()
            if batch[key].stop < offsets.stop
        }
