"""First and end offsets of topics, and the age of the oldest unread change."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from lakehouse.errors import RetryLaterError
from lakehouse.kafka import QuietLog, ask_ends, ask_oldest, explain_kafka
from lakehouse.offsets import TopicPartition

_POLL_SECONDS = 0.05
_POLL_RECORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """First offset that the broker still has of a partition, and its end offset (exclusive)."""

    oldest: int
    end: int


Ends = Mapping[TopicPartition, End]


def read_ends(admin: AdminClient, partitions: Collection[TopicPartition]) -> Ends:
    """Return the ends of each of these partitions.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    oldest, ends = ask_oldest(admin, partitions), ask_ends(admin, partitions)
    try:
        return {
            p: End(oldest=oldest[p].result().offset, end=ends[p].result().offset)
            for p in partitions
        }
    except KafkaException as error:
        raise explain_kafka(error, "The ends of topics cannot be read") from error


def oldest_unread(
    kafka: Mapping[str, str], positions: Mapping[TopicPartition, int], *, patience_seconds: float
) -> dict[TopicPartition, datetime]:
    """Return when the first record at or after each position was written; none without a record.

    Offsets after the last record belong to transaction markers, which are not changes.

    Args:
        kafka: configuration of its clients.
        positions: next offsets of a consumer.
        patience_seconds: time limit.

    Raises:
        RetryLaterError: the broker does not return them in time.
    """
    found: dict[TopicPartition, datetime] = {}
    left = {(p.topic, p.partition): p for p in positions}
    if not left:
        return found
    consumer = _reader(kafka)
    try:
        consumer.assign([KafkaPartition(p.topic, p.partition, at) for p, at in positions.items()])
        deadline = time.monotonic() + patience_seconds
        while left and time.monotonic() < deadline:
            for message in consumer.consume(_POLL_RECORDS, _POLL_SECONDS):
                coordinate = left.pop((message.topic() or "", message.partition() or 0), None)
                if coordinate is not None and message.error() is None:
                    found[coordinate] = _written_at(message)
    finally:
        consumer.close()
    if left:
        problem = f"Kafka did not return {', '.join(map(str, left.values()))} in time"
        raise RetryLaterError(problem, "Try again.")
    return found


def _reader(kafka: Mapping[str, str]) -> Consumer:
    """Return a consumer of committed records that joins no group and commits no offsets."""
    return Consumer(
        {
            **kafka,
            "group.id": "doctor",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            "fetch.message.max.bytes": 65_536,
            "queued.max.messages.kbytes": 4_096,
        },
        logger=QuietLog(),
    )


def _written_at(message: Message) -> datetime:
    _, milliseconds = message.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
