"""Locks for programs that must not run at the same time: session-level locks in the warehouse.

A whole consolidation, a rebuild and a compaction each exclude all others. A part of a
consolidation that runs by itself, such as one silver table, excludes those and the same part.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import psycopg

from lakehouse.errors import BusyError
from lakehouse.postgres import explained, explaining
from lakehouse.trouble import Service

PATIENCE_SECONDS = 600.0
"""How long a writer waits for another one: enough for one that is near its end. A longer wait is
an error to look into, not one more waiting process."""
_ASK_SECONDS = 0.2
_NO_LOCK = "Its locks cannot be requested"
_TRY = "select pg_try_advisory_lock(hashtext('warehouse'), hashtext(%(name)s))"
_TRY_SHARED = "select pg_try_advisory_lock_shared(hashtext('warehouse'), hashtext(%(name)s))"
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
    """Work that must not run twice at the same time."""

    CONSOLIDATION = "consolidation"
    """Write silver and gold, or compact their tables."""
    LOAD = "load"
    """Write the warehouse."""


def lock_of(part: str) -> str:
    """Return the name of the lock of a part of a consolidation."""
    return f"{Lock.CONSOLIDATION} of {part}"


@contextmanager
def only_one(
    dsn: str,
    what: str,
    *,
    part: str | None = None,
    wait_seconds: float = PATIENCE_SECONDS,
    on_wait: Callable[[str], None] = lambda _who: None,
) -> Iterator[None]:
    """Hold the lock of a consolidation within the block.

    Args:
        dsn: connection to the warehouse.
        what: description of the work, for programs that have to wait.
        part: the part of a consolidation; other parts may run at the same time. None for all.
        wait_seconds: longest wait for the lock.
        on_wait: called with the holder.

    Raises:
        BusyError: it was not free in time; the message names the holder.
        RetryLaterError: the warehouse does not answer.
    """
    with _session(dsn, what) as connection:
        deadline = time.monotonic() + wait_seconds
        wanted = [] if part is None else [lock_of(part)]
        for lock in (*wanted, Lock.CONSOLIDATION):
            take_lock(
                connection,
                lock,
                is_shared=part is not None and lock == Lock.CONSOLIDATION,
                wait_seconds=deadline - time.monotonic(),
                on_wait=on_wait,
            )
        yield


@contextmanager
def first_of(dsn: str, what: str, lock: str) -> Iterator[None]:
    """Hold a lock of its own within the block, or fail at once.

    Args:
        dsn: connection to the warehouse.
        what: description of the work, for programs that come second.
        lock: name of the lock.

    Raises:
        BusyError: another program holds it; the message names it.
        RetryLaterError: the warehouse does not answer.
    """
    with _session(dsn, what) as connection:
        take_lock(connection, lock, wait_seconds=0, on_wait=lambda _who: None)
        yield


@contextmanager
def _session(dsn: str, what: str) -> Iterator[psycopg.Connection]:
    name = f"{what}, process {os.getpid()} on {socket.gethostname()}"[:63]
    try:
        connection = psycopg.connect(dsn, autocommit=True, application_name=name)
    except psycopg.Error as error:
        raise explained(error, Service.WAREHOUSE, _NO_LOCK) from error
    with connection:
        yield connection


def take_lock(
    connection: psycopg.Connection,
    lock: str,
    *,
    is_shared: bool = False,
    wait_seconds: float,
    on_wait: Callable[[str], None],
) -> None:
    """Take a lock until the session ends; sharing holders exclude only exclusive ones.

    Raises:
        BusyError: it was not free in time; the message names the holder.
        RetryLaterError: the warehouse does not answer.
    """
    with explaining(Service.WAREHOUSE, _NO_LOCK):
        _wait_for(connection, lock, is_shared, wait_seconds, on_wait)


def _wait_for(
    connection: psycopg.Connection,
    lock: str,
    is_shared: bool,  # noqa: FBT001 - as `take_lock` has it
    wait_seconds: float,
    on_wait: Callable[[str], None],
) -> None:
    deadline = time.monotonic() + wait_seconds
    told = ""
    while not _is_taken(connection, lock, is_shared=is_shared):
        holder = _holder(connection, lock)
        if time.monotonic() >= deadline:
            problem = f"Busy: {holder} holds the {lock}"
            raise BusyError(problem, "Run this again when it has ended.")
        if holder != told:
            on_wait(holder)
            told = holder
        time.sleep(_ASK_SECONDS)


def _is_taken(connection: psycopg.Connection, lock: str, *, is_shared: bool) -> bool:
    row = connection.execute(_TRY_SHARED if is_shared else _TRY, {"name": str(lock)}).fetchone()
    return row is not None and bool(row[0])


def _holder(connection: psycopg.Connection, lock: str) -> str:
    row = connection.execute(_HOLDER, {"name": str(lock)}).fetchone()
    if row is None:
        return "a session that is just ending"
    return f"{row[1]} (session {row[0]}, since {row[2]:%Y-%m-%d %H:%M:%S %Z})"
