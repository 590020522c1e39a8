"""Roles and databases of the two servers. Privileges on tables are granted with their schemas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg import sql

from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import OltpSettings, WarehouseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    name: str
    attributes: LiteralString = "login"
    member_of: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of its sessions."""


_OWNER = "shop_owner"
_OLTP_ROLES = (
    _Role(name="simulator"),
    # Row-level security makes a snapshot fail instead of silently omitting rows.
    _Role(name="debezium", attributes="login replication", settings={"row_security": "off"}),
    _Role(name="monitor", member_of="pg_monitor"),
    _Role(name="reconcile"),
    _Role(name="extract"),
)
_WAREHOUSE_OWNER = "batch"
_EXPORTER = _Role(
    name="monitor",
    member_of="pg_monitor",
    settings={"default_transaction_read_only": "on", "statement_timeout": "10s"},
)


STATEMENT_SECONDS = 30
"""Longer queries are useless for charts and must not block a load."""
TRANSACTION_SECONDS = 300
"""Idle transactions keep their locks and must not block a load, which waits ten minutes."""
_READER = _Role(
    name="reader",
    settings={
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS}s",
        "transaction_timeout": f"{TRANSACTION_SECONDS}s",
    },
)
_WAREHOUSE_ROLES = (
    # May read which sessions block a load, and for how long.
    _Role(name=_WAREHOUSE_OWNER, member_of="pg_read_all_stats"),
    _Role(name="live"),
    _READER,
    _EXPORTER,
)


def prepare_oltp(settings: OltpSettings, secrets: Secrets) -> None:
    """Create the shop's roles and database. Idempotent."""
    shop = oltp_dsn(settings, secrets, role="admin")
    with psycopg.connect(shop, dbname="postgres", autocommit=True) as connection:
        _role(connection, _Role(name=_OWNER, attributes="nologin"), password=None)
        for role in _OLTP_ROLES:
            _role(connection, role, password=secrets[f"oltp_{role.name}"])
        _database(connection, settings.database, owner=_OWNER)
    with psycopg.connect(shop) as connection:
        _let_in(connection, settings.database, [role.name for role in _OLTP_ROLES])


def prepare_warehouse(settings: WarehouseSettings, secrets: Secrets) -> None:
    """Create the warehouse's roles and database. Idempotent."""
    warehouse = warehouse_dsn(settings, secrets, role="admin")
    with psycopg.connect(warehouse, dbname="postgres", autocommit=True) as connection:
        for role in _WAREHOUSE_ROLES:
            _role(connection, role, password=secrets[f"warehouse_{role.name}"])
        _database(connection, settings.database, owner="admin")
    with psycopg.connect(warehouse) as connection:
        _let_in(connection, settings.database, [role.name for role in _WAREHOUSE_ROLES])
        # The owner creates schemas; both roles load through temporary tables.
        name = sql.Identifier(settings.database)
        grant = sql.SQL("grant create, temporary on database {} to {}")
        connection.execute(grant.format(name, sql.Identifier(_WAREHOUSE_OWNER)))
        grant = sql.SQL("grant temporary on database {} to live")
        connection.execute(grant.format(name))


def add_database(admin_dsn: str, name: str, *, password: str) -> None:
    """Create a role and a database of the same name that it owns. Idempotent.

    For a program that stores its own data in the server.
    """
    with psycopg.connect(admin_dsn, dbname="postgres", autocommit=True) as connection:
        # These programs start at the same time, and concurrent changes of a database's
        # privileges fail.
        connection.execute("select pg_advisory_lock(hashtext('add_database'))")
        _role(connection, _Role(name=name), password=password)
        _database(connection, name, owner=name)


def _role(connection: psycopg.Connection, role: _Role, *, password: str | None) -> None:
    name = sql.Identifier(role.name)
    found = connection.execute("select from pg_roles where rolname = %s", [role.name]).fetchone()
    if found is None:
        connection.execute(sql.SQL("create role {}").format(name))
    attributes = sql.SQL(role.attributes)
    connection.execute(sql.SQL("alter role {} {}").format(name, attributes))
    if password is not None:
        connection.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(password)))
    for setting, value in role.settings.items():
        begin = sql.SQL("alter role {} set {} to {}")
        connection.execute(begin.format(name, sql.Identifier(setting), sql.Literal(value)))
    if role.member_of:
        group = sql.Identifier(role.member_of)
        connection.execute(sql.SQL("grant {} to {}").format(group, name))


def _database(connection: psycopg.Connection, database: str, *, owner: str) -> None:
    name = sql.Identifier(database)
    found = connection.execute("select from pg_database where datname = %s", [database]).fetchone()
    if found is None:
        statement = sql.SQL("create database {} owner {}")
        connection.execute(statement.format(name, sql.Identifier(owner)))
    # Roles that are not named may not connect.
    closed = sql.SQL("revoke all on database {}, postgres, template1 from public")
    connection.execute(closed.format(name))


def _let_in(connection: psycopg.Connection, database: str, roles: list[str]) -> None:
    names = sql.SQL(", ").join(sql.Identifier(role) for role in roles)
    grant = sql.SQL("grant connect on database {} to {}")
    connection.execute(grant.format(sql.Identifier(database), names))
    connection.execute(sql.SQL("grant usage on schema public to {}").format(names))
