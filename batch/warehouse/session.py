"""Sessions that write to the mart, one at a time, and their errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from batch.lock import Lock, take_lock
from batch.warehouse.locks import LIMITED
from lakehouse.postgres import explaining
from lakehouse.trouble import Service, Trouble

_IF_BUSY = {Trouble.BUSY: "./pipeline doctor shows open transactions. Then try again."}
# Statistics of temporary tables need no detail. These tables come last on the path, because live's
# have the names of the entities. The index of a rebuild's affected keys, in random order, has to
# fit into the buffers of temporary tables.
SESSION = """
set search_path = entity, etl, pg_temp; set work_mem = '64MB'; set temp_buffers = '256MB';
set maintenance_work_mem = '256MB'; set jit = off;
set client_min_messages = warning;
set default_statistics_target = 10"""


@contextmanager
def loading(
    dsn: str, what: str, on_progress: Callable[[str], None], wait_seconds: float
) -> Iterator[psycopg.Connection]:
    """Hold the lock of a load, with a connection in autocommit, within the block.

    Raises:
        StopPipelineError: the statements or the rows are wrong.
        RetryLaterError: as of `refused`, or another load is running (`BusyError`).
    """
    with refused(what), psycopg.connect(dsn, autocommit=True) as connection:
        take_lock(
            connection,
            Lock.LOAD,
            wait_seconds=wait_seconds,
            on_wait=lambda who: on_progress(f"waiting for {who}"),
        )
        connection.execute(SESSION)
        connection.execute(LIMITED)
        yield connection


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Convert errors of Postgres, sorted by what the caller does next.

    Raises:
        StopPipelineError: the statements or the rows are wrong.
        RetryLaterError: the warehouse does not answer, has no room, or another session blocks it.
    """
    what = f"The warehouse stays as it was, without {what}"
    with explaining(Service.WAREHOUSE, what, then=_IF_BUSY):
        yield
