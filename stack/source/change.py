"""Preparation of a database for capture, and its removal."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import LiteralString

import psycopg
from psycopg import sql

from connectors.source import Extent, preparation, prepare
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service, Trouble
from stack.postgres.roles import MAY_REPLICATE, SOURCE_ROLES, owners_statements, source_statements
from stack.source.check import LOGIN, Source

_VARIABLE: LiteralString = ":'{}'"
_HEADER = """\
-- Prepares a database for change capture: roles, the schema cdc, {tables},
-- and a publication. Idempotent. For {whom}, in psql 14 or newer; the
-- roles get the passwords of these variables, which the pipeline has in its file of secrets:
{variables}
\\set ON_ERROR_STOP on
begin;
set local lock_timeout = '250ms';
"""
_SLOT: LiteralString = """
select
    s.active,
    {} as may_drop
from pg_replication_slots as s
inner join pg_roles as o on o.rolname = current_user
where s.slot_name = %s and s.database = current_database()"""
_DROP_SLOT: LiteralString = "select pg_drop_replication_slot(%s)"
_IS_OURS: LiteralString = """
select
    to_regclass('cdc.heartbeat') is not null
    and to_regclass('cdc.signal') is not null
    and to_regprocedure('cdc.is_published(regclass)') is not null
    and not exists (
        select from pg_class as c
        where
            c.relnamespace = to_regnamespace('cdc')
            and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and c.relname not in ('heartbeat', 'signal')
    )"""
_FULL: LiteralString = """
select format('alter table %s replica identity default', c.oid::regclass)
from pg_class as c
where
    c.relkind in ('r', 'p')
    and c.relreplident = 'f'
    and cdc.is_published(c.oid)
    and pg_has_role(current_user, c.relowner, 'usage')"""
# Grain: one row per role that is there, and whether anything but grants in this database needs it.
_ROLES: LiteralString = """
select
    r.rolname::text,
    exists (
        select from pg_shdepend as d
        where
            d.refclassid = 'pg_authid'::regclass
            and d.refobjid = r.oid
            and (
                d.deptype <> 'a'
                or d.dbid not in (0, b.oid)
                or (d.dbid = 0 and (d.classid <> 'pg_database'::regclass or d.objid <> b.oid))
            )
    ) as is_needed
