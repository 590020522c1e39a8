"""The overlay in the warehouse: rows and watermarks are committed together.

Protocol as in landing (`lakehouse.commit`), with one statement instead of a Delta commit:
`live.apply_batch` locks and compares the watermark of each partition, and writes rows and
watermarks if the batch begins there. If not, rows below a watermark are dropped, an offset gap is
rejected, and the rest is sent again. A failure means *unknown*: reconnect, and send it again. If a
partition has two owners at once, one of them a zombie, they wait for each other at its watermark;
the second finds its changes covered, or an offset gap.

One statement is one round trip, and this process holds no lock while it is frozen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TypeVar

import orjson
import psycopg
import pyarrow as pa
from psycopg.rows import TupleRow
from psycopg.types.json import Json

from consumers.bronze.commit import Outcome, rows_from
from consumers.buffer import Batch
from consumers.live.changes import ChangeReader, Rows
from consumers.records import Polled
from lakehouse.commit import Plan, plan_commit
from lakehouse.contracts import Type
from lakehouse.offsets import TopicPartition
from lakehouse.postgres import explained
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
-- A consumer that is frozen within a transaction blocks loads and other owners. Its session is
-- then closed, and it retries when it resumes.
set idle_in_transaction_session_timeout = '5s';
select live.prepare_session()"""
_APPLY = """
select live.apply_batch(
    %s, %s, %s::text[], %s::text[], %s::integer[], %s::integer[], %s::bigint[], %s::bigint[],
    %s::bigint[]
)"""
_AT_ONCE = 10_000
"""Rows of a replay that are sent at once: a parameter holds a gigabyte at most."""
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
    batch: Batch[pa.Table] | Batch[Polled]
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
        gaps: dict[TopicPartition, int] = {}
        wanted = change_sets
        while wanted:
            positions = self.do(partial(self._commit, change_sets=wanted))
            if positions is None:
                break
            plans = [plan_commit(one.batch.ranges, positions) for one in wanted]
            gaps |= {p: position for plan in plans for p, position in plan.gaps.items()}
            wanted = [
                self._kept(one, plan) for one, plan in zip(wanted, plans, strict=True) if plan.keep
            ]
        return Outcome(
            rows=sum(len(one.rows.current) for one in wanted if one.rows is not None),
            landed={
                p: offsets.stop - 1
                for one in change_sets
                for p, offsets in one.batch.ranges.items()
                if p not in gaps
            },
            gaps=gaps,
        )

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
            self._connection = connection
        return self._connection

    def _commit(
        self, connection: psycopg.Connection, change_sets: list[ChangeSet]
    ) -> Mapping[TopicPartition, int] | None:
        """Apply change sets; if some do not begin at the watermark, only return all positions."""
        rows: dict[str, list[dict[str, object]]] = {}
        for one in change_sets:
            if one.rows is not None and one.rows.current:
                rows |= self._by_table(one.entity, one.rows)
        # A new version of a product affects orders whose change set another consumer may hold
        # uncommitted, and therefore invisible: then the batch runs alone.
        is_alone = any(self.readers[one.entity].entity.live_versions for one in change_sets)
        partitions = [p for one in change_sets for p in one.batch.ranges]
        watermarks = [
            (one.entity, p.topic_id, one.epoch, p.partition, offsets.start, offsets.stop - 1,
             one.rows and one.rows.committed_us)
            for one in change_sets
            for p, offsets in one.batch.ranges.items()
        ]  # fmt: skip
        columns = [list(column) for column in zip(*watermarks, strict=True)]
        found = connection.execute(_APPLY, [_json(rows), is_alone, *columns]).fetchone()
        if found is None or found[0] is None:
            return None
        return dict(zip(partitions, found[0], strict=True))

    def _kept(self, change_set: ChangeSet, plan: Plan[TopicPartition]) -> ChangeSet:
        if plan.keep == change_set.batch.ranges:
            return change_set
        # Rare: another consumer has committed some of it. Which row is the last of its key must be
        # determined again.
        held = change_set.batch.rows
        columns = pa.Table.from_batches([held.columns()]) if isinstance(held, Polled) else held
        found = rows_from(Batch(rows=columns, ranges=change_set.batch.ranges), plan)
        batch = Batch(rows=found, ranges=plan.keep)
        reader = self.readers[change_set.entity]
        rows = reader.read(batch.rows) if batch.rows.num_rows else None
        return replace(change_set, batch=batch, rows=rows)

    def apply_rows(self, connection: psycopg.Connection, entity: str, rows: Rows) -> None:
        """Apply rows of an entity in a transaction that has a lock on the overlay.

        Raises:
            psycopg.Error: the warehouse rejects them, or is unavailable.
        """
        for table, found in self._by_table(entity, rows).items():
            for first in range(0, len(found), _AT_ONCE):
                part = {table: found[first : first + _AT_ONCE]}
                connection.execute("select live.apply(%s)", [_json(part)])

    def _by_table(self, entity: str, rows: Rows) -> dict[str, list[dict[str, object]]]:
        """Return rows by table of live, and each row by column."""
        reader = self.readers[entity]
        tables = {entity: (reader.columns, rows.current)}
        if rows.versions is not None:
            tables[f"{entity}_history"] = (reader.version_columns, rows.versions)
        found = {
            table: [dict(zip(columns, row, strict=True)) for row in values]
            for table, (columns, values) in tables.items()
        }
        for column in reader.entity.columns:
            if column.type is Type.FLOAT:
                for row in chain.from_iterable(found.values()):
                    row[column.name] = _spelled_float(row[column.name])
        return found


def _json(rows: object) -> Json:
    return Json(rows, dumps=partial(orjson.dumps, default=_spelled))


def _spelled_float(value: object) -> object:
    """Spell numbers: JSON has neither NaN nor infinities."""
    if isinstance(value, list):
        return [_spelled_float(one) for one in value]
    return None if value is None else str(value)


def _spelled(value: object) -> str:
    """Spell a value that JSON has no type for as Postgres reads it."""
    return rf"\x{value.hex()}" if isinstance(value, bytes) else str(value)
