"""The overlay in the warehouse: rows and watermarks are committed together.

Protocol as in landing (`lakehouse.commit`), with one Postgres transaction instead of a Delta
commit: the watermark of each partition is locked and read, rows below it are dropped, an offset
gap is rejected, and rows and watermarks are written. A failure means *unknown*: reconnect, read the
watermarks, and resume from there. If a partition has two owners at once, one of them a zombie, they
wait for each other at its watermark; the second finds its changes covered, or an offset gap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from consumers.bronze.commit import Outcome, landed, rows_from
from consumers.buffer import Batch
from consumers.live.changes import ChangeReader, Rows
from lakehouse.commit import Plan, plan_commit
from lakehouse.offsets import TopicPartition, next_position
from lakehouse.postgres import copy_frames, explained
from lakehouse.trouble import Service, Trouble

Result = TypeVar("Result")
Transaction = Callable[[psycopg.Connection], Result]
_SESSION = """
set client_min_messages = warning;
set jit = off;
set work_mem = '64MB';
-- A crash of the server may lose the last commits, watermarks and rows alike: they are read from
-- Kafka again. Waiting for the disk would take longer than the rest of a small batch.
set synchronous_commit = off;
-- A consumer that is frozen within a batch blocks loads and other owners. Its session is then
-- closed, and it retries when it resumes.
set idle_in_transaction_session_timeout = '5s';
select live.prepare_session()"""
_SHARED = "select live.share_overlay()"
_ALONE = "select live.own_overlay()"
_READ = """
select w.entity, w.topic_id, w.epoch, w.partition, w.last_offset
from live.watermark as w
inner join unnest(%s::text[], %s::text[], %s::integer[], %s::integer[])
    as p (entity, topic_id, epoch, partition)
    on w.entity = p.entity and w.topic_id = p.topic_id
    and w.epoch = p.epoch and w.partition = p.partition
order by 1, 2, 3, 4
for update of w"""
_WRITE = """
update live.watermark as w
set
    last_offset = p.last_offset,
    -- Not the maximum: a clock that was ahead for a moment would determine it for a long time.
    last_committed_at = case
        when p.committed_us is null then w.last_committed_at
        else least(
            timestamptz 'epoch' + p.committed_us * interval '1 microsecond', clock_timestamp()
        )
    end
