"""Kafka as reconciliation reads it: the connector's topics, their ends, and records."""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from lakehouse.kafka import (
    QuietLog,
    Topic,
    admin_client,
    captured_pattern,
    describe_topics,
    explain_kafka,
    matching_topics,
)
from lakehouse.offsets import TopicPartition

_REQUEST_SECONDS = 10
_POLL_SECONDS = 0.05
_POLL_RECORDS = 500
# For a moment after a topic or broker was started, its partitions have no leader.
_NO_LEADER_YET = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})


class Topics:
    """A consumer of committed records that belongs to no group, and an admin client."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._admin = admin_client(kafka)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "reconcile",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 65_536,
                "queued.max.messages.kbytes": 4_096,
            },
            logger=QuietLog(),
        )

    def __enter__(self) -> "Topics":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def captured(self, topic_prefix: str) -> dict[str, Topic]:
        """Return the topics with shop changes, by name."""
        return describe_topics(
            self._admin, matching_topics(self._admin, captured_pattern(topic_prefix))
        )

    def describe(self, name: str) -> Topic | None:
        """Describe one topic; None if it does not exist."""
        return describe_topics(self._admin, [name]).get(name)

    def ends(self, topics: Mapping[str, Topic]) -> dict[TopicPartition, int]:
        """Return the end offset of each partition, including uncommitted records.

        A transaction's partitions become readable one after the other, so the last stable offset
        may precede a record that belongs to what was already read.

        Raises:
            RetryLaterError: the broker does not answer.
        """
        partitions = {(p.topic, p.partition): p for t in topics.values() for p in t.partitions}
        if not partitions:
            return {}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = dict.fromkeys((KafkaPartition(*coordinate) for coordinate in partitions), latest)
        deadline = time.monotonic() + _REQUEST_SECONDS
        while True:
            answers = self._admin.list_offsets(asked, request_timeout=_REQUEST_SECONDS)
            try:
                return {
                    partitions[coordinate.topic, coordinate.partition]: future.result().offset
                    for coordinate, future in answers.items()
                }
            except KafkaException as error:
                if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                    raise explain_kafka(
                        error, "The end offsets of topics cannot be requested"
                    ) from error
                time.sleep(_POLL_SECONDS)

    def first_records(
        self, ranges: Mapping[TopicPartition, tuple[int, int]], *, deadline: float
    ) -> dict[TopicPartition, int | None]:
        """Return the offset of the first record of each range; None if a reader finds none in it.

        Args:
            ranges: start (inclusive) and end (exclusive) of each partition.
            deadline: `time.monotonic()` after which undecided partitions are left out.
        """
        found: dict[TopicPartition, int | None] = {}
        asked = {(p.topic, p.partition): p for p in ranges}
        self.read_from({coordinate: ranges[p][0] for coordinate, p in asked.items()})
        while len(found) < len(ranges) and time.monotonic() < deadline:
            for message in self.poll():
                partition = asked[message.topic() or "", message.partition() or 0]
                offset, end = message.offset() or 0, ranges[partition][1]
                if partition in found:
                    continue
                if offset >= end:
                    found[partition] = None
                elif message.error() is None:
                    found[partition] = offset
        self.read_from({})
        return found

    def read_from(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Start reading partitions, by topic and number, each from a position."""
        self._consumer.assign(
            [KafkaPartition(*partition, at) for partition, at in positions.items()]
        )

    def poll(self) -> list[Message]:
        """Return records, and an end-of-partition event for each partition that is read to its end.

        Raises:
            RetryLaterError: the broker reports an error.
        """
        messages = self._consumer.consume(_POLL_RECORDS, _POLL_SECONDS)
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise explain_kafka(error, f"{message.topic()} cannot be read")
        return messages
