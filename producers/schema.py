"""Creation of the shop's schema. Idempotent; an unchanged schema takes no locks."""

import hashlib
import json
from pathlib import Path

import psycopg

from lakehouse.postgres import explaining
from lakehouse.trouble import Service, Trouble
from producers.rows import COLUMNS_OF

_AS_SUPERUSER = (
    "Apply producers/oltp/ as superuser, after its roles are made: ./pipeline up does both."
)
_SQL = Path(__file__).with_name("oltp")
_KEYS = {table: columns[0] for table, columns in COLUMNS_OF.items()}
_OWNED = ("versions", *_KEYS, "ledger", "grants")


def apply_schema(admin_dsn: str, other: Path | None = None) -> None:
    """Create or update the shop's tables, triggers and grants, in one transaction.

    Args:
        admin_dsn: a superuser's connection to the shop's database. The roles simulator, debezium,
            reconcile and shop_owner exist.
        other: the file with the tables of another shop, in place of ours.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: the database refuses the login or a statement.
    """
    then = dict.fromkeys((Trouble.RIGHTS, Trouble.SCHEMA), _AS_SUPERUSER)
    with (
        explaining(Service.SHOP, "The shop's schema cannot be applied", then=then),
        psycopg.connect(admin_dsn) as connection,
    ):
        # Concurrent runs would fail on each other's catalog updates.
        connection.execute("select pg_advisory_xact_lock(hashtext('producers.schema'))")
        if other is None:
            _apply(connection)
        else:
            connection.execute(_read("owner"))
            connection.execute("set local role shop_owner")
            connection.execute(other.read_bytes())


def _apply(connection: psycopg.Connection) -> None:
    owned = {name: _read(name) for name in _OWNED}
    fingerprint = hashlib.sha256(b"\0".join([_read("owner"), *owned.values()])).hexdigest()
    is_applied = _applied_fingerprint(connection) == fingerprint
    connection.execute(_read("owner"))
    connection.execute("set local role shop_owner")
    connection.execute("select set_config('shop.tables', %s, true)", [json.dumps(_KEYS)])
    if is_applied:
        # Restores revoked privileges. Grants take no table locks.
        connection.execute(owned["grants"])
        return
    for name, statements in owned.items():
        connection.execute(statements)
        if name in _KEYS:
            tracked = [f"public.{name}", _KEYS[name]]
            connection.execute("select public.track_versions(%s, %s)", tracked)
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
