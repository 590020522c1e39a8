"""One program at a time: locks of sessions of the warehouse, which go when their holders do."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import psycopg

from lakehouse.errors import BusyError, RetryLaterError

_ASK_SECONDS = 0.2
_TRY = "select pg_try_advisory_lock(hashtext('warehouse'), hashtext(%(name)s))"
_HOLDER = """
select
    a.pid,
    a.application_name,
    a.backend_start
from pg_locks as l
inner join pg_stat_activity as a on l.pid = a.pid
where
    l.locktype = 'advisory'
    and l.granted
    and l.classid::bigint = (hashtext('warehouse')::bigint & 4294967295)
    and l.objid::bigint = (hashtext(%(name)s)::bigint & 4294967295)"""


class Lock(StrEnum):
    """What only one can do at a time."""

    CONSOLIDATION = "consolidation"
    """Write silver and gold, or compact their tables."""
    LOAD = "load"
    """Write the warehouse."""


@contextmanager
def only_one(
    dsn: str,
    what: str,
    *,
    wait_seconds: float,
    on_wait: Callable[[str], None] = lambda _who: None,
) -> Iterator[None]:
    """Hold the lock of a consolidation within the block.

    Args:
        dsn: of the warehouse.
        what: is done, for whoever has to wait.
        wait_seconds: longest wait for another one.
        on_wait: told who holds it.

    Raises:
        BusyError: it was not free in time; the message says who holds it.
        RetryLaterError: the warehouse does not answer.
    """
    name = f"{what}, process {os.getpid()} on {socket.gethostname()}"[:63]
    try:
        connection = psycopg.connect(dsn, autocommit=True, application_name=name)
    except psycopg.OperationalError as error:
        message = f"The warehouse does not answer: {error}. Try ./pipeline status"
        raise RetryLaterError(message) from error
    with connection:
        take_lock(connection, Lock.CONSOLIDATION, wait_seconds=wait_seconds, on_wait=on_wait)
        yield


def take_lock(
    connection: psycopg.Connection,
    lock: Lock,
    *,
    wait_seconds: float,
    on_wait: Callable[[str], None],
) -> None:
    """Keep others out for as long as the session lasts.

    Raises:
        BusyError: it was not free in time; the message says who holds it.
    """
    deadline = time.monotonic() + wait_seconds
    told = ""
    while not _is_taken(connection, lock):
        holder = _holder(connection, lock)
        if time.monotonic() >= deadline:
            message = f"Busy: {holder} holds the {lock}. Run this again when that has ended."
            raise BusyError(message)
        if holder != told:
            on_wait(holder)
            told = holder
        time.sleep(_ASK_SECONDS)


def _is_taken(connection: psycopg.Connection, lock: Lock) -> bool:
    row = connection.execute(_TRY, {"name": lock.value}).fetchone()
    return row is not None and bool(row[0])


def _holder(connection: psycopg.Connection, lock: Lock) -> str:
    row = connection.execute(_HOLDER, {"name": lock.value}).fetchone()
    if row is None:
        return "somebody who is just ending"
    return f"{row[1]} (session {row[0]}, since {row[2]:%Y-%m-%d %H:%M:%S %Z})"
