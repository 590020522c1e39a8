"""Kafka client configuration of a consumer that stores its positions with its data."""

from confluent_kafka import KafkaError

from lakehouse.settings import KafkaSettings

_MB = 1024 * 1024
_SESSION_TIMEOUT_MS = 10_000
"""Silence after which the group takes a member for dead: longer than a pause of a busy machine."""
_REBALANCE_TIMEOUT_MS = 120_000
"""How long the group waits for a member to rejoin. Sometimes librdkafka 2.16 never does, when a
topic appears while the group rebalances; the group excludes it then, and it joins again."""
_TOPIC_REFRESH_SECONDS = 2.0
"""How soon a new topic is seen. Asking is cheap: one small request."""
OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
"""Error codes for a position that the broker does not have."""


def consumer_config(
    kafka: KafkaSettings,
    *,
    client_id: str,
    group_id: str,
    session_timeout_ms: int = _SESSION_TIMEOUT_MS,
    topic_refresh_seconds: float = _TOPIC_REFRESH_SECONDS,
) -> dict[str, str | int | float | bool]:
    """Return librdkafka's configuration."""
    return {
        **kafka.client,
        "group.id": group_id,
        "client.id": client_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # A position that the broker does not have is a possible loss, never a reason to reset.
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": session_timeout_ms // 4,
        "max.poll.interval.ms": _REBALANCE_TIMEOUT_MS,
        "topic.metadata.refresh.interval.ms": int(topic_refresh_seconds * 1000),
        "fetch.min.bytes": 1,
        "queued.max.messages.kbytes": 8 * 1024,
        "fetch.max.bytes": 2 * _MB,
        # The default of one second would leave the consumer idle whenever the queue was full.
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.max.ms": 2_000,
    }
