"""Polls Kafka and takes each micro-batch into the overlay, exactly once.

Where to go on is read from the warehouse. The group's committed offsets are written only so that
ordinary lag tools work; nothing reads them back.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl
import pyarrow as pa
import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from consumers.assignment import Assignment
from consumers.buffer import TableBuffer
from consumers.commit import Outcome
from consumers.live.metrics import LiveMetrics
from consumers.live.overlay import Overlay, Part
from consumers.live.places import LivePlaces, entity_of
from consumers.records import to_arrow
from lakehouse.coordinates import TopicPartition
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA

_POLL_SECONDS = 0.1
_IDLE_SECONDS = 1.0
"""How long the end of a partition may wait to be noted when no record comes with it."""
_HOUSEKEEPING_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 5.0
_BROKER_TIMEOUT_SECONDS = 10.0
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_NO_RECORDS = pa.RecordBatch.from_pylist([], schema=BRONZE_SCHEMA)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What one consumer reads, and its limits.

    Attributes:
        pattern: of the topics with changes.
        heartbeats: topic of the shop's heartbeats.
        batch_rows: records of one batch, at most.
        linger_seconds: wait for more of a batch.
        max_rows: of the overlay.
    """

    pattern: str
    heartbeats: str
    batch_rows: int
    linger_seconds: float
    max_rows: int


