"""Strong locks of the warehouse, requested so that readers never wait behind them for long.

Postgres queues lock requests: an exclusive request waits for all readers, and all later readers
wait behind it. A session left idle in a transaction would block every chart. So a strong lock is
requested with a short timeout, repeatedly, with time for readers in between.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from typing import LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo

from lakehouse.errors import RetryLaterError

Result = TypeVar("Result")
_PAUSE_SECONDS = 1.75
_OURS = ("batch", "live")
_POLL_SECONDS = 0.05
WAIT_SECONDS = 600.0
"""Longest wait for any lock: longer than a reader's transaction may last."""
LIMITED: LiteralString = "set lock_timeout = '600s'"
"""For a session without strong locks: no one waits behind it, but its own wait is limited."""
_MOMENTARILY: LiteralString = "set local lock_timeout = '250ms'"
"""How long readers may wait behind a request: too short to be noticed in a chart."""
_AS_BEFORE: LiteralString = "set local lock_timeout = '600s'"
_BLOCKERS: LiteralString = """
select
    a.pid,
    a.usename,
    coalesce(nullif(a.application_name, ''), 'without a name'),
    a.state,
    extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from unnest(pg_blocking_pids(%s)) as b (pid)
inner join pg_stat_activity as a on b.pid = a.pid
order by a.xact_start"""


def patiently(
    connection: psycopg.Connection,
    what: str,
    work: Callable[[], Result],
    *,
    wait_seconds: float,
    on_wait: Callable[[str], None] = lambda _who: None,
) -> Result:
    """Run a transaction that needs strong locks, repeating it until it gets them.

    Args:
        connection: to the warehouse, in autocommit.
        what: description of the work.
        work: uses that connection; rolled back if it does not get its locks.
        wait_seconds: longest time to try.
        on_wait: called with the holder of the lock.

    Raises:
        RetryLaterError: it did not get them; the message names the holder.
    """
    deadline = time.monotonic() + wait_seconds
    told = ""
    # A first attempt needs no second connection. If it fails, another connection finds the holder.
    try:
        return _try(connection, work)
    except errors.LockNotAvailable:
        pass
    while True:
        with _finding_holder(connection) as blockers:
            try:
                return _try(connection, work)
            except errors.LockNotAvailable as error:
                failure = error
        who = blockers.result() or "a session that has just released it"
        if time.monotonic() >= deadline:
            message = f"{what} failed: a lock that it needs is held by {who}. Nothing changed."
            raise RetryLaterError(message) from failure
        if who != told:
            on_wait(who)
            told = who
        time.sleep(_PAUSE_SECONDS)


def get_momentarily(connection: psycopg.Connection, statement: LiteralString | bytes) -> bool:
    """Take a strong lock within a transaction if it is free; return whether it was taken."""
    try:
        with connection.transaction():
            connection.execute(_MOMENTARILY)
            connection.execute(statement)
            connection.execute(_AS_BEFORE)
    except errors.LockNotAvailable:
        return False
    return True


def _try(connection: psycopg.Connection, work: Callable[[], Result]) -> Result:
    with connection.transaction():
        connection.execute(_MOMENTARILY)
        return work()


@contextmanager
def _finding_holder(connection: psycopg.Connection) -> Iterator[Future[str]]:
    """Find the sessions that block a connection, which is only possible while it waits."""
    address = make_conninfo(connection.info.dsn, password=connection.info.password)
    pid, is_over = connection.info.backend_pid, Event()

    def find() -> str:
        # Only for the message: without a second connection, the first just keeps waiting.
        with suppress(psycopg.Error), psycopg.connect(address, autocommit=True) as other:
            while not is_over.is_set():
                if blocking := other.execute(_BLOCKERS, [pid]).fetchall():
                    return " and ".join(holder(*one) for one in blocking)
                is_over.wait(_POLL_SECONDS)
        return ""

    with ThreadPoolExecutor(1, thread_name_prefix="locks") as pool:
        found = pool.submit(find)
        try:
            yield found
        finally:
            is_over.set()


def holder(pid: int, role: str, application: str, state: str | None, seconds: float | None) -> str:
    """Describe a blocking session, and how to end it."""
    since = "" if seconds is None else f", in a transaction for {seconds:,.0f} s"
    does = f", {state}" if state else ""
    way_out = f"if it is not needed, as admin: select pg_terminate_backend({pid})"
    if role in _OURS:
        way_out = "part of the pipeline: wait until it ends"
    return f"session {pid} ({role}, {application}{since}{does}; {way_out})"
