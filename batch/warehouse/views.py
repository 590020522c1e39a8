"""Refresh of the materialized views to the last load."""

from collections.abc import Callable

import psycopg

from batch.lock import Lock, take_lock
from batch.warehouse.load import SESSION, refused
from batch.warehouse.locks import LIMITED, WAIT_SECONDS
from batch.warehouse.publish import refresh_stale


def refresh_views(
    dsn: str,
    *,
    on_progress: Callable[[str], None] = lambda _text: None,
    wait_seconds: float = WAIT_SECONDS,
) -> list[str]:
    """Refresh the views that are behind a load; return their names.

    Args:
        dsn: connection to the migrated warehouse as its role `batch`.
        on_progress: called with the next view.
        wait_seconds: longest wait for a load to end.

    Raises:
        StopPipelineError: a view cannot be computed from the warehouse.
        RetryLaterError: the warehouse does not answer, or a load is running (`BusyError`).
    """
    with refused("the refresh of its views"), psycopg.connect(dsn, autocommit=True) as connection:
        take_lock(
            connection,
            Lock.LOAD,
            wait_seconds=wait_seconds,
            on_wait=lambda who: on_progress(f"waiting for {who}"),
        )
        connection.execute(SESSION)
        connection.execute(LIMITED)
        return refresh_stale(connection, on_progress=on_progress)
