"""Topic metadata from the broker: ids, partitions, oldest and end offsets; and Kafka's errors."""

import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from lakehouse.contracts.bronze import bronze_table
from lakehouse.errors import PipelineError
from lakehouse.offsets import TopicPartition
from lakehouse.tls import distrust, refusal
from lakehouse.trouble import Service, Trouble, again, told

CAPTURED_NAME = "[a-zA-Z0-9_-]+"
"""Regular expression, valid in Java and librdkafka, of table names that are captured.

Debezium replaces characters that a topic name cannot have by underscores, so two tables could
share a topic; and Kafka rejects a topic whose name differs from another's only by a dot instead of
an underscore. Tables with these names always have topics of their own.
"""
Ends = Mapping[str, Mapping[tuple[str, int | None], int]]
"""End offsets by bronze table, then by topic id and partition number."""
_TIMEOUT_SECONDS = 10
_NO_TOPICS = "Topics cannot be described"
_TRUST = (
    "ssl.ca.location of KAFKA_SECURITY has to be the authority that signed the broker's "
    "certificate, and that one in date and with the name KAFKA_HOST."
)
_OWN = (
    "ssl.certificate.location of KAFKA_SECURITY has to be a certificate whose authority the broker "
    "trusts, in date, and ssl.key.location its key."
)
_LOGIN = (
    "sasl.username and sasl.password.file of KAFKA_SECURITY have to be a login that the broker "
    "knows, and sasl.mechanism one of its own."
)
_CLIENT = (
    "sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret.file of KAFKA_SECURITY have to "
    "be a client that the server of sasl.oauthbearer.token.endpoint.url knows, and its token one "
    "that the broker takes."
)
_TROUBLES: Mapping[Trouble, tuple[str, ...]] = {
    Trouble.RIGHTS: (
        "_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM",
        "ILLEGAL_SASL_STATE", "SECURITY_DISABLED", "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    ),
    Trouble.DATA: (
        "_BAD_MSG", "_BAD_COMPRESSION", "_KEY_SERIALIZATION", "_VALUE_SERIALIZATION",
        "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE", "INVALID_RECORD",
        "INVALID_TIMESTAMP", "OFFSET_METADATA_TOO_LARGE", "UNSUPPORTED_COMPRESSION_TYPE",
    ),
    Trouble.GONE: (
        "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "_NOENT", "_AUTO_OFFSET_RESET",
        "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "INCONSISTENT_TOPIC_ID",
        "OFFSET_OUT_OF_RANGE",
    ),
    Trouble.BUSY: (
        "_QUEUE_FULL", "_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH",
        "CONCURRENT_TRANSACTIONS", "TRANSACTION_ABORTABLE", "REBALANCE_IN_PROGRESS",
        "REASSIGNMENT_IN_PROGRESS", "THROTTLING_QUOTA_EXCEEDED",
    ),
    Trouble.FULL: ("_FS", "_CRIT_SYS_RESOURCE", "KAFKA_STORAGE_ERROR"),
    Trouble.SCHEMA: (
        "_INVALID_ARG", "_NOT_IMPLEMENTED", "_UNKNOWN_PROTOCOL", "_UNSUPPORTED_FEATURE",
        "TOPIC_EXCEPTION", "INVALID_CONFIG", "INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR",
        "INVALID_REQUEST", "INVALID_REQUIRED_ACKS", "POLICY_VIOLATION", "UNSUPPORTED_VERSION",
    ),
    Trouble.BROKEN: ("INVALID_MSG",),
}  # fmt: skip
_BY_CODE: Mapping[int, Trouble] = {
    getattr(KafkaError, name): trouble for trouble, names in _TROUBLES.items() for name in names
}


def trouble_of_kafka(error: KafkaError) -> Trouble:
    """Classify an error of the client or the broker.

    Most of the hundreds of codes mean that a broker is not reachable or not ready. librdkafka's own
    `retriable()` is defined for transactions only.
    """
    return _BY_CODE.get(error.code(), Trouble.AWAY)


def explain_kafka(
    error: KafkaException | KafkaError | BufferError, what: str, *, then: str | None = None
) -> PipelineError:
    """Convert an error of Kafka, see `lakehouse.trouble.told`.

    Args:
        error: raised or reported by the client; a BufferError means a full queue.
        what: what failed, as the beginning of a sentence.
        then: the action in the message, if the trouble passes.
    """
    found = error.args[0] if isinstance(error, KafkaException) and error.args else error
    trouble = trouble_of_kafka(found) if isinstance(found, KafkaError) else Trouble.BUSY
    return told(trouble, Service.KAFKA, what, error, then=again(then) if then else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One incarnation of a topic."""

    name: str
    topic_id: str
    partition_count: int

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return its partitions, in order."""
        return tuple(
            TopicPartition(topic=self.name, topic_id=self.topic_id, partition=p)
            for p in range(self.partition_count)
        )


class QuietLog:
    """Logger for librdkafka's own messages, which are only useful for debugging the client."""

    def log(self, level: int, text: str, *args: object) -> None:
        """Log at debug level; librdkafka passes a syslog level and a printf-like text."""
        message = text % args if args else text
        structlog.get_logger("librdkafka").debug(message, librdkafka_level=level)


class _Admin(AdminClient):
    """Remembers what brokers refused: a request fails later, and says only that none answers."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self.client = client
        self.reported: list[KafkaError] = []
        callback: dict[str, Any] = {"error_cb": self.reported.append}
        super().__init__({**client, **callback}, logger=QuietLog())


def admin_client(client: Mapping[str, str]) -> AdminClient:
    """Create an admin client that logs through structlog.

    Args:
        client: where the brokers are and how to log in, as `KafkaSettings.client` has it.

    Raises:
        StopPipelineError: a file that it names cannot be read.
    """
    try:
        return _Admin(client)
    except KafkaException as error:
        what, then = "A client cannot be created", {Trouble.SCHEMA: _TRUST}
        raise told(Trouble.SCHEMA, Service.KAFKA, what, error, then=then) from error


def captured_pattern(topic_prefix: str) -> str:
    """Return the pattern (librdkafka's, hence the `^`) of the topics with shop changes."""
    return rf"^{re.escape(topic_prefix)}\.public\.{CAPTURED_NAME}$"


def is_capturable(table: str) -> bool:
    """Return whether a shop table of this name is captured; others are skipped."""
    return re.fullmatch(CAPTURED_NAME, table) is not None


def prefix_pattern(topic_prefix: str) -> str:
    """Return the regular expression of all topics that the connector writes."""
    return rf"^{re.escape(topic_prefix)}\."


def pattern_of_tables(topic_prefix: str, tables: Iterable[str]) -> str:
    """Return the regular expression of these tables' topics, whether they exist yet or not."""
    names = "|".join(re.escape(captured_topic(topic_prefix, table)) for table in tables)
    return f"^({names})$"


def captured_topic(topic_prefix: str, table: str) -> str:
    """Return the topic of a shop table; its name must be capturable."""
    return f"{topic_prefix}.public.{table}"


def heartbeat_topic(topic_prefix: str) -> str:
    """Return the topic with the heartbeats that the connector writes into the shop's database."""
    return f"{topic_prefix}.cdc.heartbeat"


def notification_topic(topic_prefix: str) -> str:
    """Return the topic in which the connector reports the progress of extractions."""
    return f"{topic_prefix}.cdc.notification"


def matching_topics(
    admin: AdminClient, pattern: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> list[str]:
    """Return the names of the topics that match `pattern`.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    if isinstance(admin, _Admin):
        # What a broker has refused once does not explain a later outage.
        admin.poll(0)
        admin.reported.clear()
    try:
        names = admin.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        raise _refusal(admin, error) from error
    return sorted(name for name in names if re.match(pattern, name))


def _refusal(admin: AdminClient, error: KafkaException) -> PipelineError:
    """Convert an error of an admin client's first request."""
    if not isinstance(admin, _Admin) or trouble_of_kafka(error.args[0]) is not Trouble.AWAY:
        return explain_kafka(error, _NO_TOPICS)
    admin.poll(0)
    refused = [one for one in admin.reported if trouble_of_kafka(one) is Trouble.RIGHTS]
    if refused and refused[-1].code() != KafkaError._SSL:  # noqa: SLF001
        why = refused[-1].str()
        has_token = admin.client.get("sasl.mechanism") == "OAUTHBEARER"
        then = _CLIENT if has_token else _LOGIN
    else:
        # A handshake also fails where a broker restarts behind a load balancer.
        why, then = _distrust(admin.client)
    if not why:
        if refused:
            return told(Trouble.AWAY, Service.KAFKA, _NO_TOPICS, refused[-1].str())
        return explain_kafka(error, _NO_TOPICS)
    return told(Trouble.RIGHTS, Service.KAFKA, _NO_TOPICS, why, then={Trouble.RIGHTS: then})


def _distrust(client: Mapping[str, str]) -> tuple[str, str]:
    """Return which certificate is not trusted and why, which librdkafka (2.16) does not say.

    Returns:
        That, and what to do; twice nothing where both are trusted.
    """
    if not client.get("security.protocol", "").endswith("SSL"):
        return "", ""
    host, _, port = client["bootstrap.servers"].rpartition(":")
    server = (host, int(port), client.get("ssl.ca.location"))
    if (why := distrust(*server)) is not None:
        return f"the certificate of {host}:{port} is not trusted: {why}", _TRUST
    files = (client.get("ssl.certificate.location"), client.get("ssl.key.location"))
    own = (files[0], files[1]) if files[0] and files[1] else None
    if (why := refusal(*server, own)) is not None:
        return f"{host}:{port} does not take our certificate: {why}", _OWN
    return "", ""


def describe_topics(
    admin: AdminClient, names: Collection[str], *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> dict[str, Topic]:
    """Describe these topics, by name; topics that do not exist are left out.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    if not names:
        return {}
    futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=timeout_seconds)
    found = {}
    for name, future in futures.items():
        try:
            described = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise explain_kafka(error, _NO_TOPICS) from error
        found[name] = Topic(
            name=name,
            topic_id=str(described.topic_id),
            partition_count=len(described.partitions),
        )
    return found


def ask_ends(
    admin: AdminClient, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
    """Request the end offsets of partitions, without waiting for the answer.

    Records of open transactions count.
    """
    return _ask(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def ask_oldest(
    admin: AdminClient, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
    """Request the oldest available offsets of partitions, like `ask_ends`."""
    return _ask(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]


def captured_ends(
    admin: AdminClient, topic_prefix: str, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> Ends:
    """Return the end offsets of every topic with shop changes.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    names = matching_topics(admin, captured_pattern(topic_prefix), timeout_seconds=timeout_seconds)
    topics = describe_topics(admin, names, timeout_seconds=timeout_seconds)
    asked = ask_ends(
        admin, [coordinate for topic in topics.values() for coordinate in topic.partitions]
    )
    found: dict[str, dict[tuple[str, int | None], int]] = {}
    try:
        for coordinate, answer in asked.items():
            ends = found.setdefault(bronze_table(coordinate.topic), {})
            ends[coordinate.topic_id, coordinate.partition] = answer.result().offset
    except KafkaException as error:
        raise explain_kafka(error, "The end offsets of topics cannot be requested") from error
    return found


def _ask(
    admin: AdminClient, partitions: Collection[TopicPartition], which: OffsetSpec
) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
    if not partitions:
        return {}
    answers = admin.list_offsets(
        {KafkaPartition(p.topic, p.partition): which for p in partitions},
        request_timeout=_TIMEOUT_SECONDS,
    )
    by_place = {
        (coordinate.topic, coordinate.partition): answer for coordinate, answer in answers.items()
    }
    return {p: by_place[p.topic, p.partition] for p in partitions}
