"""Roles and databases of the two servers. Tables are granted by the schemas that make them."""

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
    """What its sessions begin with."""


_OWNER = "shop_owner"
_OLTP_ROLES = (
    _Role(name="simulator"),
    # A snapshot that policies hide rows from fails, where it would have left them out.
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
"""A chart that takes longer shows nobody anything, and may not hold up a load."""
TRANSACTION_SECONDS = 300
"""Nor may a transaction that somebody has left open: a load waits ten minutes for what it holds."""
_READER = _Role(
    name="reader",
    # What sessions begin with: whoever needs longer sets it in theirs.
    settings={
        "default_transaction_read_only": "on",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS}s",
        "transaction_timeout": f"{TRANSACTION_SECONDS}s",
    },
)
_WAREHOUSE_ROLES = (
    # It says who is in the way of a load, and for how long.
    _Role(name=_WAREHOUSE_OWNER, member_of="pg_read_all_stats"),
    _Role(name="live"),
    _READER,
    _EXPORTER,
)


def prepare_oltp(settings: OltpSettings, secrets: Secrets) -> None:
    """Make the shop's roles and its database; the second time changes nothing."""
    shop = oltp_dsn(settings, secrets, role="admin")
    with psycopg.connect(shop, dbname="postgres", autocommit=True) as connection:
        _role(connection, _Role(name=_OWNER, attributes="nologin"), password=None)
        for role in _OLTP_ROLES:
            _role(connection, role, password=secrets[f"oltp_{role.name}"])
        _database(connection, settings.database, owner=_OWNER)
    with psycopg.connect(shop) as connection:
        _let_in(connection, settings.database, [role.name for role in _OLTP_ROLES])


def prepare_warehouse(settings: WarehouseSettings, secrets: Secrets) -> None:
    """Make the warehouse's roles and its database; the second time changes nothing."""
    warehouse = warehouse_dsn(settings, secrets, role="admin")
    with psycopg.connect(warehouse, dbname="postgres", autocommit=True) as connection:
        for role in _WAREHOUSE_ROLES:
            _role(connection, role, password=secrets[f"warehouse_{role.name}"])
        _database(connection, settings.database, owner="admin")
    with psycopg.connect(warehouse) as connection:
        _let_in(connection, settings.database, [role.name for role in _WAREHOUSE_ROLES])
        # The owner owns what it makes there; both load through temporary tables.
        name = sql.Identifier(settings.database)
        grant = sql.SQL("grant create, temporary on database {} to {}")
        connection.execute(grant.format(name, sql.Identifier(_WAREHOUSE_OWNER)))
        grant = sql.SQL("grant temporary on database {} to live")
        connection.execute(grant.format(name))


def add_database(admin_dsn: str, name: str, *, password: str) -> None:
    """Make a role, and a database of the same name that is its own; the second time does nothing.

    For a program that keeps data of its own in the server.
    """
    with psycopg.connect(admin_dsn, dbname="postgres", autocommit=True) as connection:
        # All such programs start at once, and Postgres refuses two changes of one database's rights
        # at a time.
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
    # Whoever is not named may not even connect.
    closed = sql.SQL("revoke all on database {}, postgres, template1 from public")
    connection.execute(closed.format(name))


def _let_in(connection: psycopg.Connection, database: str, roles: list[str]) -> None:
    names = sql.SQL(", ").join(sql.Identifier(role) for role in roles)
    grant = sql.SQL("grant connect on database {} to {}")
    connection.execute(grant.format(sql.Identifier(database), names))
    connection.execute(sql.SQL("grant usage on schema public to {}").format(names))
