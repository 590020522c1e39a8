"""One consolidation at a time: a lock in the warehouse, which goes when its holder does."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from lakehouse.errors import RetryLaterError, StopPipelineError

_KEY = 7_303_014_502
_ASK_SECONDS = 0.5
_HOLDER = """
select a.application_name, a.backend_start
from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where l.locktype = 'advisory' and l.granted
    and ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s"""


@contextmanager
def only_one(
    dsn: str,
    what: str,
    *,
    wait_seconds: float,
    on_wait: Callable[[str], None] = lambda _who: None,
) -> Iterator[None]:
    """Hold the lock within the block.

    Args:
        dsn: of the warehouse.
        what: is done, for whoever has to wait.
        wait_seconds: longest wait for another one.
        on_wait: told who holds it.

    Raises:
        StopPipelineError: it was not free in time; the message says who holds it.
        RetryLaterError: the warehouse does not answer.
    """
    name = f"{what}, process {os.getpid()} on {socket.gethostname()}"[:63]
    try:
        connection = psycopg.connect(dsn, autocommit=True, application_name=name)
    except psycopg.OperationalError as error:
        message = f"The warehouse does not answer: {error}. Try ./pipeline status"
        raise RetryLaterError(message) from error
    with connection:
        _take(connection, wait_seconds, on_wait)
        yield


def _take(
    connection: psycopg.Connection, wait_seconds: float, on_wait: Callable[[str], None]
) -> None:
    deadline = time.monotonic() + wait_seconds
    asked = ""
    while not _is_taken(connection):
        who = _holder(connection)
        if time.monotonic() >= deadline:
            message = f"Busy: {who}. Wait for its end, or end it; then run this again."
            raise StopPipelineError(message)
        if who != asked:
            asked = who
            on_wait(who)
        time.sleep(_ASK_SECONDS)


def _is_taken(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s)", [_KEY]).fetchone()
    return row is not None and bool(row[0])


def _holder(connection: psycopg.Connection) -> str:
    row = connection.execute(_HOLDER, {"key": _KEY}).fetchone()
    return "somebody who has just finished" if row is None else f"{row[0]}, since {row[1]:%H:%M:%S}"