class LiveConsumer:
    """One member of the consumer group. Not thread-safe; `stop` may come from anywhere."""

    def __init__(
        self,
        consumer: Consumer,
        overlay: Overlay,
        places: LivePlaces,
        metrics: LiveMetrics,
        options: LiveOptions,
    ) -> None:
        self._consumer = consumer
        self._overlay = overlay
        self._places = places
        self._metrics = metrics
        self._options = options
        self._assigned = Assignment()
        self._buffers: dict[str, TableBuffer] = {}
        self._beat: str | None = None
        self._tries = 0
        self._paused = False
        self._is_full = False
        self._next_housekeeping = 0.0
        self._failure: PipelineError | None = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """Leave the group, and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Keep the overlay until stopped.

        Raises:
            StopPipelineError: going on makes no sense.
        """
        self._consumer.subscribe(
            [self._options.pattern, f"^{self._options.heartbeats}$"],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            while not self._stop.is_set() and self._failure is None:
                self._poll()
                self._flush()
                self._keep_house()
        except PipelineError as error:
            self._failure = error
        finally:
            self._consumer.close()
            self._overlay.close()
        if self._failure is not None:
            raise self._failure

    def _poll(self) -> None:
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            return
        messages = [first]
        if not self._paused:
            rest = self._options.batch_rows - 1
            messages += self._consumer.consume(rest, self._options.linger_seconds)
        events = [message for message in messages if message.error() is not None]
        records = [message for message in messages if message.error() is None]
        beats = [m for m in records if m.topic() == self._options.heartbeats]
        changes = (
            [m for m in records if m.topic() != self._options.heartbeats] if beats else records
        )
        if changes:
            for topic, chunk in to_arrow(changes, self._places.identities()).items():
                spans = self._assigned.advance(topic, chunk)
                self._buffer(topic).add(chunk, spans, time.monotonic())
        if beats:
            self._beat = _instant_of(beats[-1]) or self._beat
        # After the records: an end that was reached lies behind those polled together with it.
        for event in events:
            self._on_error(event)

    def _buffer(self, topic: str) -> TableBuffer:
        return self._buffers.setdefault(topic, TableBuffer())

    def _flush(self) -> None:
        has_rows = any(buffer.rows for buffer in self._buffers.values())
        if not (has_rows or self._beat or self._is_idle()):
            return
        try:
            if self._buffers and (has_rows or self._is_idle()):
                self._take_in()
            if self._beat is not None:
                self._overlay.beat(self._beat)
                self._beat = None
        except RetryLaterError as error:
            self._wait(error)
        else:
            self._tries = 0
            if self._paused and not self._is_full:
                self._resume()

    def _is_idle(self) -> bool:
        now = time.monotonic()
        return any(buffer.has_waited(_IDLE_SECONDS, now) for buffer in self._buffers.values())

    def _take_in(self) -> None:
        began = time.monotonic()
        parts = [self._part(topic, buffer) for topic, buffer in self._buffers.items()]
        outcome = self._overlay.take_in(parts)
        self._buffers.clear()
        self._metrics.batch_seconds.observe(time.monotonic() - began)
        self._measure(parts)
        for partition, position in outcome.gaps.items():
            self._go_back(partition, position)
        self._tell_group(outcome)

    def _part(self, topic: str, buffer: TableBuffer) -> Part:
        entity = entity_of(topic)
        batch = buffer.held()
        reader = self._overlay.readers.get(entity)
        rows = None
        if reader is not None and batch.rows.num_rows:
            rows = reader.read(pl.DataFrame(batch.rows))
        epoch = self._places.identities()[topic].epoch
        return Part(entity=entity, epoch=epoch, batch=batch, rows=rows)

    def _wait(self, error: RetryLaterError) -> None:
        """The warehouse is away: hold what there is, and stay in the group."""
        self._tries += 1
        self._metrics.retries.inc()
        pause = min(0.1 * 2**self._tries, _LONGEST_PAUSE_SECONDS)
        _log.warning("live_waits", tries=self._tries, pause_seconds=pause, reason=str(error))
        self._pause()
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and not self._stop.is_set():
            self._poll()

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
        for topic in self._assigned.topics():
            self._metrics.lag.labels(entity_of(topic)).set(self._assigned.lag(topic, self._end))
        try:
            is_full = self._overlay.note_size(self._options.max_rows)
        except RetryLaterError:
            return
        if is_full != self._is_full:
            self._is_full = is_full
            _log.warning("live_is_full", is_full=is_full, max_rows=self._options.max_rows,
                         advice="./pipeline consolidate makes room")  # fmt: skip
            (self._pause if is_full else self._resume)()

    def _end(self, partition: TopicPartition) -> int:
        place = KafkaPartition(partition.topic, partition.partition)
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        return max(0, end)

    def _pause(self) -> None:
        if not self._paused:
            self._consumer.pause(self._of_changes(self._consumer.assignment()))
            self._paused = True
            self._metrics.paused.set(1)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
            self._metrics.paused.set(0)

    def _of_changes(self, partitions: Sequence[KafkaPartition]) -> list[KafkaPartition]:
        return [p for p in partitions if p.topic != self._options.heartbeats]

    def _measure(self, parts: Sequence[Part]) -> None:
        newest = None
        for part in parts:
            self._metrics.changes.labels(part.entity).inc(part.batch.rows.num_rows)
            if part.rows is not None:
                self._metrics.put_aside.labels(part.entity).inc(part.rows.put_aside)
                newest = max(newest or 0, part.rows.committed_us or 0)
        if newest:
            self._metrics.behind.set(max(0.0, time.time() - newest / 1e6))

    def _go_back(self, partition: TopicPartition, position: int) -> None:
        if partition in self._assigned:
            _log.warning("gap", partition=str(partition), seek=position)
            self._assigned.add({partition: position})
            self._consumer.seek(KafkaPartition(partition.topic, partition.partition, position))

    def _tell_group(self, outcome: Outcome) -> None:
        offsets = [
            KafkaPartition(p.topic, p.partition, last + 1)
            for p, last in outcome.landed.items()
            if p in self._assigned
        ]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.debug("group_offsets_not_committed", error=str(error))

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        beats = [p for p in partitions if p.topic == self._options.heartbeats]
        wanted: dict[str, list[int]] = {}
        for partition in self._of_changes(partitions):
            wanted.setdefault(partition.topic, []).append(partition.partition)
        positions = self._starting_positions(consumer, wanted) if wanted else {}
        if positions is None:
            consumer.incremental_assign([])
            return
        self._assigned.add(positions)
        consumer.incremental_assign(
            [
                *(KafkaPartition(p.topic, p.partition, start) for p, start in positions.items()),
                *(KafkaPartition(p.topic, p.partition, OFFSET_END) for p in beats),
            ]
        )
        if self._paused:
            consumer.pause(self._of_changes(consumer.assignment()))
        _log.info("assigned", partitions=[f"{p}@{start}" for p, start in positions.items()])

    def _starting_positions(
        self, consumer: Consumer, wanted: Mapping[str, list[int]]
    ) -> dict[TopicPartition, int] | None:
        def offset_range(partition: TopicPartition) -> tuple[int, int]:
            place = KafkaPartition(partition.topic, partition.partition)
            oldest, end = consumer.get_watermark_offsets(place, timeout=_BROKER_TIMEOUT_SECONDS)
            return oldest, end

        pause = 0.1
        while not self._stop.is_set():
            try:
                return self._places.starting_positions(wanted, offset_range)
            except StopPipelineError as error:
                # Raising here would pass through librdkafka's callback; the loop raises it.
                self._failure = error
                return None
            except Exception as error:  # noqa: BLE001 - broker or warehouse away: try until stopped
                _log.warning("assignment_waits", error=str(error), pause_seconds=pause)
                self._stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        return None

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        try:
            if self._buffers:
                self._take_in()
        except RetryLaterError as error:
            _log.info("left_to_the_next", reason=str(error))
        except StopPipelineError as error:
            self._failure = self._failure or error
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        _log.info("revoked", partitions=[f"{p.topic}[{p.partition}]" for p in partitions])

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        _log.warning("lost", partitions=[f"{p.topic}[{p.partition}]" for p in partitions])

    def _forget(self, partitions: Sequence[KafkaPartition]) -> None:
        for place in partitions:
            partition = self._assigned.find(place.topic, place.partition)
            if partition is None:
                continue
            self._assigned.remove(partition)
            if place.topic in self._buffers:
                self._buffers[place.topic].drop(partition)
        self._buffers = {t: b for t, b in self._buffers.items() if b.held().spans}

    def _on_error(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        if error.fatal():
            text = f"Kafka client failed for good: {error}. Run it again: ./pipeline up live"
            raise StopPipelineError(text)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._see_end(message)
        elif error.code() in _OUT_OF_RANGE:
            text = (
                f"{message.topic()}[{message.partition()}]: Kafka no longer has what live needs "
                "next. Bronze may: ./pipeline consolidate, then ./pipeline up live."
            )
            raise StopPipelineError(text)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            _log.info("waiting_for_topics", reason=error.str())
        else:
            _log.warning("kafka", error=str(error))

    def _see_end(self, message: Message) -> None:
        """Let the watermark pass the marks at the end, so that it can be level with the star's."""
        partition = self._assigned.find(message.topic() or "", message.partition() or 0)
        if partition is None:
            return
        span = self._assigned.see_end(partition, message.offset() or 0)
        if span is not None:
            self._buffer(partition.topic).add(_NO_RECORDS, {partition: span}, time.monotonic())


def _instant_of(beat: Message) -> str | None:
    """When the shop's heart beat, as Debezium writes instants."""
    value = beat.value()
    after = orjson.loads(value).get("after") if value else None
    return str(after["beat_at"]) if after else None
