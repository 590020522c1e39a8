"""One load at a time: a lock of the session that loads, so it goes when that session does."""

import time
from collections.abc import Callable

import psycopg

from lakehouse.errors import RetryLaterError

_ASK_SECONDS = 0.2
_TRY = "select pg_try_advisory_lock(hashtext('warehouse'), hashtext('load'))"
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
    and l.objid::bigint = (hashtext('load')::bigint & 4294967295)"""


def take_lock(
    connection: psycopg.Connection, *, wait_seconds: float, on_progress: Callable[[str], None]
) -> None:
    """Keep other loads out for as long as the session lasts.

    Raises:
        RetryLaterError: another load did not end in time; the message says whose.
    """
    deadline = time.monotonic() + wait_seconds
    told = ""
    while not _is_taken(connection):
        holder = _holder(connection)
        if time.monotonic() >= deadline:
            message = f"The warehouse is being loaded by {holder}. Try again when that has ended."
            raise RetryLaterError(message)
        if holder != told:
            on_progress(f"waiting for {holder}")
            told = holder
        time.sleep(_ASK_SECONDS)


def _is_taken(connection: psycopg.Connection) -> bool:
    row = connection.execute(_TRY).fetchone()
    return row is not None and bool(row[0])


def _holder(connection: psycopg.Connection) -> str:
    row = connection.execute(_HOLDER).fetchone()
    if row is None:
        return "a load that is just ending"
    return f"{row[1]} (session {row[0]}, since {row[2]:%Y-%m-%d %H:%M:%S %Z})"
