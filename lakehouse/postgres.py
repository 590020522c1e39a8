"""How to reach the two Postgres servers, a role at a time."""

from collections.abc import Iterable, Sequence

import polars as pl
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lakehouse.digest import Digest
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
    """Connection string for the warehouse.

    Roles: admin, batch, live, reader (reads marts), monitor (reads how layers and runs are).
    """
    return make_conninfo(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=role,
        password=secrets[f"warehouse_{role}"],
        connect_timeout=10,
        application_name=role,
    )


_CANONICAL = """
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'iso_8601';
set extra_float_digits = 3"""
_DIGEST = """
select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)
from {} as t"""
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


def speak_canonically(connection: psycopg.Connection) -> None:
    """Let rows turn into the same text in every session, so that digests can be compared."""
    connection.execute(_CANONICAL)


def table_digest(
    connection: psycopg.Connection, table: sql.Identifier, where: sql.Composable | None = None
) -> Digest:
    """Of all rows of a table, or of those of a condition on `t`; as `lakehouse.digest` has it.

    The hash of a row is Postgres' own of its text, so these digests compare with each other only.
    """
    query = sql.SQL(_DIGEST).format(table)
    if where is not None:
        query = sql.SQL("{} where {}").format(query, where)
    row = connection.execute(query).fetchone()
    return Digest(rows=int(row[0]), total=int(row[1]) % 2**64) if row else Digest()