from unnest(
    %s::text[], %s::text[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[]
) as p (entity, topic_id, epoch, partition, last_offset, committed_us)
where
    w.entity = p.entity and w.topic_id = p.topic_id
    and w.epoch = p.epoch and w.partition = p.partition"""
# The newest is the last to arrive, not the maximum: one from the future would stay the newest for
# as long as its clock was ahead.
_HEARTBEAT = """
insert into live.heartbeat as h (source, sent_at, read_at, lateness_seconds)
select
    'debezium',
    b.sent_at,
    b.read_at,
    array[extract(epoch from b.read_at - b.sent_at)::double precision]
from (
    select
        %s::timestamptz as sent_at,
        statement_timestamp() - make_interval(secs => %s) as read_at
) as b
on conflict (source) do update set
    sent_at = excluded.sent_at,
    read_at = excluded.read_at,
    lateness_seconds = (excluded.lateness_seconds || h.lateness_seconds)[:30]"""
_SIZE = """
select coalesce(sum(s.n_live_tup), 0)
from pg_stat_user_tables as s
where s.schemaname = 'live'"""

_NOT_LIVE = "Live cannot write now"
_THEN = {Trouble.BUSY: "It is retried."}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """Polled records of one topic.

    Attributes:
        entity: the shop's table.
        epoch: epoch of the topic.
        batch: records and the ranges they cover.
        rows: the parsed rows; None if only transaction markers were polled.
    """

    entity: str
    epoch: int
    batch: Batch
    rows: Rows | None


@dataclass(kw_only=True)
class Overlay:
    """A connection to the warehouse that reconnects when it breaks."""

    dsn: str
    readers: Mapping[str, ChangeReader]
    _connection: psycopg.Connection[TupleRow] | None = field(default=None, init=False)

    def apply(self, change_sets: list[ChangeSet]) -> Outcome:
        """Commit change sets exactly once, no matter how often they were tried before.

        Raises:
            RetryLaterError: the warehouse does not answer; the next attempt finds out whether it
                committed.
            StopPipelineError: it rejects the rows.
        """

        def commit(connection: psycopg.Connection) -> Outcome:
            with connection.transaction():
                # Before any lock: a session that waits for the rest of a COPY is not idle, and
                # would hold its locks for as long as this process is frozen.
                for change_set in change_sets:
                    if change_set.rows is not None and change_set.rows.current.height:
                        self.copy(connection, change_set.entity, change_set.rows)
                # A new version of a product affects orders whose change set another consumer may
                # hold uncommitted, and therefore invisible: then the batch runs alone.
                is_alone = any(
                    self.readers[change_set.entity].entity.live_versions
                    for change_set in change_sets
                )
                connection.execute(_ALONE if is_alone else _SHARED)
                return self._commit(connection, change_sets)

        return self.do(commit)

    def heartbeat(self, sent_at: datetime, *, held_seconds: float) -> None:
        """Store a heartbeat of the shop that was read `held_seconds` ago."""
        self.do(lambda connection: connection.execute(_HEARTBEAT, [sent_at, held_seconds]))

    def note_size(self, max_rows: int) -> bool:
        """Store whether the overlay is full, and return it.

        Once full, it stays full until a consolidation has removed a fifth, to prevent flapping.
        """

        def note(connection: psycopg.Connection) -> bool:
            size = connection.execute(_SIZE).fetchone()
            rows = int(size[0]) if size else 0
            was = connection.execute("select s.is_full from live.state as s").fetchone()
            is_full = rows >= (max_rows * 0.8 if was and was[0] else max_rows)
            if was is None or was[0] != is_full:
                connection.execute("update live.state set is_full = %s", [is_full])
            return is_full

        return self.do(note)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def do(self, work: Transaction[Result]) -> Result:
        """Run a transaction on this connection.

        Raises:
            RetryLaterError: the warehouse does not answer, or cancelled it because of a conflict.
            StopPipelineError: the warehouse rejects it.
        """
        try:
            return work(self._connect())
        except psycopg.Error as error:
            self.close()
            raise explained(error, Service.WAREHOUSE, _NOT_LIVE, then=_THEN) from error

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = psycopg.connect(self.dsn, autocommit=True)
            connection.execute(_SESSION)
            for reader in self.readers.values():
                for name in reader.entity.live_tables:
                    _make_stage(connection, name)
            self._connection = connection
        return self._connection

    def _commit(self, connection: psycopg.Connection, change_sets: list[ChangeSet]) -> Outcome:
        positions = _positions(connection, change_sets)
        done: dict[TopicPartition, int] = {}
        gaps: dict[TopicPartition, int] = {}
        written: list[tuple[object, ...]] = []
        entities, rows = [], 0
        for change_set in change_sets:
            plan = plan_commit(change_set.batch.ranges, positions[change_set.entity])
            gaps |= plan.gaps
            done |= landed(change_set.batch, plan)
            written += [
                (change_set.entity, p.topic_id, change_set.epoch, p.partition, offsets.stop - 1,
                 change_set.rows and change_set.rows.committed_us)
                for p, offsets in plan.keep.items()
            ]  # fmt: skip
            kept = self._kept(change_set, plan)
            if kept is not None and kept.current.height:
                if kept is not change_set.rows:
                    self._recopy(connection, change_set.entity, kept)
                entities.append(change_set.entity)
                rows += kept.current.height
        if entities:
            connection.execute("select live.apply(%s)", [entities])
        if written:
            connection.execute(_WRITE, [list(column) for column in zip(*written, strict=True)])
        return Outcome(rows=rows, landed=done, gaps=gaps)

    def _kept(self, change_set: ChangeSet, plan: Plan[TopicPartition]) -> Rows | None:
        if change_set.rows is None or plan.keep == change_set.batch.ranges:
            return change_set.rows
        records = pl.DataFrame(rows_from(change_set.batch, plan)) if plan.keep else None
        if records is None or records.is_empty():
            return None
        # Rare: another consumer has committed some of it. Which row is the last of its key must be
        # determined again.
        return self.readers[change_set.entity].read(records)

    def _recopy(self, connection: psycopg.Connection, entity: str, rows: Rows) -> None:
        for name in self.readers[entity].entity.live_tables:
            connection.execute(sql.SQL("delete from {}").format(_stage(name)))
        self.copy(connection, entity, rows)

    def copy(self, connection: psycopg.Connection, entity: str, rows: Rows) -> None:
        """Copy rows of an entity into this session's stage, for `live.apply`.

        Raises:
            psycopg.Error: the warehouse rejects them, or is unavailable.
        """
        reader = self.readers[entity]
        copy_frames(connection, _stage(entity), reader.columns, [rows.current])
        if rows.versions is not None:
            stage = _stage(f"{entity}_history")
            copy_frames(connection, stage, reader.version_columns, [rows.versions])


def _stage(entity: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"stage_{entity}")


def _make_stage(connection: psycopg.Connection, entity: str) -> None:
    connection.execute(
        sql.SQL("create temporary table {} (like {}) on commit delete rows").format(
            sql.Identifier(f"stage_{entity}"), sql.Identifier("live", entity)
        )
    )


def _positions(
    connection: psycopg.Connection, change_sets: list[ChangeSet]
) -> dict[str, dict[TopicPartition, int]]:
    """Return the next offsets of all partitions; their watermarks stay locked until commit."""
    wanted = [
        (one.entity, p.topic_id, one.epoch, p.partition)
        for one in change_sets
        for p in sorted(one.batch.ranges)
    ]
    found = connection.execute(_READ, [list(column) for column in zip(*wanted, strict=True)])
    last = {tuple(coordinate): offset for *coordinate, offset in found}
    return {
        change_set.entity: {
            p: next_position(
                last.get((change_set.entity, p.topic_id, change_set.epoch, p.partition))
            )
            for p in change_set.batch.ranges
        }
        for change_set in change_sets
    }
