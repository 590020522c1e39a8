"""Writer of transactions to the shop's database, exactly once even if connections are lost.

Every transaction also writes its own number to `ledger.progress`. If the response to a commit is
lost, the number read after reconnecting tells whether it was committed. An advisory lock, taken
before, ensures that the old session has ended and no other simulator writes meanwhile.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Self, TypeVar

import psycopg
import structlog

from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.postgres import explained, trouble_of
from lakehouse.trouble import Service, again
from producers.changes import Changes
from producers.statements import Statements, Tally

T = TypeVar("T")
Connection = psycopg.Connection

_LOCK = "select pg_try_advisory_lock(hashtext('producers.simulator'))"
_PROGRESS = """
select
    p.transactions,
    p.orders,
    p.last_timestamp_at
from ledger.progress as p
where p.shop = 'shop'
"""
_ADVANCE = """
insert into ledger.progress as p (shop, transactions, orders, last_timestamp_at)
values ('shop', %(number)s, %(orders)s, %(last_timestamp)s)
on conflict (shop) do update set
transactions = excluded.transactions,
orders = p.orders + excluded.orders,
last_timestamp_at = greatest(p.last_timestamp_at, excluded.last_timestamp_at)
where p.transactions = excluded.transactions - 1
"""
_RESERVE = "select nextval(pg_get_serial_sequence('public.' || %s, %s)) from generate_series(1, %s)"
_SESSION = "-c timezone=UTC -c statement_timeout=300s -c lock_timeout=60s"
_NOTHING = "The shop cannot be written to"
_START = "Start it: ./pipeline up"
_FIRST_PAUSE_SECONDS = 0.2
_WAITS_FOR_LOCK = 10

log = structlog.get_logger()


class ShopChangedError(RetryLaterError):
    """Another writer changed rows that the changes refer to: the shop has to be reloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of the shop: totals of all runs, and the last instant written."""

    transactions: int
    orders: int
    last_timestamp: datetime | None


class Writer:
    """The only session that may simulate this shop."""

    def __init__(self, dsn: str, *, longest_pause_seconds: float, stopping: Event) -> None:
        self._dsn = dsn
        self._longest_pause = longest_pause_seconds
        self._stopping = stopping
        self._connection, self._statements, self.progress = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self, changes: Changes) -> Tally:
        """Commit `changes` exactly once, even if the connection is lost.

        Returns:
            Number of changed rows.

        Raises:
            RetryLaterError: stopped while the database was unavailable.
            ShopChangedError: referenced rows were deleted; nothing was written.
            StopPipelineError: the database refuses, or another writer changed ledger.progress.
        """
        number = self.progress.transactions + 1
        tally: Tally = Counter()
        while self.progress.transactions < number:
            try:
                with self._connection.transaction():
                    tally = self._statements.apply(changes)
                    self._advance(number, changes)
                self.progress = self._progress_after(number, changes)
            except psycopg.IntegrityError as error:
                message = f"Rows of the shop were changed by another writer: {error}"
                raise ShopChangedError(message) from error
            except psycopg.Error as error:
                self._wait_out(error)
        return tally

    def run(self, work: Callable[[Connection], T]) -> T:
        """Read over the writer's connection; repeated if it is lost meanwhile."""
        while True:
            try:
                with self._connection.transaction():
                    return work(self._connection)
            except psycopg.Error as error:
                self._wait_out(error)

    def reserve(self, wanted: Mapping[str, tuple[str, int]]) -> dict[str, list[int]]:
        """Reserve keys from sequences: for each table, its key column and how many."""
        return self.run(
            lambda connection: {
                table: [key for (key,) in connection.execute(_RESERVE, [table, column, count])]
                for table, (column, count) in wanted.items()
            }
        )

    def _advance(self, number: int, changes: Changes) -> None:
        values = {
            "number": number,
            "orders": len(changes.inserts["orders"]),
            "last_timestamp": changes.last_timestamp,
        }
        if self._connection.execute(_ADVANCE, values).rowcount != 1:
            problem = (
                f"ledger.progress is not at {number - 1}, where this simulator left it: another "
                "process wrote to it"
            )
            action = "Run ./pipeline simulate again; it resumes from that state."
            raise StopPipelineError(problem, action)

    def _progress_after(self, number: int, changes: Changes) -> Progress:
        return Progress(
            transactions=number,
            orders=self.progress.orders + len(changes.inserts["orders"]),
            last_timestamp=changes.last_timestamp,
        )

    def _open(self) -> tuple[Connection, Statements, Progress]:
        try:
            opened = self._connect()
            waits = _WAITS_FOR_LOCK
            while opened is None and waits and not self._stopping.wait(_FIRST_PAUSE_SECONDS):
                # The session of a killed simulator ends a moment later.
                opened, waits = self._connect(), waits - 1
        except psycopg.Error as error:
            # Nothing was written yet: fail at once if the database is not running.
            message = str(explained(error, Service.SHOP, _NOTHING, then=again(_START)))
            raise StopPipelineError(message) from error
        if opened is None:
            problem = "Another simulator is writing to this shop; two would sell the same stock"
            raise StopPipelineError(problem, "Stop that one first (Ctrl-C), or wait until it ends.")
        return opened

    def _wait_out(self, error: psycopg.Error) -> None:
        """Reconnect after a transient error."""
        if not trouble_of(error).passes:
            raise explained(error, Service.SHOP, _NOTHING) from error
        self._reconnect(error)

    def _reconnect(self, reason: Exception) -> None:
        self._connection.close()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            log.warning("database_away", reason=str(reason).strip(), retry_seconds=pause)
            # Jitter, so that not all clients of the database reconnect at the same time.
            if self._stopping.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                problem = "Stopped while the shop's database was unavailable"
                action = (
                    "Run ./pipeline simulate again when it is back: it resumes from the last "
                    "commit."
                )
                raise RetryLaterError(problem, action) from reason
            pause = min(2 * pause, self._longest_pause)
            try:
                opened = self._connect()
            except psycopg.Error as error:
                if not trouble_of(error).passes:
                    raise explained(error, Service.SHOP, _NOTHING) from error
                reason = error
                continue
            if opened is not None:
                self._connection, self._statements, self.progress = opened
                log.info("database_back", transactions=self.progress.transactions)
                return
            reason = RuntimeError("our old session, or another simulator, still holds the lock")

    def _connect(self) -> tuple[Connection, Statements, Progress] | None:
        """A session that holds the lock; None if another one does."""
        connection: Connection = psycopg.connect(self._dsn, autocommit=True, options=_SESSION)
        row = connection.execute(_LOCK).fetchone()
        if row is None or not row[0]:
            connection.close()
            return None
        found = connection.execute(_PROGRESS).fetchone() or (0, 0, None)
        progress = Progress(transactions=found[0], orders=found[1], last_timestamp=found[2])
        return connection, Statements(connection), progress
