"""Roles and databases of the two servers. Privileges on tables are granted with their schemas."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_SOURCE_ROLES = (
    # Row-level security makes a snapshot fail instead of silently omitting rows.
    _Role(name="debezium", attributes="login replication", settings={"row_security": "off"}),
    _Role(name="monitor", member_of="pg_monitor"),
    _Role(name="reconcile"),
    _Role(name="extract"),
)
SOURCE_ROLES = tuple(role.name for role in _SOURCE_ROLES)
"""Those that capture and compare: all that a database needs that is not the simulated shop."""
_IS_UTF8: LiteralString = """
select pg_encoding_to_char(d.encoding) = 'UTF8' from pg_database as d
where d.datname = 'template1'"""
_KNOWS_LETTERS_SINCE = 170_000
"""From this version on, Postgres itself has a locale whose lower and ILIKE know more than ASCII."""
MAY_REPLICATE = sql.SQL("""(
    o.rolreplication
    or o.rolsuper
    -- Amazon's servers
    or exists (
        select from pg_auth_members as m
        inner join pg_roles as g on m.roleid = g.oid
        where m.member = o.oid and g.rolname = 'rds_replication'
    )
)""")
"""Whether the role `o`, of pg_roles, may use replication slots."""
_OLTP_ROLES = (_Role(name="simulator"), *_SOURCE_ROLES)
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
        connection.execute(_let_in(settings.database, [role.name for role in _OLTP_ROLES]))


def source_statements(database: str, passwords: Mapping[str, sql.Composable]) -> list[sql.Composed]:
    """Return what creates the roles of a database that is not the simulated shop. Idempotent.

    Args:
        database: its name.
        passwords: by role; a literal, or a variable of psql.
    """
    found = [one for role in _SOURCE_ROLES for one in _statements(role, passwords[role.name])]
    return [*found, _let_in(database, SOURCE_ROLES)]


def owners_statements(database: str, passwords: Mapping[str, sql.Composable]) -> list[sql.Composed]:
    """Return what creates these roles with the rights that CREATEROLE gives. Idempotent.

    Args:
        database: its name.
        passwords: by role; those that are there already are left out.
    """
    found: list[sql.Composed] = []
    for role in _SOURCE_ROLES:
        if role.name not in passwords:
            continue
        plain = replace(role, attributes="login", member_of=None)
        found += _statements(plain, passwords[role.name])
        if "replication" in role.attributes:
            found.append(sql.SQL(_LET_REPLICATE).format(sql.Identifier(role.name)))
        if role.member_of:
            names = sql.Identifier(role.member_of), sql.Identifier(role.name)
            found.append(sql.SQL(_GRANT_IF_ALLOWED).format(*names))
    return [*found, _let_in(database, SOURCE_ROLES)]


# Amazon's servers let a role replicate by membership.
_LET_REPLICATE: LiteralString = """
do $$
begin
    alter role {0} replication;
exception when insufficient_privilege then
    if to_regrole('rds_replication') is null then
        raise;
    end if;
    grant rds_replication to {0};
end
$$"""
# Without it `monitor` sees the slot, but not what other sessions do.
_GRANT_IF_ALLOWED: LiteralString = """
do $$
begin
    grant {} to {};
exception when insufficient_privilege then
    null;
end
$$"""


def prepare_warehouse(settings: WarehouseSettings, secrets: Secrets) -> None:
    """Create the warehouse's roles and database. Idempotent."""
    warehouse = warehouse_dsn(settings, secrets, role="admin")
    with psycopg.connect(warehouse, dbname="postgres", autocommit=True) as connection:
        for role in _WAREHOUSE_ROLES:
            _role(connection, role, password=secrets[f"warehouse_{role.name}"])
        _database(connection, settings.database, owner="admin")
    with psycopg.connect(warehouse) as connection:
        connection.execute(_let_in(settings.database, [role.name for role in _WAREHOUSE_ROLES]))
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
    for one in _statements(role, None if password is None else sql.Literal(password)):
        connection.execute(one)


def _statements(role: _Role, password: sql.Composable | None) -> Iterator[sql.Composed]:
    name = sql.Identifier(role.name)
    create = "do $$ begin if to_regrole({}) is null then create role {}; end if; end $$"
    yield sql.SQL(create).format(sql.Literal(role.name), name)
    yield sql.SQL("alter role {} {}").format(name, sql.SQL(role.attributes))
    if password is not None:
        yield sql.SQL("alter role {} password {}").format(name, password)
    for setting, value in role.settings.items():
        begin = sql.SQL("alter role {} set {} to {}")
        yield begin.format(name, sql.Identifier(setting), sql.Literal(value))
    if role.member_of:
        yield sql.SQL("grant {} to {}").format(sql.Identifier(role.member_of), name)


def _database(connection: psycopg.Connection, database: str, *, owner: str) -> None:
    name = sql.Identifier(database)
    found = connection.execute("select from pg_database where datname = %s", [database]).fetchone()
    if found is None:
        statement = sql.SQL("create database {} owner {}").format(name, sql.Identifier(owner))
        if connection.execute(_IS_UTF8).fetchone() != (True,):
            # Of a server that others set up: its encoding need not hold each text.
            statement += sql.SQL(" template template0 encoding 'UTF8' locale 'C'")
            if connection.info.server_version >= _KNOWS_LETTERS_SINCE:
                statement += sql.SQL(" locale_provider builtin builtin_locale 'C.UTF-8'")
        connection.execute(statement)
    # Roles that are not named may not connect.
    closed = sql.SQL("revoke all on database {}, postgres, template1 from public")
    connection.execute(closed.format(name))


def _let_in(database: str, roles: Sequence[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, roles))
    grant = sql.SQL("grant connect on database {} to {}; grant usage on schema public to {}")
    return grant.format(sql.Identifier(database), names, names)
