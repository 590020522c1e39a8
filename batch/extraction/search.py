"""Search for missed deletes: rows in bronze but not in the shop get a delete record in Kafka."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
import psycopg

from batch.extraction.deletes import Check, Delete, make_delete, without
from batch.extraction.limit import DeleteLimit
from batch.extraction.missed import Missed, Untold, find_missed, is_checkable, keys_only
from batch.extraction.writer import DeleteWriter, Written
from batch.reconcile.bronze import BronzeTable
from batch.reconcile.losses import ResolvedLoss, read_recorded
from batch.reconcile.run import CaughtUp, ReconcileConfig, caught_up
from batch.reconcile.shop import ShopSnapshot
from batch.reconcile.tables import SourceTable
from batch.reconcile.topics import Topics
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import Topic
from lakehouse.lake import Lake
from lakehouse.offsets import OffsetRange, TopicPartition
from lakehouse.postgres import explained, oltp_dsn
from lakehouse.secrets import Secrets
from lakehouse.trouble import Service

_AT_ONCE = 5_000
_OLDER_SECONDS = 20.0
_CHECK = """
select pg_current_xact_id()::text, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), clock_timestamp()
"""
_NEXT = "select pg_snapshot_xmax(pg_current_snapshot())::text"
_OLDEST = "select pg_snapshot_xmin(pg_current_snapshot())::text"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDelete:
    """A missed delete that was written: its coordinate, and when the row was found missing."""

    table: str
    key: str
    partition: int
    offset: int
    found_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedDeletes:
    """All deletes written. `not_checked` are tables whose keys cannot be looked up in the shop.

    `untold` are places, by topic, before which rows ended that were inserted again since.
    """

    written: tuple[WrittenDelete, ...] = ()
    not_checked: tuple[str, ...] = ()
    untold: Mapping[str, tuple[Untold, ...]] = field(default_factory=dict)

    def ended(self) -> list[tuple[TopicPartition, OffsetRange]]:
        """Return `untold` as offset ranges."""
        return [
            (
                TopicPartition(topic=topic, topic_id=one.topic_id, partition=one.partition),
                OffsetRange(start=one.first, stop=one.last + 1),
            )
            for topic, ranges in self.untold.items()
            for one in ranges
        ]


def write_missed_deletes(
    secrets: Secrets,
    config: ReconcileConfig,
    tables: Sequence[str],
    *,
    limit: DeleteLimit,
    on_progress: Callable[[str], None] = lambda _stage: None,
) -> MissedDeletes:
    """Find rows of bronze that are missing in the shop, and write their deletes to Kafka.

    Args:
        secrets: secrets of the roles `oltp_reconcile`, `oltp_monitor`, `minio_reader`.
        config: addresses and limits.
        tables: shop tables by name.
        limit: limit of deletes.
        on_progress: called with a short description of each step.

    Raises:
        StopPipelineError: the limit is exceeded, or the shop hides rows, and nothing is written; or
            Connect is in a state that it does not leave by itself.
        RetryLaterError: bronze did not catch up in time, or a service does not answer. Deletes that
            were written stay; a repeated run finds the rest.
    """
    search = _Search(oltp_dsn(config.oltp, secrets, role="reconcile"), on_progress)
    kafka = config.kafka.client
    prefix = config.connect.topic_prefix
    # The writer first: it ends transactions of a previous one, so that bronze catches up with all
    # that was written, and no key is deleted twice.
    writing = DeleteWriter(kafka, f"{prefix}-extract", max_row_bytes=config.connect.max_row_bytes)
    with Topics(kafka) as topics, writing as writer:
        with caught_up(secrets, config, topics, on_progress=on_progress) as found:
            wanted = [table for table in found.source if table.name in set(tables)]
            losses = read_recorded(Lake.of(config.minio, secrets, user="reader"))
            missed = {t.name: search.missed(t, found, losses) for t in wanted if t.key}
        limit.require({t.name: missed[t.name] for t in wanted if is_checkable(t)})
        described = topics.captured(prefix)
        for table in wanted:
            topic = described.get(found.topic_of(table.name))
            if topic is not None and is_checkable(table):
                gone = missed[table.name].gone
                masked = found.masks.get(table.name, {})
                search.write(writer, topic, table, found.bronze[topic.name], gone, masked)
    return MissedDeletes(
        written=tuple(search.written),
        not_checked=tuple(table.name for table in wanted if not is_checkable(table)),
        untold={found.topic_of(name): one.untold for name, one in missed.items() if one.untold},
    )


@dataclass(kw_only=False)
class _Search:
    dsn: str
    progress: Callable[[str], None]
    written: list[WrittenDelete] = field(default_factory=list)

    def missed(
        self, table: SourceTable, found: CaughtUp, losses: Mapping[str, tuple[ResolvedLoss, ...]]
    ) -> Missed:
        self.progress(f"looking for missed deletes of {table.name}")
        keyed = keys_only(table)
        topic = found.topic_of(table.name)
        bronze = found.bronze[topic]
        return find_missed(
            keyed,
            found.shop.rows(keyed),
            bronze.records(),
            found.shop.visibility,
            count=bronze.size[0],
            losses=losses.get(topic, ()),
        )

    def write(
        self,
        writer: DeleteWriter,
        topic: Topic,
        table: SourceTable,
        bronze: BronzeTable,
        missed: pl.DataFrame,
        masked: Collection[str],
    ) -> None:
        for piece in missed.iter_slices(_AT_ONCE):
            self.progress(f"writing deletes of {table.name}")
            check = _check(self.dsn)
            deletes = list(_deletes(topic, table, bronze, piece, check, masked))
            found = writer.write(topic.name, deletes, lambda some: _living(self.dsn, table, some))
            self.written += [_report(table, one, check) for one in found]


def _report(table: SourceTable, written: Written, check: Check) -> WrittenDelete:
    return WrittenDelete(
        table=table.name,
        key=written.delete.label,
        partition=written.partition,
        offset=written.offset,
        found_at=check.checked_at,
    )


def _deletes(
    topic: Topic,
    table: SourceTable,
    bronze: BronzeTable,
    missed: pl.DataFrame,
    check: Check,
    masked: Collection[str],
) -> Iterator[Delete]:
    """Create a delete for each key from its last record."""
    records = bronze.records_at(missed).join(missed, on=missed.columns[1:])
    names = [column.name for column in table.key]
    for row in records.iter_rows(named=True):
        # In a recreated topic, the default partitioner assigns keys.
        is_same = row["_topic_id"] == topic.topic_id and row["_partition"] < topic.partition_count
        yield make_delete(
            row["key_right"],
            row["key"],
            without(row["value"], masked) if masked else row["value"],
            partition=row["_partition"] if is_same else None,
            check=check,
            columns=names,
        )


def _check(dsn: str) -> Check:
    """Run a transaction, so that any snapshot of the shop shows whether it is before it."""
    with _connected(dsn) as connection:
        row = connection.execute(_CHECK).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return Check(tx_id=int(row[0]), lsn=int(row[1]), checked_at=row[2])


def _living(dsn: str, table: SourceTable, deletes: Sequence[Delete]) -> set[int]:
    _wait_for_older(dsn)
    with ShopSnapshot(dsn) as shop:
        return shop.living(table, [delete.columns for delete in deletes])


def _wait_for_older(dsn: str) -> None:
    """Wait until all transactions that have begun are finished, and visible to all sessions."""
    deadline = time.monotonic() + _OLDER_SECONDS
    with _connected(dsn) as connection:
        connection.autocommit = True
        begun = _number(connection, _NEXT)
        while _number(connection, _OLDEST) < begun:
            if time.monotonic() > deadline:
                problem = (
                    f"A transaction in the shop's database has been open for {_OLDER_SECONDS:.0f} "
                    "s or more; it may hold a row that is to be deleted here"
                )
                raise RetryLaterError(problem, "Extract again after it.")
            time.sleep(0.02)


def _number(connection: psycopg.Connection, question: str) -> int:
    row = connection.execute(question.encode()).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return int(row[0])


def _connected(dsn: str) -> psycopg.Connection:
    try:
        return psycopg.connect(dsn)
    except psycopg.Error as error:
        raise explained(error, Service.SHOP, "Missed deletes cannot be searched for") from error
