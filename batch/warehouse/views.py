"""Refresh of the materialized views after a load; readers see the old ones until it is done."""

from collections.abc import Callable
from pathlib import PurePosixPath

import psycopg
from psycopg import sql

from batch.warehouse.locks import WAIT_SECONDS
from batch.warehouse.scripts import run, scripts
from batch.warehouse.session import loading


def views() -> list[str]:
    """Return the names of the mart's materialized views."""
    return [PurePosixPath(name).parent.name for name, _ in scripts("views/*/view.sql")]


def flag_stale(connection: psycopg.Connection) -> None:
    """Mark the views as behind, in the transaction of a load."""
    connection.execute(
        "insert into etl.stale_view (view_name) select unnest(%s::text[]) on conflict do nothing",
        [views()],
    )


def refresh_views(
    dsn: str,
    *,
    on_progress: Callable[[str], None] = lambda _text: None,
    wait_seconds: float = WAIT_SECONDS,
) -> list[str]:
    """Refresh the views that are behind a load, one transaction each; return their names.

    Args:
        dsn: connection to the migrated warehouse as its role `batch`.
        on_progress: called with the next view.
        wait_seconds: longest wait for a load to end.

    Raises:
        StopPipelineError: a view cannot be computed from the warehouse.
        RetryLaterError: the warehouse does not answer, or a load is running (`BusyError`).
    """
    with loading(dsn, "the refresh of its views", on_progress, wait_seconds) as connection:
        rows = connection.execute("select s.view_name from etl.stale_view as s order by 1")
        names = [name for (name,) in rows]
        for name in names:
            on_progress(f"refreshing {name}")
            with connection.transaction():
                view = sql.Identifier("mart", name)
                run(connection, "refresh materialized view concurrently {}", view)
                connection.execute("delete from etl.stale_view where view_name = %s", [name])
    return names