from pg_roles as r
inner join pg_database as b on b.datname = current_database()
where r.rolname = any(%s)
order by r.rolname"""
_GRANTS: LiteralString = """
select format('revoke all on table %%s from %%I', c.oid::regclass, r.rolname)
from pg_class as c
cross join aclexplode(c.relacl) as g
inner join pg_roles as r on g.grantee = r.oid
where r.rolname = %(role)s
union
select format('revoke all on schema public from %%I', %(role)s)
union
select format('revoke all on database %%I from %%I', current_database(), %(role)s)"""
_TABLES = {
    Extent.SCHEMA: "REPLICA IDENTITY FULL of all tables in schema public",
    Extent.OWNED: "REPLICA IDENTITY FULL of the tables of its owner",
    Extent.OWNED_AS_THEY_ARE: "no change of tables",
}
_TABLE_IS_OPEN = (
    "A transaction has a table open that has to be altered, and the shop must not wait behind the "
    "alteration. Try again."
)


def sql_for_administrator(
    source: Source, settings: ConnectSettings, extent: Extent = Extent.SCHEMA
) -> str:
    """Return the script that prepares a database, for psql."""
    wanted = _created(source, extent)
    passwords = {role: sql.SQL(_VARIABLE.format(role)) for role in wanted}
    roles = (
        f"{one.as_string()};" for one in _statements(source.server.database, passwords, extent)
    )
    version = source.server.version_number // 10_000
    names = "\n".join(f"\\getenv {role} OLTP_{role.upper()}_PASSWORD" for role in wanted)
    whom = "a superuser" if extent is Extent.SCHEMA else "the owner of the tables"
    return "\n".join(
        (
            _HEADER.format(variables=names, whom=whom, tables=_TABLES[extent]),
            *roles,
            preparation(settings, version, extent, is_published=source.server.is_published),
            "commit;",
        )
    )


def _created(source: Source, extent: Extent) -> list[str]:
    """Return the roles that are to be created. Only a superuser sees to those that are there."""
    if extent is Extent.SCHEMA:
        return list(SOURCE_ROLES)
    return [role for role in SOURCE_ROLES if role not in source.server.roles]


def _statements(
    database: str, passwords: Mapping[str, sql.Composable], extent: Extent
) -> list[sql.Composed]:
    as_superuser = extent is Extent.SCHEMA
    return (source_statements if as_superuser else owners_statements)(database, passwords)


def apply(
    dsn: str,
    source: Source,
    settings: ConnectSettings,
    secrets: Secrets,
    extent: Extent = Extent.SCHEMA,
) -> None:
    """Prepare a database, in one transaction: roles, schema cdc, replica identities, publication.

    Idempotent.

    Raises:
        RetryLaterError: the database does not answer, or a table is locked.
        StopPipelineError: it refuses, or it has roles of these names that are not ours.
    """
    known = [role for role in SOURCE_ROLES if role in source.server.roles]
    if extent is Extent.SCHEMA and known and not source.server.has_cdc:
        problem = (
            f"The server has roles named {', '.join(known)}, and this database was never prepared: "
            "they would get other passwords"
        )
        action = (
            "If they are of this pipeline, for another database, run --sql without the lines of "
            "their passwords. Otherwise rename them."
        )
        raise StopPipelineError(problem, action)

    def roles(connection: psycopg.Connection) -> None:
        passwords = {}
        for role in _created(source, extent):
            # What is sent may be logged: not the password, but what verifies it.
            password = secrets[f"oltp_{role}"].encode()
            verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256")
            passwords[role] = sql.Literal(verifier.decode())
        for one in _statements(connection.info.dbname, passwords, extent):
            connection.execute(one)

    prepare(dsn, settings, roles, extent)


def remove(dsn: str, settings: ConnectSettings) -> list[str]:
    """Take away all that `apply` made, in one transaction; returns what was done.

    Replica identities become DEFAULT. Roles that own something, or that another database of the
    server knows, stay, without their privileges in this one.

    Raises:
        RetryLaterError: the database does not answer, or a table is locked.
        StopPipelineError: it refuses, it was never prepared, or Kafka Connect still reads the slot.
    """
    then = LOGIN | {Trouble.BUSY: _TABLE_IS_OPEN}
    done = []
    with (
        explaining(Service.SHOP, "Nothing was removed from the source", then=then),
        psycopg.connect(dsn, connect_timeout=10, client_encoding="utf8") as connection,
    ):
        connection.execute("set local lock_timeout = '250ms'")
        if connection.execute(_IS_OURS).fetchone() != (True,):
            problem = "This database was never prepared, or its schema cdc holds other tables, too"
            raise StopPipelineError(problem, "Is it the right database?")
        slot = connection.execute(
            sql.SQL(_SLOT).format(MAY_REPLICATE), [settings.slot_name]
        ).fetchone()
        if slot is not None and slot[0]:
            problem = f"Kafka Connect reads the slot {settings.slot_name}"
            raise StopPipelineError(problem, "Stop it first: ./pipeline down connect")
        if slot is not None and not slot[1]:
            problem = f"The login may not drop the slot {settings.slot_name}"
            action = (
                "Have it dropped first, by a login with REPLICATION: select "
                f"pg_drop_replication_slot('{settings.slot_name}')"
            )
            raise StopPipelineError(problem, action)
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
        gone = list(_drop_roles(connection))
        if gone:
            done.append(f"roles {', '.join(gone)}")
        if slot is not None:
            connection.execute(_DROP_SLOT, [settings.slot_name])
            done.append(f"slot {settings.slot_name}")
    return done


def _drop_roles(connection: psycopg.Connection) -> Iterator[str]:
    """Revoke what the roles have in this database, and drop those that nothing else needs."""
    for role, is_needed in connection.execute(_ROLES, [list(SOURCE_ROLES)]).fetchall():
        for (statement,) in connection.execute(_GRANTS, {"role": role}).fetchall():
            connection.execute(statement)
        if not is_needed:
            # One that the login did not create may be another administrator's.
            with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
                yield role
