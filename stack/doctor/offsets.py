"""Where topics begin and end, and how long the oldest change that nobody has taken has waited."""

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
    """Of a partition: the first offset that the broker still has, and the one behind the last."""

    oldest: int
    end: int


Ends = Mapping[TopicPartition, End]


def read_ends(admin: AdminClient, partitions: Collection[TopicPartition]) -> Ends:
    """Of each of these partitions.

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
        raise explain_kafka(error, "Where topics end cannot be asked for") from error


def oldest_unread(
    bootstrap_servers: str, positions: Mapping[TopicPartition, int], *, patience_seconds: float
) -> dict[TopicPartition, datetime]:
    """When the first record from each position on was written; none where none is readable.

    Offsets behind the last record belong to watermarks of transactions: these are no changes.

    Args:
        bootstrap_servers: of the broker.
        positions: the next that somebody wants.
        patience_seconds: for how long the broker may take.

    Raises:
        RetryLaterError: the broker does not give them in time.
    """
    found: dict[TopicPartition, datetime] = {}
    left = {(p.topic, p.partition): p for p in positions}
    if not left:
        return found
    consumer = _reader(bootstrap_servers)
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
        told = f"Kafka does not give {', '.join(map(str, left.values()))} to read. Try again."
        raise RetryLaterError(told)
    return found


def _reader(bootstrap_servers: str) -> Consumer:
    """Of committed records; it joins no group, and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
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
