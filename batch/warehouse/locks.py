"""Strong locks of the warehouse, so asked for that nobody who reads waits behind us for long.

Postgres has locks wait in a queue: whoever wants a table for itself waits for all who read it, and
all who come to read it wait behind that. A session that was left in a transaction would stop every
chart. So a strong lock is wanted for a moment only, again and again, with time for readers between.
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
MOMENT_SECONDS = 0.25
"""How long readers may wait behind us: less than anybody notices of a chart."""
_PAUSE_SECONDS = 1.75
_OURS = ("batch", "live")
_POLL_SECONDS = 0.05
WAIT_SECONDS = 600.0
"""Longest wait for any lock: more than a reader's transaction may last (WAREHOUSE_READER_…)."""
LIMITED: LiteralString = "set lock_timeout = '600s'"
"""For a session that wants no strong lock: nobody waits behind it, but it waits no longer."""
_MOMENTARILY: LiteralString = "set local lock_timeout = '250ms'"
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
    """Do something in a transaction of its own that wants strong locks, as often as it takes.

    Args:
        connection: to the warehouse, in autocommit.
        what: is done.
        work: on that connection; it is undone where it does not get its locks.
        wait_seconds: longest time to try.
        on_wait: told who holds them.

    Raises:
        RetryLaterError: it did not get them; the message says who holds them.
    """
    deadline = time.monotonic() + wait_seconds
    told = ""
    # A first try needs no second connection. If it fails, another tells who was in the way.
    try:
        return _try(connection, work)
    except errors.LockNotAvailable:
        pass
    while True:
        with _finding_holder(connection) as holder:
            try:
                return _try(connection, work)
            except errors.LockNotAvailable as error:
                failure = error
        who = holder.result() or "somebody who has just let go of it"
        if time.monotonic() >= deadline:
            message = f"{what} is not done: a lock that it needs is held by {who}. Nothing changed."
            raise RetryLaterError(message) from failure
        if who != told:
            on_wait(who)
            told = who
        time.sleep(_PAUSE_SECONDS)


def get_momentarily(connection: psycopg.Connection, statement: LiteralString | bytes) -> bool:
    """Take a strong lock within a transaction, if it is to be had at once; whether it was."""
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
    """Look, meanwhile, for whom a connection waits: only while it waits can that be asked."""
    address = make_conninfo(connection.info.dsn, password=connection.info.password)
    pid, is_over = connection.info.backend_pid, Event()

    def find() -> str:
        # It is for words alone: where there is no second connection, the first goes on waiting.
        with suppress(psycopg.Error), psycopg.connect(address, autocommit=True) as other:
            while not is_over.is_set():
                if found := other.execute(_BLOCKERS, [pid]).fetchall():
                    return " and ".join(holder(*one) for one in found)
                is_over.wait(_POLL_SECONDS)
        return ""

    with ThreadPoolExecutor(1, thread_name_prefix="locks") as pool:
        holder = pool.submit(find)
        try:
            yield holder
        finally:
            is_over.set()


def holder(pid: int, role: str, application: str, state: str | None, seconds: float | None) -> str:
    """A session that is in the way, in words, and what to type so that it is not."""
    since = "" if seconds is None else f", in a transaction for {seconds:,.0f} s"
    does = f", {state}" if state else ""
    way_out = f"if nobody needs it, as admin: select pg_terminate_backend({pid})"
    if role in _OURS:
        way_out = "a program of ours: wait for its end"
    return f"session {pid} ({role}, {application}{since}{does}; {way_out})"
