"""What a database lacks for change capture, found without writing anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from connectors.partitions import GENERATED_SINCE, read_left_out
from connectors.source import EXTRACT_TRUNCATED, OLDEST
from lakehouse.kafka import is_capturable
from lakehouse.postgres import explaining
from lakehouse.settings import ConnectSettings
from lakehouse.trouble import Service, Trouble
from stack.findings import Finding, Said, fine, note, wrong
from stack.postgres.roles import MAY_REPLICATE, SOURCE_ROLES

_TABLES = Path(__file__).with_name("facts.sql")
_SERVER: LiteralString = """
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    current_setting('wal_level') as wal_level,
    current_setting('max_replication_slots')::integer as most_slots,
    (select count(*) from pg_replication_slots) as slots,
    current_setting('max_wal_senders')::integer as most_senders,
    (select count(*) from pg_stat_replication) as senders,
    current_setting('max_slot_wal_keep_size') = '-1' as is_wal_unlimited,
    pg_is_in_recovery() as is_standby,
    current_user as login,
    current_database() as database,
    r.rolsuper as is_superuser,
    array(select o.rolname::text from pg_roles as o where o.rolname = any(%(roles)s)) as roles,
    exists (
        select from pg_roles as o
        where o.rolname = 'debezium' and {}
    ) as may_replicate,
    to_regclass('cdc.heartbeat') is not null and to_regclass('cdc.signal') is not null as has_cdc,
    exists (
        select from pg_event_trigger as t where t.evtname = 'cdc_capture' and t.evtenabled <> 'D'
    ) as has_event_trigger,
    exists (select from pg_publication as p where p.pubname = %(publication)s) as is_published,
    exists (
        select from pg_publication as p
        inner join pg_publication_rel as t on p.oid = t.prpubid
        where p.pubname = %(publication)s
    ) as is_by_table,
    s.wal_status as slot_status,
    s.database as database_of_slot
