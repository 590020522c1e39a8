"""Preparation of a database for capture, and its removal."""

from typing import LiteralString

import psycopg
from psycopg import sql

from connectors.source import preparation, prepare
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service
from stack.postgres.roles import SOURCE_ROLES, source_statements
from stack.source.check import Source

_VARIABLE: LiteralString = ":'{}'"
_HEADER = """\
-- Prepares a database for change capture: roles, the schema cdc, REPLICA IDENTITY FULL of all
-- tables in schema public, and a publication. Idempotent. For a superuser, in psql; the passwords
-- are variables:
--   psql {variables} --file THIS_FILE
\\set ON_ERROR_STOP on
begin;
set local lock_timeout = '2s';
"""
_ACTIVE: LiteralString = "select s.active from pg_replication_slots as s where s.slot_name = %s"
_DROP_SLOT: LiteralString = "select pg_drop_replication_slot(%s)"
_FULL: LiteralString = """
select format('alter table %s replica identity default', c.oid::regclass)
from pg_class as c
where c.relkind in ('r', 'p') and c.relreplident = 'f' and cdc.is_published(c.oid)"""
_THERE: LiteralString = """
select r.rolname::text from pg_roles as r where r.rolname = any(%s) order by r.rolname"""
_USED: LiteralString = """
select r.rolname::text
from pg_roles as r
inner join pg_shdepend as d on d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
where r.rolname = any(%s)
group by r.rolname"""


def sql_for_administrator(source: Source, settings: ConnectSettings, database: str) -> str:
    """Return the script that prepares a database, for psql."""
    passwords = {role: sql.SQL(_VARIABLE.format(role)) for role in SOURCE_ROLES}
    roles = (f"{one.as_string()};" for one in source_statements(database, passwords))
    version = source.server.version_number // 10_000
    variables = " ".join(f"--set {role}=…" for role in SOURCE_ROLES)
    return "\n".join(
        (
            _HEADER.format(variables=variables),
            *roles,
            preparation(settings, version, is_published=source.server.is_published),
            "commit;",
        )
    )


def apply(dsn: str, source: Source, settings: ConnectSettings, secrets: Secrets) -> None:
    """Prepare a database: roles, the schema cdc, replica identities, publication. Idempotent.

    Raises:
        RetryLaterError: the database does not answer, or a table is locked.
        StopPipelineError: it refuses, or it has roles of these names that are not ours.
    """
    known = [role for role in SOURCE_ROLES if role in source.server.roles]
    if known and not source.server.has_cdc:
        problem = (
            f"The server has roles named {', '.join(known)}, and this database was never prepared: "
            "they would get other passwords"
        )
        action = (
            "If they are of this pipeline, for another database, run --sql without the lines of "
            "their passwords. Otherwise rename them."
        )
        raise StopPipelineError(problem, action)
    passwords = {role: sql.Literal(secrets[f"oltp_{role}"]) for role in SOURCE_ROLES}
    with (
        explaining(Service.SHOP, "The source cannot be prepared"),
        psycopg.connect(dsn, connect_timeout=10, client_encoding="utf8") as connection,
    ):
        for one in source_statements(connection.info.dbname, passwords):
            connection.execute(one)
    prepare(dsn, settings)


def remove(dsn: str, settings: ConnectSettings) -> list[str]:
    """Take away all that `apply` made; returns what was done.

    Replica identities become DEFAULT. Roles that other databases of the server use stay.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses, or Kafka Connect still reads the slot.
    """
    done = []
    with (
        explaining(Service.SHOP, "Nothing was removed from the source"),
        psycopg.connect(dsn, connect_timeout=10, client_encoding="utf8") as connection,
    ):
        slot = connection.execute(_ACTIVE, [settings.slot_name]).fetchone()
        if slot is not None and slot[0]:
            problem = f"Kafka Connect reads the slot {settings.slot_name}"
            raise StopPipelineError(problem, "Stop it first: ./pipeline down connect")
        if connection.execute("select to_regnamespace('cdc')").fetchone() != (None,):
            lowered = connection.execute(_FULL).fetchall()
            # With its functions go the triggers of the tables, and the event trigger, which would
            # raise the replica identities again.
            connection.execute("drop schema cdc cascade")
            for (statement,) in lowered:
                connection.execute(statement)
            done.append("schema cdc, with its triggers")
        name = sql.Identifier(settings.publication_name)
        connection.execute(sql.SQL("drop publication if exists {}").format(name))
        done.append(f"publication {settings.publication_name}")
        gone = _drop_roles(connection)
        if gone:
            done.append(f"roles {', '.join(gone)}")
        if slot is not None:
            connection.execute(_DROP_SLOT, [settings.slot_name])
            done.append(f"slot {settings.slot_name}")
    return done


def _drop_roles(connection: psycopg.Connection) -> list[str]:
    """Drop the roles that no other database uses; returns their names."""
    rows = connection.execute(_THERE, [list(SOURCE_ROLES)]).fetchall()
    names = [name for (name,) in rows]
    for name in names:
        connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    used = {name for (name,) in connection.execute(_USED, [names]).fetchall()}
    gone = [name for name in names if name not in used]
    for name in gone:
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
    return gone
