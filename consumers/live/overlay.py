"""The overlay in the warehouse: rows and how far they go are committed together.

Protocol as in landing (`lakehouse.commit`), with one Postgres transaction in the place of a
Delta commit: the watermark of each partition is locked and read, what it covers already is dropped,
what would leave a gap is refused, and rows and watermarks are written. A failure means *unknown*:
connect again, read the watermarks, and go on from there. Two owners of a partition at once, one of
them a zombie, wait for each other at its watermark; the second finds its changes covered, or a gap.
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
from consumers.live.changes import VERSIONED, ChangeReader, Rows
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
-- After a crash of the server the last moments may be gone, watermarks and rows alike: they are
-- read from Kafka again. To wait for the disk would cost more than the rest of a small batch.
set synchronous_commit = off;
-- Whoever freezes within a batch holds what loads and other owners wait for. It finds its session
-- gone when it wakes up, and tries again.
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
    -- Not the greatest ever: a clock that was ahead for a moment would be believed for long.
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
# The newest is the one that came last, and not the maximum: one from the future would be it for as
# long as its clock was ahead.
_BEAT = """
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
_THEN = {Trouble.BUSY: "It is tried again."}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """What was polled of one topic.

    Attributes:
        entity: the shop's table.
        epoch: of the topic.
        batch: records and the ranges that they cover.
        rows: what they leave; None where only marks of transactions were polled.
    """

    entity: str
    epoch: int
    batch: Batch
    rows: Rows | None


@dataclass(kw_only=True)
class Overlay:
    """A connection to the warehouse that is made again when it breaks."""

    dsn: str
    readers: Mapping[str, ChangeReader]
    _connection: psycopg.Connection[TupleRow] | None = field(default=None, init=False)

    def apply(self, change_sets: list[ChangeSet]) -> Outcome:
        """Commit what was polled, exactly once, however often it was tried before.

        Raises:
            RetryLaterError: the warehouse does not answer; whether it has committed, the next try
                will find out.
            StopPipelineError: it refuses the rows.
        """

        def commit(connection: psycopg.Connection) -> Outcome:
            with connection.transaction():
                # Before anything is locked: a session that waits for the rest of a COPY is not
                # idle, and would hold its locks for as long as this process is frozen.
                for change_set in change_sets:
                    if change_set.rows is not None and change_set.rows.current.height:
                        self.copy(connection, change_set.entity, change_set.rows)
                # A new version of a product touches orders of which another consumer may hold a
                # change_set, uncommitted and so not to be found: then the batch is alone.
                is_alone = any(change_set.entity == VERSIONED for change_set in change_sets)
                connection.execute(_ALONE if is_alone else _SHARED)
                return self._commit(connection, change_sets)

        return self.do(commit)

    def heartbeat(self, sent_at: datetime, *, held_seconds: float) -> None:
        """Note a heartbeat of the shop that was read so long ago."""
        self.do(lambda connection: connection.execute(_BEAT, [sent_at, held_seconds]))

    def note_size(self, max_rows: int) -> bool:
        """Say in the warehouse whether the overlay is full, and return it.

        It is until a consolidation has taken off a fifth, so that it does not go to and fro.
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
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def do(self, work: Transaction[Result]) -> Result:
        """Anything on this connection.

        Raises:
            RetryLaterError: the warehouse does not answer, or gave it up for another's sake.
            StopPipelineError: it refuses.
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
                _make_stage(connection, reader.entity.table)
            _make_stage(connection, f"{VERSIONED}_history")
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
        # Rare: another has committed change_set of it. Which row of a key is its last has to be
        # validated anew.
        return self.readers[change_set.entity].read(records)

    def _recopy(self, connection: psycopg.Connection, entity: str, rows: Rows) -> None:
        for name in (entity, f"{entity}_history") if rows.versions is not None else (entity,):
            connection.execute(sql.SQL("delete from {}").format(_stage(name)))
        self.copy(connection, entity, rows)

    def copy(self, connection: psycopg.Connection, entity: str, rows: Rows) -> None:
        """Copy rows of an entity into this session's stage, for `live.apply`.

        Raises:
            psycopg.Error: the warehouse refuses them, or is away.
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
    """The first offset wanted of all partitions, whose watermarks stay locked to the end."""
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
