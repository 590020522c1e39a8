"""Size limits of the connector's topics, which Connect sets only when it creates a topic."""

from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from lakehouse.kafka import explain_kafka, matching_topics, prefix_pattern

_TIMEOUT_SECONDS = 10
_LIMIT = "max.message.bytes"


def raise_limits(admin: AdminClient, topic_prefix: str, max_bytes: int) -> list[str]:
    """Raise the record limit of the connector's topics to at least `max_bytes`.

    A higher limit is kept, since the topic may contain larger records.

    Returns:
        The topics whose limit was raised.

    Raises:
        RetryLaterError: the broker does not answer.
        StopPipelineError: the broker does not allow it.
    """
    topics = matching_topics(admin, prefix_pattern(topic_prefix))
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    try:
        found = admin.describe_configs(asked, request_timeout=_TIMEOUT_SECONDS) if asked else {}
        limits = {resource.name: _limit(future) for resource, future in found.items()}
        lower = sorted(name for name, limit in limits.items() if limit and limit < max_bytes)
        changes = [_raised(name, max_bytes) for name in lower]
        if changes:
            done = admin.incremental_alter_configs(changes, request_timeout=_TIMEOUT_SECONDS)
            for future in done.values():
                future.result()
    except KafkaException as error:
        raise explain_kafka(error, "The topics' limits cannot be raised") from error
    return lower


def _limit(future: Future[dict[str, ConfigEntry]]) -> int | None:
    """Return the limit of a topic in bytes; None if it was deleted meanwhile."""
    try:
        return int(future.result()[_LIMIT].value or 0)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise


def _raised(topic: str, max_bytes: int) -> ConfigResource:
    entry = ConfigEntry(_LIMIT, str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
