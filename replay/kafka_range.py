"""Reads a range of a topic from Kafka, a window at a time, outside any consumer group."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from consumers.client import OUT_OF_RANGE, consumer_config
from consumers.records import to_arrow
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.kafka import QuietLog, Topic, explain_kafka
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicIdentity, batches
from lakehouse.selection import Selection
from lakehouse.settings import KafkaSettings

PartitionRanges = Mapping[int, OffsetRange]
"""Offset ranges by partition."""
_TIMEOUT_SECONDS = 10.0
_AT_ONCE = 10_000
_MOST_BYTES = 128 * 1024 * 1024
"""Of records that are read at a time: one may have megabytes."""
_POLL_SECONDS = 0.1
_SILENCE_SECONDS = 60.0
"""Time without a message after which the broker counts as unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Selected positions of a topic, and those of them that Kafka no longer has."""

    ranges: dict[int, OffsetRange]
    gone: dict[int, OffsetRange]

    def require(self, topic: Topic) -> None:
        """Raise if part of the range is gone.

        Raises:
            StopPipelineError: lists the missing offsets, and the options to replay the rest.
        """
        if not self.gone:
            return
        parts = "; ".join(
            f"{topic.name}[{number}] {offsets.start} to {offsets.stop - 1}"
            for number, offsets in sorted(self.gone.items())
        )
        options = " ".join(
            f"--from-offset {number}:{offsets.start}"
            for number, offsets in sorted(self.ranges.items())
        )
        rest = f"Replay the rest: {options}." if options else "Nothing is left."
        message = (
            f"Kafka no longer has these offsets: {parts}. {rest} Layers above bronze are replayed "
            "from bronze, which keeps them."
        )
        raise StopPipelineError(message)


class KafkaRange:
    """A reader of any positions of one topic, in any order. Use it as a context manager."""

    def __init__(self, kafka: KafkaSettings, topic: Topic, identity: TopicIdentity) -> None:
        config = consumer_config(
            kafka,
            client_id="replay",
            # The client requires it, but partitions are assigned manually and no group is joined.
            group_id="replay",
            session_timeout_ms=45_000,
            topic_refresh_seconds=60,
        )
        self._consumer = Consumer(config, logger=QuietLog())
        self._topic = topic
        self._identity = identity

    def __enter__(self) -> "KafkaRange":
        """Return the reader itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the consumer."""
        self._consumer.close()

    def resolve(
        self,
        chosen: Selection,
        ends: Mapping[int, int],
        *,
        known_since: Mapping[int, int] | None = None,
    ) -> Range:
        """Resolve a selection into offset ranges before the given ends.

        Args:
            chosen: offsets and times.
            ends: end offset by partition.
            known_since: first offset by partition for the selection's start time, from bronze,
                which keeps records that Kafka has dropped.

        Raises:
            StopPipelineError: the topic has no such partition.
            RetryLaterError: the broker does not answer.
        """
        chosen.require_known(self._topic.name, range(self._topic.partition_count))
        since, until = self._at(chosen.since), self._at(chosen.until)
        for number, offset in (known_since or {}).items():
            since[number] = min(offset, since.get(number, offset))
        ranges, gone = {}, {}
        for number, end in ends.items():
            offsets = chosen.offsets(
                number, end=end, since=since.get(number), until=until.get(number)
            )
            if offsets is None:
                continue
            oldest, _ = self._watermarks(number)
            if offsets.start < oldest:
                gone[number] = OffsetRange(start=offsets.start, stop=min(offsets.stop, oldest))
            if oldest < offsets.stop:
                ranges[number] = OffsetRange(start=max(offsets.start, oldest), stop=offsets.stop)
        return Range(ranges=ranges, gone=gone)

    def read(self, ranges: PartitionRanges) -> tuple[pa.Table, dict[int, OffsetRange]]:
        """Read committed records from the beginning of some ranges, until they are large enough.

        Returns:
            Columns of `BRONZE_SCHEMA`, and the parts of the ranges of which they are all records.

        Raises:
            RetryLaterError: the broker does not answer.
            StopPipelineError: the broker no longer has them.
        """
        wanted = {
            number: offsets for number, offsets in ranges.items() if offsets.start < offsets.stop
        }
        starts = [KafkaPartition(self._topic.name, n, s.start) for n, s in wanted.items()]
        self._consumer.assign(starts)
        # The client remembers paused partitions across assignments.
        self._consumer.resume(starts)
        left, batches, size = dict(wanted), [], 0
        for batch in self._until_done(wanted, left):
            batches.append(batch)
            size += batch.nbytes
            if size >= _MOST_BYTES:
                break
        self._consumer.unassign()
        rows = pa.Table.from_batches(batches, schema=BRONZE_SCHEMA)
        last = rows.group_by("_partition").aggregate([("_offset", "max")]).to_pylist()
        stops = {one["_partition"]: one["_offset_max"] + 1 for one in last}
        done = {n: s.stop if n not in left else stops.get(n, s.start) for n, s in wanted.items()}
        return rows, {
            number: OffsetRange(start=offsets.start, stop=done[number])
            for number, offsets in wanted.items()
            if done[number] > offsets.start
        }

    def _until_done(
        self, wanted: PartitionRanges, left: dict[int, OffsetRange]
    ) -> Iterator[pa.RecordBatch]:
        """Yield records, and take from `left` what was read to its end."""
        heard_at = time.monotonic()
        while left:
            # Returns when it has that many or on timeout, not when the partitions end.
            messages = self._consumer.consume(_AT_ONCE, timeout=_POLL_SECONDS)
            heard_at = time.monotonic() if messages else heard_at
            if time.monotonic() - heard_at > _SILENCE_SECONDS:
                raise RetryLaterError(self._silence(left))
            for message in filter(Message.error, messages):
                self._finish(left, self._ended(message))
            records = [message for message in messages if not message.error()]
            if records:
                batch = to_arrow(records, {self._topic.name: self._identity})[self._topic.name]
                yield self._within(batch, wanted, left)

    def _within(
        self, batch: pa.RecordBatch, wanted: PartitionRanges, left: dict[int, OffsetRange]
    ) -> pa.RecordBatch:
        """Drop records beyond the ranges."""
        partition, offset = batch["_partition"], batch["_offset"]
        keeps = pc.and_(pc.equal(partition, -1), pc.equal(offset, -1))
        for number in pc.unique(partition).to_pylist():
            is_mine = pc.equal(partition, number)
            stop = wanted[number].stop
            keeps = pc.or_(keeps, pc.and_(is_mine, pc.less(offset, stop)))
            if pc.max(offset.filter(is_mine)).as_py() >= stop - 1:
                self._finish(left, number)
        return batch.filter(keeps)

    def _ended(self, message: Message) -> int:
        """Return the partition whose end was reached; after its last record may be markers only."""
        error, number = message.error(), message.partition()
        if error is None or number is None or error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            raise self._refused(error)
        return number

    def _finish(self, left: dict[int, OffsetRange], number: int) -> None:
        if left.pop(number, None) is not None:
            self._consumer.pause([KafkaPartition(self._topic.name, number)])

    def _watermarks(self, number: int) -> tuple[int, int]:
        partition = KafkaPartition(self._topic.name, number)
        try:
            found = self._consumer.get_watermark_offsets(partition, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise explain_kafka(error, self._topic.name) from error
        return found

    def _at(self, moment: datetime | None) -> dict[int, int]:
        """Return each partition's first offset that is not older, if there is one."""
        if moment is None:
            return {}
        # Kafka interprets -1 and -2 as the end and the beginning.
        milliseconds = max(0, int(moment.timestamp() * 1000))
        timestamps = [
            KafkaPartition(self._topic.name, number, milliseconds)
            for number in range(self._topic.partition_count)
        ]
        try:
            found = self._consumer.offsets_for_times(timestamps, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise explain_kafka(error, self._topic.name) from error
        for one in found:
            if one.error is not None:
                raise self._refused(one.error)
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def _silence(self, left: PartitionRanges) -> str:
        parts = ", ".join(f"{n} ({s.start} to {s.stop - 1})" for n, s in sorted(left.items()))
        return (
            f"{self._topic.name}: Kafka has sent nothing from partitions {parts} for a minute. "
            "Is it up? ./pipeline status. Run the same replay again: it resumes where it stopped."
        )

    def _refused(self, error: KafkaError | None) -> PipelineError:
        if error is not None and error.code() in OUT_OF_RANGE:
            message = f"{self._topic.name}: Kafka has just dropped records of the range: {error}"
            return StopPipelineError(message, "Begin later: --from-offset.")
        if error is None:
            return RetryLaterError(f"{self._topic.name}: no record, no error", "Try again.")
        return explain_kafka(error, f"{self._topic.name} cannot be read")


def in_windows(
    source: KafkaRange, ranges: PartitionRanges, offsets: int
) -> Iterator[tuple[pa.Table, dict[int, OffsetRange]]]:
    """Yield what `KafkaRange.read` returns, about so many offsets at a time, for all of the ranges.

    Raises:
        RetryLaterError: the broker does not answer.
        StopPipelineError: the broker no longer has them.
    """
    left = dict(ranges)
    while window := next(batches(left, positions=offsets), None):
        rows, done = source.read(window)
        yield rows, done
        left |= {n: OffsetRange(start=one.stop, stop=left[n].stop) for n, one in done.items()}
