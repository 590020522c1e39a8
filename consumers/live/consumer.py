"""Polls Kafka and applies each micro-batch to the overlay, exactly once.

Starting positions are read from the warehouse. The group's committed offsets are written only for
standard lag tools and never read.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog
from confluent_kafka import Consumer, Message

from consumers.buffer import Buffers, TableBuffer
from consumers.live.changes import PROMPT
from consumers.live.heartbeats import Heartbeat, Heartbeats
from consumers.live.metrics import LiveMetrics
from consumers.live.overlay import ChangeSet, Overlay
from consumers.live.positions import LivePositions, entity_of
from consumers.membership import Membership
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.offsets import TopicPartition

_POLL_SECONDS = 0.1
_IDLE_SECONDS = 1.0
"""How long recording the end of a partition may be delayed when no record comes with it."""
_HOUSEKEEPING_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """Topics and limits of one consumer.

    Attributes:
        pattern: regular expression of the topics with changes.
        heartbeats: topic of the shop's heartbeats.
        batch_rows: records of one batch, at most.
        batch_bytes: records as Kafka has them that wait for a batch, about: a record may have a
            megabyte.
        linger_seconds: how long to wait to fill a batch.
        patience_seconds: how long to wait to fill a batch of entities that are not part of a sale.
        max_rows: maximum number of rows in the overlay.
    """

    pattern: str
    heartbeats: str
    batch_rows: int
    batch_bytes: int
    linger_seconds: float
    patience_seconds: float
    max_rows: int


class LiveConsumer:
    """One member of the consumer group. Not thread-safe, except for `stop`."""

    def __init__(
        self,
        consumer: Consumer,
        overlay: Overlay,
        positions: LivePositions,
        heartbeats: Heartbeats,
        metrics: LiveMetrics,
        options: LiveOptions,
    ) -> None:
        self._consumer = consumer
        self._overlay = overlay
        self._positions = positions
        self._heartbeats = heartbeats
        self._metrics = metrics
        self._options = options
        self._buffers = Buffers()
        self._member = Membership(
            consumer, positions.starting_positions, self._buffers, name="live",
            untracked=[options.heartbeats],
        )  # fmt: skip
        self._heartbeat: Heartbeat | None = None
        self._tries = 0
        self._is_full = False
        self._next_housekeeping = 0.0

    def stop(self) -> None:
        """Leave the group, and return from `run`."""
        self._member.stopping.set()

    def run(self) -> None:
        """Apply changes to the overlay until stopped.

        Raises:
            StopPipelineError: continuing makes no sense.
        """
        member = self._member
        topics = [self._options.pattern, f"^{self._options.heartbeats}$"]
        member.subscribe(topics, self._before_revoke)
        try:
            while member.goes_on:
                self._poll()
                self._flush()
                self._keep_house()
        except PipelineError as error:
            member.failure = error
        finally:
            self._consumer.close()
            self._overlay.close()
        if member.failure is not None:
            raise member.failure

    def _poll(self) -> None:
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            return
        self._take([first])
        if not self._member.is_paused:
            rest = self._options.batch_rows - 1
            self._take(self._consumer.consume(rest, self._options.linger_seconds))

    def _take(self, messages: Sequence[Message]) -> None:
        events: list[Message] = []
        records: dict[str, list[Message]] = {}
        for message in messages:
            if message.error() is None:
                records.setdefault(message.topic() or "", []).append(message)
            else:
                events.append(message)
        heartbeats = records.pop(self._options.heartbeats, None)
        for topic, changes in records.items():
            self._member.take_each(topic, changes, self._positions.identities())
        # While polling is paused, a heartbeat does not show how fresh charts are.
        if heartbeats and not self._member.is_paused and (sent_at := _sent_at(heartbeats[-1])):
            self._heartbeats.hold(sent_at, self._member.assigned.positions)
        # After the records: an end of partition comes after the records polled together with it.
        for event in events:
            self._member.see(event, _refuse)

    def _flush(self) -> None:
        try:
            self._apply(self._due())
            if (newest := self._heartbeats.passed(self._shown()) or self._heartbeat) is not None:
                self._heartbeat = newest  # until it is written: the warehouse may be unavailable
                self._overlay.heartbeat(newest.sent_at, held_seconds=newest.held_seconds)
                self._heartbeat = None
        except RetryLaterError as error:
            self._wait(error)
        else:
            self._tries = 0
            if not self._is_full:
                self._resume()

    def _due(self) -> Collection[str]:
        """Return the topics to apply now: those of a sale at once, and one of the others in turn.

        The cost of a batch depends on the number of its topics more than of its records, and the
        sooner it ends, the sooner the next sale is applied. Ends of partitions alone can wait
        longest.
        """
        now, buffers = time.monotonic(), self._buffers
        if buffers.bytes >= self._options.batch_bytes:
            return list(buffers)
        due = [topic for topic, one in buffers.items() if entity_of(topic) in PROMPT]
        if not any(buffers[topic].rows for topic in due):
            due = []
        late = [topic for topic in buffers if topic not in due and self._is_late(topic, now)]
        # Dictionaries are ordered: those that have waited longest come first.
        due += late[:1]
        due += [topic for topic in late[1:] if not buffers[topic].rows]
        return due

    def _is_late(self, topic: str, now: float) -> bool:
        buffer = self._buffers[topic]
        if buffer.rows >= self._options.batch_rows:
            return True
        patience = self._options.patience_seconds if buffer.rows else _IDLE_SECONDS
        return buffer.has_waited(patience, now)

    def _shown(self) -> Mapping[TopicPartition, int]:
        """Return the position up to which charts show each partition, without buffered records."""
        shown = dict(self._member.assigned.positions)
        for buffer in self._buffers.values():
            if buffer.rows:
                shown |= buffer.starts
        return shown

    def _apply(self, topics: Collection[str]) -> None:
        began = time.monotonic()
        held = self._buffers
        buffers = {topic: held[topic] for topic in topics if not held[topic].is_empty}
        if not buffers:
            return
        change_sets = [self._change_set(topic, buffer) for topic, buffer in buffers.items()]
        outcome = self._overlay.apply(change_sets)
        held.discard(buffers)
        self._metrics.batch_seconds.observe(time.monotonic() - began)
        self._measure(change_sets)
        for partition, position in outcome.gaps.items():
            self._member.go_back(partition, position)
        self._member.tell_group(outcome.landed)

    def _change_set(self, topic: str, buffer: TableBuffer) -> ChangeSet:
        entity = entity_of(topic)
        epoch = self._positions.identities()[topic].epoch
        batch = buffer.polled()
        rows = self._overlay.readers[entity].read(batch.rows) if buffer.rows else None
        return ChangeSet(entity=entity, epoch=epoch, batch=batch, rows=rows)

    def _wait(self, error: RetryLaterError) -> None:
        """Back off while the warehouse is unavailable: keep buffers, and stay in the group."""
        self._tries += 1
        self._metrics.retries.inc()
        pause = min(0.1 * 2**self._tries, _LONGEST_PAUSE_SECONDS)
        _log.warning(
            "waiting_for_warehouse", tries=self._tries, pause_seconds=pause, reason=str(error)
        )
        self._pause()
        deadline = time.monotonic() + pause
        while time.monotonic() < deadline and not self._member.stopping.is_set():
            self._poll()

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now < self._next_housekeeping:
            return
        self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
        for topic in self._member.assigned.topics():
            for coordinate, lag in self._member.lags(topic).items():
                self._metrics.lag.labels(entity_of(topic), coordinate.partition).set(lag)
        try:
            is_full = self._overlay.note_size(self._options.max_rows)
        except RetryLaterError:
            return
        if is_full != self._is_full:
            self._is_full = is_full
            _log.warning("overlay_full", is_full=is_full, max_rows=self._options.max_rows,
                         advice="run ./pipeline consolidate to make room")  # fmt: skip
            (self._pause if is_full else self._resume)()

    def _pause(self) -> None:
        if not self._member.is_paused:
            self._member.pause()
            self._metrics.paused.set(1)

    def _resume(self) -> None:
        if self._member.is_paused:
            self._member.resume()
            self._metrics.paused.set(0)

    def _measure(self, change_sets: Sequence[ChangeSet]) -> None:
        newest = None
        for change_set in change_sets:
            self._metrics.changes.labels(change_set.entity).inc(change_set.batch.rows.num_rows)
            if change_set.rows is not None:
                self._metrics.quarantined.labels(change_set.entity).inc(change_set.rows.quarantined)
                newest = max(newest or 0, change_set.rows.committed_us or 0)
        if newest:
            self._metrics.behind.set(max(0.0, time.time() - newest / 1e6))

    def _before_revoke(self, _topics: Collection[str]) -> None:
        self._metrics.lag.clear()
        try:
            self._apply(list(self._buffers))
        except RetryLaterError as error:
            _log.info("batch_left_to_next_owner", reason=str(error))
        except StopPipelineError as error:
            self._member.failure = self._member.failure or error


def _refuse(event: Message) -> None:
    problem = f"{event.topic()}[{event.partition()}]: Kafka no longer has live's next offset"
    action = "Bronze may have it: run ./pipeline consolidate, then ./pipeline up live."
    raise StopPipelineError(problem, action)


def _sent_at(heartbeat: Message) -> datetime | None:
    """Return when a heartbeat was sent; None if that is outside Python's range of dates."""
    value = heartbeat.value()
    after = orjson.loads(value).get("after") if value else None
    if not after:
        return None
    # Until version 0.1 the column was called beat_at.
    sent_at = str(after.get("sent_at") or after.get("beat_at"))
    try:
        return datetime.fromisoformat(sent_at)
    except ValueError:
        _log.warning("heartbeat_out_of_range", sent_at=sent_at)
        return None
