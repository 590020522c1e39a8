"""The limits of the connector's topics: Connect sets them for the topics that it makes, once."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from lakehouse.errors import RetryLaterError
from lakehouse.kafka import matching_topics, prefix_pattern

_TIMEOUT_SECONDS = 10
_LIMIT = "max.message.bytes"


def raise_limits(admin: AdminClient, topic_prefix: str, max_bytes: int) -> list[str]:
    """Have each of the connector's topics take records of at least `max_bytes`.

    One that takes more stays so: what it holds may be larger.

    Returns:
        The topics that took less.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    topics = matching_topics(admin, prefix_pattern(topic_prefix))
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    try:
        found = admin.describe_configs(asked, request_timeout=_TIMEOUT_SECONDS) if asked else {}
        limits = {resource.name: future.result()[_LIMIT] for resource, future in found.items()}
        lower = sorted(name for name, limit in limits.items() if int(limit.value) < max_bytes)
        changes = [_raised(name, max_bytes) for name in lower]
        if changes:
            done = admin.incremental_alter_configs(changes, request_timeout=_TIMEOUT_SECONDS)
            for future in done.values():
                future.result()
    except KafkaException as error:
        message = f"Kafka does not change its topics' limits: {error}. Try ./pipeline status"
        raise RetryLaterError(message) from error
    return lower


def _raised(topic: str, max_bytes: int) -> ConfigResource:
    entry = ConfigEntry(_LIMIT, str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
