"""A member of a consumer group that stores its positions with its data.

Tracks assigned partitions and how far each was polled, and buffers what was polled. The group's
committed offsets are written only for standard lag tools and never read.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from consumers.assignment import Assignment
from consumers.buffer import Buffers, Chunk
from consumers.client import OUT_OF_RANGE
from consumers.records import Polled, to_arrow
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.kafka import explain_kafka, trouble_of_kafka
from lakehouse.offsets import OffsetRange, TopicIdentity, TopicPartition
from lakehouse.trouble import Trouble

BrokerRange = Callable[[TopicPartition], tuple[int, int]]
"""Returns the broker's oldest and end offset of a partition."""
Starts = Callable[[Mapping[str, Collection[int]], BrokerRange], Mapping[TopicPartition, int]]
"""Returns the starting positions of these partitions, given by topic.

If it raises `StopPipelineError`, the consumer ends; after any other error it is called again.
"""
_LONGEST_PAUSE_SECONDS = 5.0
_BROKER_TIMEOUT_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class Membership:
    """One group member, whose consumer is polled by its owner. Not thread-safe, except `stopping`.

    Attributes:
        assigned: assigned partitions and their positions.
        is_paused: whether polling of changes is paused.
        failure: error that ends the consumer; raised by its loop, as it may occur in a callback.
        stopping: set to leave the group.
    """

    def __init__(
        self,
        consumer: Consumer,
        starts: Starts,
        buffers: Buffers,
        *,
        name: str,
        untracked: Collection[str] = (),
    ) -> None:
        """Create a member that has not joined yet; see `subscribe`.

        Args:
            consumer: the Kafka client.
            starts: called when partitions are assigned.
            buffers: for polled records; their owner commits and removes them.
            name: of the program, for messages.
            untracked: topics that are read from the end, have no positions, and are never paused.
        """
        self.assigned = Assignment()
        self.is_paused = False
        self.failure: PipelineError | None = None
        self.stopping = threading.Event()
        self._consumer = consumer
        self._starts = starts
        self._buffers = buffers
        self._name = name
        self._untracked = frozenset(untracked)

    @property
    def goes_on(self) -> bool:
        """Return whether the loop should continue: no failure, not stopping."""
        return not self.stopping.is_set() and self.failure is None

    def subscribe(
        self, patterns: Sequence[str], before_revoke: Callable[[Collection[str]], None]
    ) -> None:
        """Join the group.

        Args:
            patterns: regular expressions of topics.
            before_revoke: commits the buffers of these topics, as far as possible.
        """

        def on_revoke(consumer: Consumer, partitions: list[KafkaPartition]) -> None:
            before_revoke({partition.topic for partition in partitions})
            self._forget(partitions)
            consumer.incremental_unassign(partitions)
            _log.info("revoked", partitions=_names(partitions))

        self._consumer.subscribe(
            list(patterns),
            on_assign=self._on_assign,
            on_revoke=on_revoke,
            on_lost=self._on_lost,
        )

    def take(self, messages: Sequence[Message], identities: Mapping[str, TopicIdentity]) -> None:
        """Buffer the records of assigned partitions, and drop those of revoked ones.

        Must be called after each poll: the next one may revoke the partitions of these records,
        and assign them again from a position that does not count them.
        A poll that does both returns none of them: librdkafka drops what it had for the poll of a
        partition whose fetching stopped or was moved (its barriers, since 2.1).
        """
        for topic, chunk in to_arrow(messages, dict(identities)).items():
            self._add(topic, *self.assigned.advance(topic, chunk))

    def take_each(
        self, topic: str, messages: Sequence[Message], identities: Mapping[str, TopicIdentity]
    ) -> None:
        """Do the same as `take` with messages of one topic, and keep them as they are."""
        kept, ranges = self.assigned.advance_each(topic, messages)
        self._add(topic, Polled(messages=kept, identity=identities[topic]), ranges)

    def see(self, event: Message, on_out_of_range: Callable[[Message], None]) -> None:
        """Handle an event that is not a record. Records polled with it must be buffered before.

        Args:
            event: a message with an error.
            on_out_of_range: called if the broker does not have the requested position of a
                partition that is assigned.

        Raises:
            RetryLaterError: the client failed, but a new one can continue.
            StopPipelineError: this user may not read.
        """
        error = event.error()
        if error is None:
            return
        if error.fatal():
            # A new process has a new client.
            problem = f"Kafka client failed permanently: {error}"
            raise RetryLaterError(problem, f"Run {self._name} again.")
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._see_end(event)
        elif error.code() in OUT_OF_RANGE:
            if self._partition_of(event) is not None:
                on_out_of_range(event)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            _log.info("waiting_for_topics", reason=error.str())
        elif trouble_of_kafka(error) is Trouble.RIGHTS:
            # The client retries forever.
            raise explain_kafka(error, f"{event.topic() or 'Kafka'} cannot be read")
        else:
            _log.warning("kafka_error", error=str(error))

    def go_back(self, partition: TopicPartition, position: int) -> None:
        """Read a partition again from another position."""
        if partition not in self.assigned:
            return
        _log.warning("offset_gap", partition=str(partition), seek=position)
        self._buffers.drop(partition)
        self.assigned.add({partition: position})
        self._consumer.seek(KafkaPartition(partition.topic, partition.partition, position))

    def tell_group(self, landed: Mapping[TopicPartition, int]) -> None:
        """Commit the last landed offsets to the group, for lag tools."""
        offsets = [
            KafkaPartition(p.topic, p.partition, last + 1)
            for p, last in landed.items()
            if p in self.assigned
        ]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.debug("group_offsets_not_committed", error=str(error))

    def lags(
        self, topic: str, under_way: Mapping[TopicPartition, int] = MappingProxyType({})
    ) -> dict[TopicPartition, int]:
        """Return the number of offsets not committed yet, from the client's latest high watermarks.

        Args:
            topic: the topic of the partitions.
            under_way: first offsets of the batch that is being committed.
        """
        buffer = self._buffers.get(topic)
        waiting = {**(buffer.starts if buffer else {}), **under_way}
        return {
            partition: max(0, self._end(partition) - waiting.get(partition, position))
            for partition, position in self.assigned.positions.items()
            if partition.topic == topic
        }

    def offset_range(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the broker's oldest and end offset."""
        coordinate = KafkaPartition(partition.topic, partition.partition)
        oldest, end = self._consumer.get_watermark_offsets(
            coordinate, timeout=_BROKER_TIMEOUT_SECONDS
        )
        return oldest, end

    def pause(self) -> None:
        """Stop polling changes, but stay in the group."""
        self._consumer.pause(self._tracked(self._consumer.assignment()))
        self.is_paused = True

    def resume(self) -> None:
        """Resume polling."""
        self._consumer.resume(self._consumer.assignment())
        self.is_paused = False

    def _add(
        self, topic: str, chunk: Chunk | None, ranges: Mapping[TopicPartition, OffsetRange]
    ) -> None:
        if ranges:
            self._buffers.add(topic, chunk, ranges, time.monotonic())

    def _see_end(self, event: Message) -> None:
        """Advance the watermark past trailing transaction markers, whose expiry is no loss."""
        partition = self._partition_of(event)
        if partition is None:
            return
        offsets = self.assigned.see_end(partition, event.offset() or 0)
        if offsets is not None:
            self._add(partition.topic, None, {partition: offsets})

    def _partition_of(self, event: Message) -> TopicPartition | None:
        """Return the partition of an event; None if it was revoked meanwhile."""
        return self.assigned.find(event.topic() or "", event.partition() or 0)

    def _end(self, partition: TopicPartition) -> int:
        coordinate = KafkaPartition(partition.topic, partition.partition)
        _, end = self._consumer.get_watermark_offsets(coordinate, cached=True)
        return max(0, end)

    def _tracked(self, partitions: Sequence[KafkaPartition]) -> list[KafkaPartition]:
        return [p for p in partitions if p.topic not in self._untracked]

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        wanted: dict[str, list[int]] = {}
        for partition in self._tracked(partitions):
            wanted.setdefault(partition.topic, []).append(partition.partition)
        positions = self._starting_positions(wanted)
        if positions is None:
            consumer.incremental_assign([])
            return
        self.assigned.add(positions)
        from_end = [p for p in partitions if p.topic in self._untracked]
        consumer.incremental_assign(
            [
                *(KafkaPartition(p.topic, p.partition, start) for p, start in positions.items()),
                *(KafkaPartition(p.topic, p.partition, OFFSET_END) for p in from_end),
            ]
        )
        if self.is_paused:
            consumer.pause(self._tracked(consumer.assignment()))
        _log.info("assigned", partitions=[f"{p}@{start}" for p, start in positions.items()])

    def _starting_positions(
        self, wanted: Mapping[str, Collection[int]]
    ) -> Mapping[TopicPartition, int] | None:
        pause = 0.1
        while wanted and not self.stopping.is_set():
            try:
                return self._starts(wanted, self.offset_range)
            except StopPipelineError as error:
                # An exception would pass through librdkafka's callback; the loop raises it instead.
                self.failure = error
                return None
            except Exception as error:  # noqa: BLE001 - a service is unavailable: retry until stopped
                _log.warning("assignment_waits", error=str(error), pause_seconds=pause)
                self.stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        return None if wanted else {}

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._forget(partitions)
        consumer.incremental_unassign(partitions)
        _log.warning("partitions_lost", partitions=_names(partitions))

    def _forget(self, partitions: Sequence[KafkaPartition]) -> None:
        for coordinate in partitions:
            partition = self.assigned.find(coordinate.topic, coordinate.partition)
            if partition is None:
                continue
            self.assigned.remove(partition)
            self._buffers.drop(partition)


def _names(partitions: Sequence[KafkaPartition]) -> list[str]:
    return [f"{p.topic}[{p.partition}]" for p in partitions]
