"""What the broker says of its topics: ids, partitions, oldest and end offsets."""

import re
from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from lakehouse.coordinates import TopicPartition
from lakehouse.errors import RetryLaterError

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One incarnation of a topic."""

    name: str
    topic_id: str
    partition_count: int

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """Its partitions, in order."""
        return tuple(
            TopicPartition(topic=self.name, topic_id=self.topic_id, partition=p)
            for p in range(self.partition_count)
        )


def captured_pattern(topic_prefix: str) -> str:
    """Regular expression (librdkafka's, hence the `^`) of the topics with the shop's changes."""
    return rf"^{re.escape(topic_prefix)}\.public\..+"


def describe_topics(admin: AdminClient, pattern: str) -> dict[str, Topic]:
    """The topics whose name matches `pattern`, by name.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    try:
        names = [
            n for n in admin.list_topics(timeout=_TIMEOUT_SECONDS).topics if re.match(pattern, n)
        ]
        if not names:
            return {}
        futures = admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT_SECONDS)
        found = [future.result() for future in futures.values()]
    except KafkaException as error:
        message = f"Kafka does not describe its topics: {error}. Is it up? ./pipeline status"
        raise RetryLaterError(message) from error
    return {
        d.name: Topic(name=d.name, topic_id=str(d.topic_id), partition_count=len(d.partitions))
        for d in found
    }
