"""Where a change stands: (topic id, partition, offset), and the watermarks counted in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import override

Partition = TypeVar("Partition")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TopicPartition:
    """One partition of one incarnation of a topic.

    A topic that is deleted and made again keeps its name and gets another `topic_id`.
    """

    topic: str
    topic_id: str
    partition: int

    @property
    def app_id(self) -> str:
        """Id of this partition's Delta app transaction, which holds its watermark."""
        return kafka_app_id(self.topic_id, self.partition)

    @override
    def __str__(self) -> str:
        """Short form for messages, as in `shop.public.orders[0]`."""
        return f"{self.topic}[{self.partition}]"


def kafka_app_id(topic_id: str, partition: int) -> str:
    """Id of the app transaction in which a bronze table keeps how far it has read Kafka."""
    return f"kafka/{topic_id}/{partition}"


def bronze_app_id(topic_id: str, epoch: int, partition: int) -> str:
    """Id of the app transaction in which a silver table keeps how far it has read bronze."""
    return f"bronze/{topic_id}/{epoch}/{partition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A stretch of a topic's history in which it kept its identity and its partitions.

    Order within a key is (`epoch`, offset).
    """

    epoch: int
    topic_id: str
    partition_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicIdentity:
    """Which incarnation of a topic records come from, and the epoch that they fall in."""

    topic_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EpochPartition:
    """One partition of bronze in one epoch. Order within it is the offset."""

    epoch: int
    topic_id: str
    partition: int

    @property
    def app_id(self) -> str:
        """Id of the app transaction with its watermark in a silver table."""
        return bronze_app_id(self.topic_id, self.epoch, self.partition)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """Positions `start` (inclusive) to `stop` (exclusive) of a partition.

    Offsets are not dense, so a range may hold fewer records than positions, or none.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        """Refuse what is not a range."""
        if not 0 <= self.start <= self.stop:
            message = f"not a offsets of offsets: {self.start} to {self.stop}"
            raise ValueError(message)


def next_position(watermark: int | None) -> int:
    """Return the first offset that a watermark, the last offset taken, does not cover."""
    return 0 if watermark is None else watermark + 1


def count_missing(below: Mapping[Partition, int], own: Mapping[Partition, int]) -> int:
    """Count the offsets up to the watermarks `below` that `own` do not cover, holes included."""
    return sum(max(0, last - own.get(partition, -1)) for partition, last in below.items())


def up_to(ends: Mapping[Partition, int]) -> dict[Partition, OffsetRange]:
    """Return all offsets before these ends, of each partition that has any."""
    return {key: OffsetRange(start=0, stop=end) for key, end in ends.items() if end > 0}


def count_positions(ranges: Iterable[OffsetRange]) -> int:
    """Positions in all of these ranges together: no fewer than their records."""
    return sum(offsets.stop - offsets.start for offsets in ranges)


def batches(
    ranges: Mapping[Partition, OffsetRange], *, positions: int
) -> Iterator[dict[Partition, OffsetRange]]:
    """Cut ranges into batches of about so many positions, in the order of each partition.

    Args:
        ranges: by whatever tells partitions apart; empty ones are left out.
        positions: of a batch, all its partitions together.
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
