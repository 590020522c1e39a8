"""Replays a range of Kafka into the live overlay, replacing the overlay's rows of that range.

Only offsets beyond the warehouse's watermark count there, and those beyond live's watermark are
still to be applied, so the range lies between the two. All of it is one transaction with exclusive
access to the overlay; the live consumer waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from consumers.live.changes import ChangeReader, Rows
from consumers.live.overlay import Overlay
from lakehouse.digest import Digest
from lakehouse.offsets import OffsetRange, TopicIdentity, count_positions
from lakehouse.postgres import speak_canonically, table_digest
from replay.kafka_range import KafkaRange, PartitionRanges, in_windows

Progress = Callable[[int, int], None]
"""Called with the number of offsets done and their total."""
_TOPIC = "select t.topic_id, t.epoch from live.topic as t where t.entity = %s"
_MARKS = """
select l.partition, coalesce(s.last_offset, -1) + 1, l.last_offset + 1
from live.watermark as l
left join etl.watermark as s
    on l.entity = s.entity and l.topic_id = s.topic_id
    and l.epoch = s.epoch and l.partition = s.partition
where l.entity = %s and l.topic_id = %s and l.epoch = %s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReplay:
    """Result of a replay. Digests cover the overlay's rows written by changes of the range."""

    entity: str
    read: int
    before: Digest
    after: Digest


def live_identity(overlay: Overlay, entity: str) -> TopicIdentity | None:
    """Return the incarnation of a table's topic that live reads; None before it has read any.

    Raises:
        RetryLaterError: the warehouse does not answer.
    """

    def known(connection: psycopg.Connection) -> TopicIdentity | None:
        row = connection.execute(_TOPIC, [entity]).fetchone()
        return None if row is None else TopicIdentity(topic_id=row[0], epoch=row[1])

    return overlay.do(known)


def live_ranges(overlay: Overlay, entity: str, identity: TopicIdentity) -> dict[int, OffsetRange]:
    """Return by partition the range from the warehouse's watermark to live's.

    Raises:
        RetryLaterError: the warehouse does not answer.
    """

    def watermarks(connection: psycopg.Connection) -> dict[int, OffsetRange]:
        rows = connection.execute(_MARKS, [entity, identity.topic_id, identity.epoch])
        return {n: OffsetRange(start=min(start, stop), stop=stop) for n, start, stop in rows}

    return overlay.do(watermarks)


@dataclass(kw_only=True)
class LiveReplayer:
    """A replay of one topic into the overlay.

    Attributes:
        overlay: opened as the role `live`.
        reader: parser and validator of the live consumer.
        identity: identity of the topic that records belong to.
        window: number of offsets read at a time.
        on_progress: called with the progress.
    """

    overlay: Overlay
    reader: ChangeReader
    identity: TopicIdentity
    window: int
    on_progress: Progress = lambda _done, _total: None

    def run(self, source: KafkaRange, ranges: PartitionRanges) -> LiveReplay:
        """Read, validate, and replace.

        Raises:
            StopPipelineError: Kafka has dropped part of the range, or the warehouse rejects rows.
            RetryLaterError: a service does not answer. Nothing was changed.
        """
        total = count_positions(ranges.values())
        rows: list[Rows] = []
        done = count = 0
        for records, window in in_windows(source, ranges, self.window):
            self.on_progress(done, total)
            if records.num_rows:
                rows.append(self.reader.read(records))
                count += records.num_rows
            done += count_positions(window.values())
        before, after = self.overlay.do(lambda one: self._replace(one, ranges, rows))
        self.on_progress(total, total)
        entity = self.reader.entity.table
        return LiveReplay(entity=entity, read=count, before=before, after=after)

    def _replace(
        self, connection: psycopg.Connection, ranges: PartitionRanges, rows: Sequence[Rows]
    ) -> tuple[Digest, Digest]:
        entity = self.reader.entity.table
        table, within = sql.Identifier("live", entity), _is_within(self.identity, ranges)
        speak_canonically(connection)
        with connection.transaction():
            connection.execute("select live.own_overlay()")
            # Rows that a load has taken over since the range was resolved.
            connection.execute("select live.trim_rows()")
            before = table_digest(connection, table, within)
            for name in self.reader.entity.live_tables:
                delete = sql.SQL("delete from {} as t where {}")
                connection.execute(delete.format(sql.Identifier("live", name), within))
            for some in rows:
                self.overlay.apply_rows(connection, entity, some)
            connection.execute("select live.settle()")
            return before, table_digest(connection, table, within)


def _is_within(identity: TopicIdentity, ranges: PartitionRanges) -> sql.Composed:
    one = sql.SQL("(t._partition = {} and t._offset >= {} and t._offset < {})")
    conditions: list[sql.Composable] = [
        one.format(sql.Literal(number), sql.Literal(offsets.start), sql.Literal(offsets.stop))
        for number, offsets in ranges.items()
    ] or [sql.SQL("false")]
    return sql.SQL("t._topic_id = {} and t._epoch = {} and ({})").format(
        sql.Literal(identity.topic_id),
        sql.Literal(identity.epoch),
        sql.SQL(" or ").join(conditions),
    )
