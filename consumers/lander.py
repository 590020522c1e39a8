"""The lander: polls Kafka, fills one buffer a table, and lands each in bronze exactly once.

Where to go on is read from the bronze tables. The group's committed offsets are written only so
that ordinary lag tools work; nothing reads them back.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from consumers.assignment import Assignment
from consumers.buffer import FlushPolicy, TableBuffer
from consumers.flusher import Flushed, Flusher
from consumers.maintenance import Maintenance
from consumers.metrics import LandingMetrics
from consumers.records import to_arrow
from consumers.tables import LandingTables
from lakehouse.coordinates import Span, TopicPartition
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA

_POLL_ROWS = 10_000
_POLL_SECONDS = 0.1
_LAG_SECONDS = 1.0
_SETTLE_SECONDS = 8.0
_BROKER_TIMEOUT_SECONDS = 10.0
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_NO_RECORDS = pa.RecordBatch.from_pylist([], schema=BRONZE_SCHEMA)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanderOptions:
    """Limits of one lander."""

    pattern: str
    flush: FlushPolicy
    memory_bytes: int
    accept_loss: bool = False


class Lander:
    """One member of the consumer group. Not thread-safe; `stop` may come from anywhere."""

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
        self._assigned = Assignment()
        self._lag_measured = 0.0
        self._buffers: dict[str, TableBuffer] = {}
        self._paused = False
        self._failure: PipelineError | None = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """Flush, leave the group, and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Land until stopped.

        Raises:
            LossFoundError: changes are missing; everything else polled so far has been landed.
            StopPipelineError: going on makes no sense.
            RetryLaterError: the store did not answer while stopping; nothing is lost.
        """
        self._consumer.subscribe(
            [self._options.pattern],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            while not self._stop.is_set() and self._failure is None:
                self._poll()
                self._settle(0)
                self._flush_due()
                self._hold_memory()
                self._measure_lag()
        except PipelineError as error:
            self._failure = error
        self._finish()
        if self._failure is not None:
            raise self._failure

    def _finish(self) -> None:
        try:
            self._flush_and_wait(list(self._buffers))
        except PipelineError as error:
            self._failure = self._failure or error
        finally:
            self._flusher.close()
            self._maintenance.close()
            self._buffers.clear()
            self._consumer.close()

    def _poll(self) -> None:
        timeout = min(_POLL_SECONDS, self._options.flush.seconds / 4)
        messages = self._consumer.consume(_POLL_ROWS, timeout)
        if not messages:
            return
        events = list(filter(Message.error, messages))
        if events:
            messages = [message for message in messages if message.error() is None]
        if messages:
            for topic, chunk in to_arrow(messages, self._tables.identities()).items():
                self._buffer(topic, chunk, self._assigned.advance(topic, chunk))
        # After the records: an end that was reached lies behind those polled together with it.
        for event in events:
            self._on_error(event)

    def _buffer(
        self, topic: str, chunk: pa.RecordBatch, spans: Mapping[TopicPartition, Span]
    ) -> None:
        self._buffers.setdefault(topic, TableBuffer()).add(chunk, spans, time.monotonic())

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
            # What was polled before this answer came is of the incarnation that it names.
            self._tables.verify(topics)
        except RetryLaterError as error:
            _log.warning("flush_postponed", reason=str(error))
            return False
        for topic in topics:
            table = self._tables[topic]
            batch = self._buffers.pop(topic).take()
            self._flusher.submit(topic, table.name, table.delta, batch)
        return True

    def _settle(self, timeout_seconds: float) -> None:
        for flushed in self._flusher.collect(timeout_seconds):
            self._measure(flushed)
            for partition, position in flushed.outcome.gaps.items():
                self._go_back(partition, position)
            self._tell_group(flushed)

    def _go_back(self, partition: TopicPartition, position: int) -> None:
        if partition not in self._assigned:
            return
        _log.warning("gap", partition=str(partition), seek=position)
        if partition.topic in self._buffers:
            self._buffers[partition.topic].drop(partition)
        self._assigned.add({partition: position})
        self._consumer.seek(KafkaPartition(partition.topic, partition.partition, position))

    def _tell_group(self, flushed: Flushed) -> None:
        offsets = [
            KafkaPartition(p.topic, p.partition, last + 1)
            for p, last in flushed.outcome.landed.items()
            if p in self._assigned
        ]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.debug("group_offsets_not_committed", error=str(error))

    def _hold_memory(self) -> None:
        limit = self._options.memory_bytes
        if self._held() > limit and not self._paused:
            # A short wait first: pausing throws away what librdkafka has fetched ahead.
            self._settle(_POLL_SECONDS)
            self._flush_due()
            if self._held() > limit:
                self._pause()
        elif self._paused and self._held() <= limit // 2:
            self._resume()
        self._metrics.memory.set(self._held())

    def _held(self) -> int:
        return self._flusher.bytes_under_way + sum(b.bytes for b in self._buffers.values())

    def _pause(self) -> None:
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        self._metrics.paused.set(1)
        _log.warning("paused", held_bytes=self._held())

    def _resume(self) -> None:
        self._consumer.resume(self._consumer.assignment())
        self._paused = False
        self._metrics.paused.set(0)
        _log.info("resumed", held_bytes=self._held())

    def _measure(self, flushed: Flushed) -> None:
        table = self._tables[flushed.topic].name
        rows = flushed.batch.rows
        self._metrics.rows.labels(table).inc(flushed.outcome.rows)
        self._metrics.bytes.labels(table).inc(rows.nbytes)
        self._metrics.commits.labels(table).inc()
        self._maintenance.committed(table)
        self._metrics.commit_seconds.labels(table).observe(flushed.seconds)
        if rows.num_rows:
            oldest = rows["_timestamp"].chunk(0)[0].value / 1e6
            self._metrics.freshness.labels(table).set(max(0.0, time.time() - oldest))

    def _measure_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_measured < _LAG_SECONDS:
            return
        self._lag_measured = now
        for topic in self._assigned.topics():
            lag = self._assigned.lag(topic, self._end)
            buffer = self._buffers.get(topic)
            lag += (buffer.rows if buffer else 0) + self._flusher.rows_under_way(topic)
            self._metrics.lag.labels(self._tables[topic].name).set(lag)

    def _end(self, partition: TopicPartition) -> int:
        place = KafkaPartition(partition.topic, partition.partition)
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        return max(0, end)

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        wanted: dict[str, list[int]] = {}
        for partition in partitions:
            wanted.setdefault(partition.topic, []).append(partition.partition)
        positions = self._starting_positions(consumer, wanted)
        if positions is None:
            consumer.incremental_assign([])
            return
        self._assigned.add(positions)
        consumer.incremental_assign(
            [KafkaPartition(p.topic, p.partition, start) for p, start in positions.items()]
        )
        if self._paused:
            consumer.pause(consumer.assignment())
        _log.info("assigned", partitions=[f"{p}@{start}" for p, start in positions.items()])

    def _starting_positions(
        self, consumer: Consumer, wanted: dict[str, list[int]]
    ) -> dict[TopicPartition, int] | None:
        def offset_range(partition: TopicPartition) -> tuple[int, int]:
            place = KafkaPartition(partition.topic, partition.partition)
            oldest, end = consumer.get_watermark_offsets(place, timeout=_BROKER_TIMEOUT_SECONDS)
            return oldest, end

        pause = 0.1
        while not self._stop.is_set():
            try:
                return self._tables.starting_positions(
                    wanted, offset_range, accept_loss=self._options.accept_loss
                )
            except StopPipelineError as error:
                # Raising here would pass through librdkafka's callback; the loop raises it.
                self._failure = error
                return None
            except Exception as error:  # noqa: BLE001 - broker or store away: try until stopped
                _log.warning("assignment_waits", error=str(error), pause_seconds=pause)
                self._stop.wait(pause)
                pause = min(pause * 2, 5.0)
        return None

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        topics = {partition.topic for partition in partitions}
        try:
            self._flush_and_wait([topic for topic in self._buffers if topic in topics])
        except PipelineError as error:
            self._failure = self._failure or error
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        _log.info("revoked", partitions=[f"{p.topic}[{p.partition}]" for p in partitions])

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        _log.warning("lost", partitions=[f"{p.topic}[{p.partition}]" for p in partitions])

    def _forget(self, partitions: list[KafkaPartition]) -> None:
        for place in partitions:
            partition = self._assigned.find(place.topic, place.partition)
            if partition is None:
                continue
            self._assigned.remove(partition)
            if place.topic in self._buffers:
                self._buffers[place.topic].drop(partition)

    def _flush_and_wait(self, topics: Sequence[str]) -> None:
        """Land what these topics have buffered, as far as that goes within the time to settle."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        pending = set(topics)
        while pending and time.monotonic() < deadline:
            ready = [t for t in pending if t in self._buffers and not self._flusher.is_busy(t)]
            if not self._flush(ready):
                return  # What stays unlanded is read again by whoever comes next.
            self._settle(0.2)
            pending = {t for t in pending if t in self._buffers or self._flusher.is_busy(t)}

    def _on_error(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        if error.fatal():
            text = f"Kafka client failed for good: {error}. Run the lander again."
            raise StopPipelineError(text)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._see_end(message)
        elif error.code() in _OUT_OF_RANGE:
            self._check_position(message)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            _log.info("waiting_for_topics", reason=error.str())
        else:
            _log.warning("kafka", error=str(error))

    def _see_end(self, message: Message) -> None:
        """Let the watermark pass the marks at the end: when they expire, nothing is lost."""
        partition = self._assigned.find(message.topic() or "", message.partition() or 0)
        if partition is None:
            return
        span = self._assigned.see_end(partition, message.offset() or 0)
        if span is not None:
            self._buffer(partition.topic, _NO_RECORDS, {partition: span})

    def _check_position(self, message: Message) -> None:
        """The broker no longer has, or does not have yet, the position asked for."""
        topic, number = message.topic() or "", message.partition() or 0
        positions = self._tables.starting_positions(
            {topic: [number]},
            lambda p: self._consumer.get_watermark_offsets(
                KafkaPartition(p.topic, p.partition), timeout=_BROKER_TIMEOUT_SECONDS
            ),
            accept_loss=False,
        )
        for partition, position in positions.items():
            self._go_back(partition, position)