from pg_roles as r
left join pg_replication_slots as s on s.slot_name = %(slot)s
where r.rolname = current_user"""
# Without what extensions have made. Partitions belong to the schema of their root.
_OTHER_SCHEMAS: LiteralString = """
select
    n.nspname::text as name,
    count(*) as tables
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p')
    and c.relpersistence <> 't'
    and not c.relispartition
    and n.nspname not in ('public', 'cdc', 'information_schema')
    and n.nspname not like 'pg\\_%'
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
group by n.nspname
order by n.nspname"""
LOGIN = {Trouble.RIGHTS: "Correct URL: its login, its password (PGPASSWORD), its sslmode."}
"""What to do where the URL is refused."""
_SPARE = 1
"""Slots and WAL senders that the connector takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server and database: one row of the query above."""

    version: str
    version_number: int
    wal_level: str
    most_slots: int
    slots: int
    most_senders: int
    senders: int
    is_wal_unlimited: bool
    is_standby: bool
    login: str
    database: str
    is_superuser: bool
    roles: list[str]
    may_replicate: bool
    has_cdc: bool
    has_event_trigger: bool
    is_published: bool
    is_by_table: bool
    slot_status: str | None
    database_of_slot: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of schema public.

    Attributes:
        name: as SQL needs it, quoted.
        plain_name: as the catalog has it.
        kind: plain, partitioned, unlogged or foreign.
        replica_identity: `pg_class.relreplident`: f is FULL, d the primary key.
        has_virtual: whether it has virtual generated columns.
        has_stored: whether it has stored ones.
        has_children: whether other tables inherit from it.
        is_owned: whether the login may alter it.
        is_included: whether the publication includes it, by its own name or as part of the schema.
    """

    name: str
    plain_name: str
    kind: str = "plain"
    is_partition: bool = False
    has_row_security: bool = False
    replica_identity: str = "d"
    has_key: bool = True
    has_virtual: bool = False
    has_stored: bool = False
    has_children: bool = False
    is_owned: bool = True
    is_included: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that is read of a database.

    Attributes:
        server: the server and database.
        tables: those of schema public.
        other_schemas: numbers of tables by the other schemas that have any.
    """

    server: Server
    tables: Sequence[Table] = field(default_factory=tuple)
    other_schemas: Mapping[str, int] = field(default_factory=dict)


def read_source(dsn: str, settings: ConnectSettings) -> Source:
    """Read a database's catalog, in a transaction that may not write.

    Raises:
        RetryLaterError: it does not answer.
        StopPipelineError: it refuses the login or the query.
    """
    names = {
        "roles": list(SOURCE_ROLES),
        "publication": settings.publication_name,
        "slot": settings.slot_name,
    }
    with (
        explaining(Service.SHOP, "The source cannot be read", then=LOGIN),
        psycopg.connect(dsn, connect_timeout=10, client_encoding="utf8") as connection,
    ):
        connection.read_only = True
        with connection.cursor(row_factory=class_row(Server)) as cursor:
            server = cursor.execute(sql.SQL(_SERVER).format(MAY_REPLICATE), names).fetchone()
        with connection.cursor(row_factory=class_row(Table)) as cursor:
            tables = cursor.execute(_TABLES.read_bytes()).fetchall()
        left_out = read_left_out(connection, settings.publication_name)
        others: dict[str, int] = dict(connection.execute(_OTHER_SCHEMAS).fetchall())
    assert server is not None  # noqa: S101 - the login has a row in pg_roles
    included = [replace(t, is_included=t.plain_name not in left_out) for t in tables]
    return Source(server=server, tables=included, other_schemas=others)


def diagnose(source: Source, settings: ConnectSettings) -> list[Finding]:
    """Return what is fine, what works within limits, and what is missing."""
    parts = (
        ("server", "version", _version(source.server)),
        ("server", "WAL", _wal(source.server)),
        ("server", "slots", _slots(source.server, settings)),
        ("preparation", "roles", _roles(source.server)),
        ("preparation", "schema cdc", _cdc(source.server)),
        ("preparation", "publication", _publication(source.server, settings)),
        ("tables", "captured", _captured(source.tables, settings)),
        ("tables", "other schemas", diagnose_other_schemas(source.other_schemas)),
        ("tables", "keys", _keys(source.tables)),
        ("tables", "old values", _old_values(source)),
        ("tables", "row security", _row_security(source.tables)),
    )
    return [
        Finding(area=area, title=title, verdict=s.verdict, words=s.words, remedy=s.remedy)
        for area, title, said in parts
        for s in said
    ]


_PREPARE = "./pipeline source check URL --apply, or --sql for its administrator"
_PREPARE_OWNED = "./pipeline source check URL --apply --owned"


def _version(server: Server) -> Sequence[Said]:
    if server.is_standby:
        remedy = "Give the URL of the primary; OLTP_HOST has to name it, too"
        return [wrong("a standby: it cannot be prepared", remedy)]
    if server.version_number < OLDEST * 10_000:
        words = f"PostgreSQL {server.version}: publications of a schema need {OLDEST}"
        return [wrong(words, "Upgrade the server")]
    return [fine(f"PostgreSQL {server.version}")]


def _wal(server: Server) -> Sequence[Said]:
    said = []
    if server.wal_level != "logical":
        said.append(
            wrong(
                f"wal_level is {server.wal_level}, not logical",
                "alter system set wal_level = 'logical', and restart the server",
            )
        )
    if server.is_wal_unlimited:
        said.append(
            note(
                "max_slot_wal_keep_size is unlimited: while Kafka Connect is down, WAL may fill "
                "the disk",
                "alter system set max_slot_wal_keep_size = '10GB'; select pg_reload_conf()",
            )
        )
    return said or [fine("logical, and limited")]


def _slots(server: Server, settings: ConnectSettings) -> Sequence[Said]:
    if server.database_of_slot not in (None, server.database):
        words = f"{settings.slot_name} is a slot of the database {server.database_of_slot}"
        return [wrong(words, "Set CONNECT_SLOT_NAME to another name")]
    if server.slot_status == "lost":
        return [
            wrong(f"slot {settings.slot_name} is lost", "./pipeline connect apply --accept-loss")
        ]
    if server.slot_status is not None:
        return [fine(f"{settings.slot_name} is there")]
    used = (
        ("max_replication_slots", server.slots, server.most_slots),
        ("max_wal_senders", server.senders, server.most_senders),
    )
    said = [
        wrong(
            f"{name} is {most}, of which {taken} are taken",
            f"alter system set {name} = {taken + 2 * _SPARE}, and restart the server",
        )
        for name, taken, most in used
        if most - taken < _SPARE
    ]
    return said or [fine(f"{server.most_slots - server.slots} of {server.most_slots} are free")]


def _roles(server: Server) -> Sequence[Said]:
    there = [role for role in SOURCE_ROLES if role in server.roles]
    missing = [role for role in SOURCE_ROLES if role not in server.roles]
    if there and not server.has_cdc:
        words = f"{', '.join(there)}: there, though this database was never prepared"
        return [wrong(words, "They are somebody else's, or another database's: see --apply")]
    if missing:
        return [wrong(f"{', '.join(missing)}: not there", _PREPARE)]
    if not server.may_replicate:
        return [wrong("debezium may not replicate", "alter role debezium replication")]
    return [fine(", ".join(there))]


def _cdc(server: Server) -> Sequence[Said]:
    if not server.has_cdc:
        return [wrong("heartbeats and signals have no tables", _PREPARE)]
    if server.is_by_table:
        words = (
            "prepared by the owner of tables: tables that are created from now on are not "
            "captured, nor is any truncate"
        )
        remedy = (
            f"{_PREPARE_OWNED}, after each, then ./pipeline extract TABLE --full; after a "
            f"truncate: {EXTRACT_TRUNCATED}"
        )
        return [note(words, remedy)]
    if not server.has_event_trigger:
        return [
            note(
                "no event trigger: tables that are created from now on are captured without their "
                "old values and truncates",
                f"{_PREPARE}, after each",
            )
        ]
    return [fine("heartbeats, signals, event trigger")]


def _publication(server: Server, settings: ConnectSettings) -> Sequence[Said]:
    name = settings.publication_name
    if server.is_published:
        return [fine(name)]
    said = [wrong(f"{name} does not exist", _PREPARE)]
    if not server.is_superuser:
        said.append(
            note(
                f"{server.login} is no superuser: it may create neither the publication of a "
                "schema nor an event trigger",
                f"Give the URL of a superuser, or give --sql to one; or, within limits: "
                f"{_PREPARE_OWNED}",
            )
        )
    return said


def _captured(tables: Sequence[Table], settings: ConnectSettings) -> Sequence[Said]:
    said = []
    left_out = [t.name for t in tables if not is_capturable(t.plain_name)]
    if left_out:
        said.append(note(f"{_listed(left_out)}: left out for their names", "Rename them"))
    for kind, why in (
        ("unlogged", "unlogged, so in no WAL: not captured"),
        ("foreign", "foreign tables: not captured"),
    ):
        names = [t.name for t in tables if t.kind == kind]
        if names:
            said.append(note(f"{_listed(names)}: {why}"))
    parents = [t.name for t in tables if t.kind == "partitioned" and not t.is_partition]
    if parents:
        how = "by its own name" if settings.partitions == "root" else "as its partitions"
        said.append(note(f"{_listed(parents)}: partitioned, captured {how} (CONNECT_PARTITIONS)"))
    missing = [
        t.name
        for t in tables
        if t.kind in ("plain", "partitioned")
        and not (t.is_included or t.is_partition)
        and is_capturable(t.plain_name)
    ]
    if missing:
        words = (
            f"{_listed(missing)}: not in the publication, so not captured: new, of another owner, "
            "or without both a key and REPLICA IDENTITY FULL"
        )
        remedy = (
            f"{_PREPARE_OWNED}, with a login that is a member of all their owners; then "
            "./pipeline extract TABLE --full reads the rows that are there"
        )
        said.append(note(words, remedy))
    children = [t.name for t in tables if t.has_children]
    if children:
        said.append(note(f"{_listed(children)}: rows of tables that inherit have those' names"))
    plain = sum(t.kind == "plain" and is_capturable(t.plain_name) for t in tables)
    if not plain and not parents:
        return [*said, wrong("no table in schema public", "Is it the right database?")]
    return [fine(f"{plain} tables in schema public"), *said]


def diagnose_other_schemas(tables: Mapping[str, int]) -> Sequence[Said]:
    """Diagnose which schemas have tables that are not captured.

    Args:
        tables: their number, by schema.
    """
    if not tables:
        return []
    counted = [
        f"{name} ({count} {'table' if count == 1 else 'tables'})" for name, count in tables.items()
    ]
    remedy = (
        "alter table SCHEMA.TABLE set schema public, if search_path of all who use it has public; "
        "of a shop that is captured already, then also ./pipeline extract TABLE --full"
    )
    return [note(f"{_listed(counted)}: not captured; only schema public is", remedy)]


def _keys(tables: Sequence[Table]) -> Sequence[Said]:
    keyless = [t.name for t in tables if t.kind == "plain" and not t.has_key]
    if not keyless:
        return [fine("each table has a primary key")]
    words = (
        f"{_listed(keyless)}: without a primary key; changes land, but the table cannot be "
        "extracted, and without a unique index silver leaves it out"
    )
    return [note(words, "alter table … add primary key (…)")]


def _old_values(source: Source) -> Sequence[Said]:
    tables = [t for t in source.tables if t.kind in ("plain", "partitioned") and t.is_included]
    said = []
    stored = [t.name for t in tables if t.has_stored]
    if stored and source.server.version_number < GENERATED_SINCE * 10_000:
        words = f"generated columns are not captured before PostgreSQL {GENERATED_SINCE}"
        said.append(note(f"{_listed(stored)}: {words}"))
    virtual = [t.name for t in tables if t.has_virtual]
    if virtual:
        said.append(
            note(f"{_listed(virtual)}: virtual generated columns, so REPLICA IDENTITY DEFAULT")
        )
    partial = [t for t in tables if t.replica_identity != "f" and not t.has_virtual]
    if partial:
        words = (
            f"{_listed([t.name for t in partial])}: not REPLICA IDENTITY FULL; until then updates "
            "and deletes are captured without old values"
        )
        is_prepared = source.server.has_cdc
        said.append(wrong(words, _PREPARE) if not is_prepared else note(words, _PREPARE))
        foreign = [t.name for t in partial if not t.is_owned]
        if foreign:
            words = f"{_listed(foreign)}: {source.server.login} may not alter them"
            said.append(note(words, "Give the URL of their owner, or of a superuser"))
    return said or [fine("REPLICA IDENTITY FULL")]


def _row_security(tables: Sequence[Table]) -> Sequence[Said]:
    hidden = [t.name for t in tables if t.has_row_security]
    if not hidden:
        return [fine("no table hides rows")]
    words = f"{_listed(hidden)}: row-level security; a snapshot fails rather than omit rows"
    return [note(words, "alter role debezium bypassrls; alter role reconcile bypassrls")]


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
