"""Makes the shop's schema. Applied twice it is applied once, and the second time takes no lock."""

import hashlib
from pathlib import Path

import psycopg

from lakehouse.errors import RetryLaterError, StopPipelineError

TABLES = (
    "suppliers",
    "products",
    "customers",
    "orders",
    "order_lines",
    "payments",
    "stock_movements",
    "interactions",
)
"""In an order in which rows can be inserted: what is referred to comes first."""

_SQL = Path(__file__).with_name("oltp")
_OWNED = ("versions", *TABLES, "ledger", "grants")


def apply_schema(admin_dsn: str) -> None:
    """Create or bring up to date the shop's tables, triggers and grants, in one transaction.

    Args:
        admin_dsn: a superuser's connection to the shop's database. The roles simulator, debezium,
            reconcile and shop_owner exist.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses.
    """
    try:
        with psycopg.connect(admin_dsn) as connection:
            _apply(connection)
    # Internal: somebody else changes the very table at this moment.
    except (psycopg.OperationalError, psycopg.InternalError) as error:
        message = f"The shop's schema cannot be applied now: {error}. Is it up? ./pipeline status"
        raise RetryLaterError(message) from error
    except psycopg.Error as error:
        message = (
            f"The shop's database refuses its schema: {error}. Apply producers/oltp/ as superuser, "
            "after its roles are made: ./pipeline up does both."
        )
        raise StopPipelineError(message) from error


def _apply(connection: psycopg.Connection) -> None:
    # Two at once would trip over each other's catalog rows.
    connection.execute("select pg_advisory_xact_lock(hashtext('producers.schema'))")
    owned = [_read(name) for name in _OWNED]
    fingerprint = hashlib.sha256(b"\0".join([_read("owner"), *owned])).hexdigest()
    if _applied_fingerprint(connection) == fingerprint:
        # What somebody has taken from a role comes back. Grants lock no table.
        connection.execute(_read("owner"))
        connection.execute("set local role shop_owner")
        connection.execute(_read("grants"))
        return
    connection.execute(_read("owner"))
    connection.execute("set local role shop_owner")
    for statements in owned:
        connection.execute(statements)
    connection.execute(
        "insert into ledger.applied_schema (fingerprint) values (%s) on conflict (is_only) "
        "do update set fingerprint = excluded.fingerprint, applied_at = now()",
        [fingerprint],
    )


def _applied_fingerprint(connection: psycopg.Connection) -> str | None:
    exists = connection.execute("select to_regclass('ledger.applied_schema')").fetchone()
    if exists is None or exists[0] is None:
        return None
    row = connection.execute("select s.fingerprint from ledger.applied_schema as s").fetchone()
    return None if row is None else str(row[0])


def _read(name: str) -> bytes:
    return (_SQL / f"{name}.sql").read_bytes()
