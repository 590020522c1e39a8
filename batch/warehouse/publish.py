"""Refresh of the materialized views after a load; readers see the old ones until it is done."""

from collections.abc import Callable
from pathlib import PurePosixPath

import psycopg
from psycopg import sql

from batch.warehouse.scripts import run, scripts


def views() -> list[str]:
    """Return the names of the mart's materialized views."""
    return [PurePosixPath(name).parent.name for name, _ in scripts("views/*/view.sql")]


def flag_stale(connection: psycopg.Connection) -> None:
    """Mark the views as behind, in the transaction of a load."""
    connection.execute(
        "insert into etl.stale_view (view_name) select unnest(%s::text[]) on conflict do nothing",
        [views()],
    )


def refresh_stale(
    connection: psycopg.Connection, *, on_progress: Callable[[str], None] = lambda _text: None
) -> list[str]:
    """Refresh the views that are behind, one transaction each; return their names.

    Args:
        connection: to the warehouse as its role `batch`, in autocommit, holding the load's lock.
        on_progress: called with the next view.
    """
    rows = connection.execute("select s.view_name from etl.stale_view as s order by 1").fetchall()
    names = [name for (name,) in rows]
    for name in names:
        on_progress(f"refreshing {name}")
        with connection.transaction():
            run(
                connection,
                "refresh materialized view concurrently {}",
                sql.Identifier("mart", name),
            )
            connection.execute("delete from etl.stale_view where view_name = %s", [name])
    return names
