"""Waits until the shop's commits have arrived in Kafka, then in bronze."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import psycopg
from confluent_kafka import Message

from batch.reconcile.bronze import BronzeTable
from batch.reconcile.topics import Topics
from connectors.health import Health, in_sentences
from connectors.readers import STANDBY, USE_THE_PRIMARY
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.offsets import TopicPartition
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

_HEARTBEAT = """
insert into cdc.heartbeat (source, token) values ('reconcile', %(token)s)
on conflict (source) do update set token = excluded.token, sent_at = clock_timestamp()"""
_HEARTBEAT_SECONDS = 5.0
_REFRESH_SECONDS = 0.2


def pass_connect(
    topics: Topics,
    topic: str,
    dsn: str,
    *,
    timeout_seconds: float,
    health: Callable[[], Health],
) -> None:
    """Write a heartbeat, and wait until it appears in Kafka, which then has all earlier commits.

    Args:
        topics: reader of Kafka.
        topic: topic of the heartbeat table.
        dsn: connection as a role that may write the heartbeat.
        timeout_seconds: longest wait.
        health: returns the connector's health.

    Raises:
        StopPipelineError: the connector is in a state that it does not leave by itself.
        RetryLaterError: the heartbeat does not arrive in time; the database or the broker does not
            answer.
    """
    token = str(uuid.uuid4())
    deadline = time.monotonic() + timeout_seconds
    is_reading = False
    sent_at = 0.0
    patience = 1
    while True:
        is_reading = is_reading or _read_from_end(topics, topic, is_first=sent_at == 0.0)
        if time.monotonic() > sent_at:
            patience = _patience(patience, health) if sent_at else patience
            _heartbeat(dsn, token)
            # Repeatedly: an ad-hoc snapshot that begins in between can swallow the change.
            sent_at = time.monotonic() + _HEARTBEAT_SECONDS
        if is_reading and any(_is_heartbeat(message, token) for message in topics.poll()):
            return
        if time.monotonic() > deadline:
            reason = in_sentences(health().problems) or "Connect is running, but behind."
            message = (
                f"A heartbeat written to the shop did not appear in {topic} within "
                f"{timeout_seconds:.0f} s. {reason} See ./pipeline connect status; or allow "
                "more time: RECONCILE_TIMEOUT_SECONDS"
            )
            raise RetryLaterError(message)


def _patience(left: int, health: Callable[[], Health]) -> int:
    """Stop on problems that do not pass by themselves, unless seen only during a restart."""
    found = health()
    if not found.is_hopeless:
        return 1
    if left > 0:
        return left - 1
    raise StopPipelineError(in_sentences(found.problems))


def _read_from_end(topics: Topics, topic: str, *, is_first: bool) -> bool:
    described = topics.describe(topic)
    if described is None:
        time.sleep(_REFRESH_SECONDS)
        return False
    ends = topics.ends({topic: described})
    # A topic created after the first heartbeat may begin with it.
    positions = {(p.topic, p.partition): end if is_first else 0 for p, end in ends.items()}
    topics.read_from(positions)
    return True


def _heartbeat(dsn: str, token: str) -> None:
    with (
        explaining(Service.SHOP, "No heartbeat can be written"),
        psycopg.connect(dsn) as connection,
    ):
        try:
            connection.execute(_HEARTBEAT, {"token": token})
        except psycopg.errors.ReadOnlySqlTransaction as error:
            problem = f"No heartbeat can be written: {STANDBY}"
            raise StopPipelineError(problem, USE_THE_PRIMARY) from error


def _is_heartbeat(message: Message, token: str) -> bool:
    value = message.value()
    if message.error() is not None or not value or token.encode() not in value:
        return False
    # A snapshot row (`r`) does not prove that earlier commits have arrived.
    return orjson.loads(value).get("op") in ("c", "u")


@dataclass(kw_only=True)
class BronzeArrival:
    """Waits until bronze has passed the ends of topics.

    Passed means that a reader starting at the watermark would reach the end without a record. The
    watermark alone is not enough, because transaction markers have offsets, too.
    """

    topics: Topics
    tables: Mapping[str, BronzeTable]
    """Bronze tables by topic."""
    _pending: dict[TopicPartition, int] = field(default_factory=dict)
    _next_record: dict[TopicPartition, int] = field(default_factory=dict)

    def wait(self, ends: Mapping[TopicPartition, int], *, timeout_seconds: float) -> None:
        """Wait until bronze has passed all of these ends.

        Raises:
            RetryLaterError: bronze does not catch up in time (the message names what is behind), or
                the broker or the store does not answer.
        """
        deadline = time.monotonic() + timeout_seconds
        self._pending = {partition: end for partition, end in ends.items() if end > 0}
        self._next_record = {}
        while True:
            self._strike_passed(deadline)
            if not self._pending:
                return
            if time.monotonic() > deadline:
                raise RetryLaterError(self._lag(timeout_seconds))
            time.sleep(_REFRESH_SECONDS)
            for topic in {partition.topic for partition in self._pending}:
                self.tables[topic].refresh()

    def _strike_passed(self, deadline: float) -> None:
        unknown = {}
        for partition, end in list(self._pending.items()):
            position = self._position(partition)
            if position >= end:
                del self._pending[partition]
            elif self._next_record.get(partition, -1) < position:
                unknown[partition] = (position, end)
        if unknown:
            found = self.topics.first_records(unknown, deadline=deadline)
            for partition, offset in found.items():
                if offset is None:
                    del self._pending[partition]
                else:
                    self._next_record[partition] = offset

    def _position(self, partition: TopicPartition) -> int:
        watermark = self.tables[partition.topic].watermark(partition)
        return 0 if watermark is None else watermark + 1

    def _lag(self, timeout_seconds: float) -> str:
        lagging: Sequence[TopicPartition] = sorted(self._pending)
        named = "; ".join(
            f"{p} has landed {self._position(p) or 'none'} of {self._pending[p]} offsets"
            for p in lagging[:5]
        )
        more = f"; and {len(lagging) - 5} more partitions" if len(lagging) > 5 else ""
        return (
            f"Bronze did not catch up within {timeout_seconds:.0f} s: {named}{more}. "
            "Is the lander running? ./pipeline status, ./pipeline logs lander. "
            "Or allow more time: RECONCILE_TIMEOUT_SECONDS"
        )
