"""Reader of the topic in which Debezium reports the progress of extractions."""

import time
from collections.abc import Iterator, Mapping

import orjson
from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition

from connectors.progress import Progress, advance
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import QuietLog, admin_client, describe_topics

_POLL_SECONDS = 0.1
_ABSENT_SECONDS = 0.5


class Notifications:
    """Notifications of extractions, read from the beginning of the topic; a few per extraction."""

    def __init__(self, kafka: Mapping[str, str], topic: str) -> None:
        self._topic = topic
        self._admin = admin_client(kafka)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "extract",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            },
            logger=QuietLog(),
        )
        self._at_end: dict[int, bool] = {}
        self._told: list[dict[str, object]] = []

    def __enter__(self) -> "Notifications":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def progress(self, signal_id: str) -> Progress:
        """Return the current progress of the extraction that this signal requested.

        Raises:
            RetryLaterError: the broker does not answer.
        """
        self._read_to_end()
        found = Progress(id=signal_id)
        for told in self._told:
            found = advance(found, told)
        return found

    def _read_to_end(self) -> None:
        if not self._at_end and not self._begin():
            time.sleep(_ABSENT_SECONDS)
            return
        self._at_end = dict.fromkeys(self._at_end, False)
        while not all(self._at_end.values()):
            messages = self._consumer.consume(500, _POLL_SECONDS)
            self._told += self._taken(messages)
            if not messages:
                # The end of the partition is reported only once.
                return

    def _begin(self) -> bool:
        described = describe_topics(self._admin, [self._topic]).get(self._topic)
        if described is None:
            return False
        self._at_end = dict.fromkeys(range(described.partition_count), False)
        self._consumer.assign([KafkaPartition(self._topic, n, 0) for n in self._at_end])
        # The first poll connects to the broker, which takes a moment.
        deadline = time.monotonic() + 10
        while not all(self._at_end.values()) and time.monotonic() < deadline:
            self._told += self._taken(self._consumer.consume(500, _POLL_SECONDS))
        return True

    def _taken(self, messages: list[Message]) -> Iterator[dict[str, object]]:
        for message in messages:
            error = message.error()
            if error is None:
                yield orjson.loads(message.value() or b"{}")
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._at_end[message.partition() or 0] = True
            else:
                problem = f"Topic {self._topic} cannot be read: {error}"
                raise RetryLaterError(problem, "Try again.")
