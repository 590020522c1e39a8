"""The lander: polls Kafka, fills one buffer per table, and commits each to bronze exactly once.

Starting positions are read from the bronze tables. The group's committed offsets are written only
for standard lag tools and never read.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import Consumer, Message

from consumers.bronze.flusher import Flushed, Flusher
from consumers.bronze.maintenance import Maintenance
from consumers.bronze.metrics import LandingMetrics
from consumers.bronze.tables import LandingTables
from consumers.buffer import Buffers, FlushPolicy
from consumers.membership import Membership
from lakehouse.errors import PipelineError, RetryLaterError

POLL_ROWS = 5_000
_POLL_SECONDS = 0.1
_LAG_SECONDS = 1.0
_SETTLE_SECONDS = 8.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanderOptions:
    """Limits of one lander."""

    pattern: str
    flush: FlushPolicy
    memory_bytes: int
    accept_loss: bool = False


class Lander:
    """One member of the consumer group. Not thread-safe, except for `stop`."""

    def __init__(
        self,
        consumer: Consumer,
        tables: LandingTables,
        flusher: Flusher,
        metrics: LandingMetrics,
        maintenance: Maintenance,
        options: LanderOptions,
    ) -> None:
        self._consumer = consumer
        self._tables = tables
        self._flusher = flusher
        self._metrics = metrics
        self._maintenance = maintenance
        self._options = options
        self._lag_measured = 0.0
        # By topic and partition, the timestamp of the newest landed record.
        self._newest: dict[tuple[str, int], float] = {}
        self._buffers = Buffers()
        self._member = Membership(
            consumer,
            partial(tables.starting_positions, accept_loss=options.accept_loss),
            self._buffers,
            name="the lander",
        )

    def stop(self) -> None:
        """Flush, leave the group, and return from `run`."""
        self._member.stopping.set()

    def run(self) -> None:
        """Land until stopped.

        Raises:
            LossFoundError: changes are missing; all other polled records have been committed.
            StopPipelineError: continuing makes no sense.
            RetryLaterError: the store did not answer while stopping; nothing is lost.
        """
        member = self._member
        member.subscribe([self._options.pattern], self._before_revoke)
        try:
            while member.goes_on:
                self._poll()
                self._settle(0)
                self._flush_due()
                self._hold_memory()
                self._measure_lag()
        except PipelineError as error:
            member.failure = error
        self._finish()
        if member.failure is not None:
            raise member.failure

    def _finish(self) -> None:
        try:
            self._flush_and_wait(list(self._buffers))
        except PipelineError as error:
            self._member.failure = self._member.failure or error
        finally:
            self._flusher.close()
            self._maintenance.close()
            self._buffers.discard(self._buffers)
            self._consumer.close()

    def _poll(self) -> None:
        timeout = min(_POLL_SECONDS, self._options.flush.seconds / 4)
        messages = self._consumer.consume(POLL_ROWS, timeout)
        if not messages:
            return
        events = list(filter(Message.error, messages))
        if events:
            messages = [message for message in messages if message.error() is None]
        if messages:
            self._member.take(messages, self._tables.identities())
        # After the records: an end of partition comes after the records polled together with it.
        for event in events:
            self._member.see(event, self._check_position)

    def _flush_due(self) -> None:
        now = time.monotonic()
        due = [
            topic
            for topic, buffer in self._buffers.items()
            if buffer.is_due(self._options.flush, now) and not self._flusher.is_busy(topic)
        ]
        self._flush(due)

    def _flush(self, topics: Sequence[str]) -> bool:
        if not topics:
            return True
        try:
            # Records polled before this answer belong to the incarnation that it names.
            self._tables.verify(topics)
        except RetryLaterError as error:
            _log.warning("flush_postponed", reason=str(error))
            return False
        for topic in topics:
            table = self._tables[topic]
            batch = self._buffers.take(topic)
            self._flusher.submit(topic, table.name, table.delta, batch)
        return True

    def _settle(self, timeout_seconds: float) -> None:
        for flushed in self._flusher.collect(timeout_seconds):
            self._measure(flushed)
            for partition, position in flushed.outcome.gaps.items():
                self._member.go_back(partition, position)
            self._member.tell_group(flushed.outcome.landed)

    def _hold_memory(self) -> None:
        limit = self._options.memory_bytes
        if self._held() > limit and not self._member.is_paused:
            # A short wait first: pausing discards what librdkafka has prefetched.
            self._settle(_POLL_SECONDS)
            self._flush_due()
            if self._held() > limit:
                self._pause()
        elif self._member.is_paused and self._held() <= limit // 2:
            self._resume()
        self._metrics.memory.set(self._held())

    def _held(self) -> int:
        return self._flusher.bytes_under_way + self._buffers.bytes

    def _pause(self) -> None:
        self._member.pause()
        self._metrics.paused.set(1)
        _log.warning("paused", held_bytes=self._held())

    def _resume(self) -> None:
        self._member.resume()
        self._metrics.paused.set(0)
        _log.info("resumed", held_bytes=self._held())

    def _measure(self, flushed: Flushed) -> None:
        landing = self._tables[flushed.topic]
        table = landing.name
        rows = flushed.batch.rows
        self._metrics.rows.labels(table).inc(flushed.outcome.rows)
        self._metrics.bytes.labels(table).inc(rows.nbytes)
        self._metrics.commits.labels(table).inc()
        self._maintenance.committed(table, landing.delta.delta.version())
        self._metrics.commit_seconds.labels(table).observe(flushed.seconds)
        if rows.num_rows:
            now = time.time()
            oldest = rows["_timestamp"].chunk(0)[0].value / 1e6
            self._metrics.freshness.labels(table).set(max(0.0, now - oldest))
            newest = rows.group_by("_partition").aggregate([("_timestamp", "max")])
            for one in newest.to_pylist():
                partition = (flushed.topic, one["_partition"])
                # Connect's clock may be ahead: then the age is measured from now.
                self._newest[partition] = min(one["_timestamp_max"].timestamp(), now)

    def _measure_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_measured < _LAG_SECONDS:
            return
        self._lag_measured = now
        for topic in self._member.assigned.topics():
            table = self._tables[topic].name
            lags = self._member.lags(topic, self._flusher.starts_under_way(topic))
            for coordinate, lag in lags.items():
                self._metrics.lag.labels(table, coordinate.partition).set(lag)
                landed = self._newest.get((topic, coordinate.partition))
                seconds = max(0.0, time.time() - landed) if lag and landed else 0
                self._metrics.lag_seconds.labels(table, coordinate.partition).set(seconds)

    def _before_revoke(self, topics: Collection[str]) -> None:
        self._metrics.forget_lags()
        try:
            self._flush_and_wait([topic for topic in self._buffers if topic in topics])
        except PipelineError as error:
            self._member.failure = self._member.failure or error

    def _flush_and_wait(self, topics: Sequence[str]) -> None:
        """Commit the buffers of these topics, as far as the time limit allows."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        pending = set(topics)
        while pending and time.monotonic() < deadline:
            ready = [t for t in pending if t in self._buffers and not self._flusher.is_busy(t)]
            if not self._flush(ready):
                return  # The next owner reads the rest again.
            self._settle(0.2)
            pending = {t for t in pending if t in self._buffers or self._flusher.is_busy(t)}

    def _check_position(self, message: Message) -> None:
        """Record a loss if the broker does not have the requested position, yet or any more."""
        topic, number = message.topic() or "", message.partition() or 0
        positions = self._tables.starting_positions(
            {topic: [number]}, self._member.offset_range, accept_loss=False
        )
        for partition, position in positions.items():
            self._member.go_back(partition, position)
