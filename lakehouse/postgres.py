"""How to reach the two Postgres servers, a role at a time."""

from collections.abc import Iterable, Sequence

import polars as pl
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, WarehouseSettings


def oltp_dsn(settings: OltpSettings, secrets: Secrets, *, role: str) -> str:
    """Connection string for the shop.

    Roles: admin, simulator, debezium, monitor, reconcile, extract (may ask for extractions).
    """
    return make_conninfo(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=role,
        password=secrets[f"oltp_{role}"],
        connect_timeout=10,
        application_name=role,
    )


def warehouse_dsn(settings: WarehouseSettings, secrets: Secrets, *, role: str) -> str:
    """Connection string for the warehouse. Roles: admin, batch, live, reader (reads marts)."""
    return make_conninfo(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=role,
        password=secrets[f"warehouse_{role}"],
        connect_timeout=10,
        application_name=role,
    )


_COPY = "copy {} ({}) from stdin (format csv)"
_INSTANT = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


def copy_frames(
    connection: psycopg.Connection,
    table: sql.Identifier,
    columns: Sequence[str],
    frames: Iterable[pl.DataFrame],
) -> int:
    """COPY these columns of frames into a table that has them under the same names; rows copied.

    Raises:
        psycopg.Error: the database refuses them, or is away.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    rows = 0
    with connection.cursor() as cursor, cursor.copy(sql.SQL(_COPY).format(table, names)) as copy:
        for frame in frames:
            text = frame.select(columns).write_csv(
                include_header=False, datetime_format=_INSTANT, quote_style="necessary"
            )
            copy.write(text)
            rows += frame.height
    return rows
