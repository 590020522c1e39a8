"""Checks of the shop's database: requirements of change capture, and tables against contracts."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import LiteralString

import psycopg
from psycopg.rows import class_row

from batch.contracts.stored import contracts_of
from connectors.mapping import Values, faults_of, read_values
from connectors.partitions import read_left_out
from connectors.plain_words import HEAL
from connectors.shop_catalog import READABLE, CatalogRow, read_columns
from connectors.slot import SKIPS_SINCE
from connectors.source import CAPTURED_SCHEMA, EXTRACT_TRUNCATED
from lakehouse.contracts import DECLARED, ENTITIES, Column, Entity
from lakehouse.contracts.mapping import MappingFile, read_mapping_file
from lakehouse.kafka import is_capturable
from stack.doctor.measurements import (
    Measurements,
    is_shop_elsewhere,
)
from stack.doctor.model import Check
from stack.elsewhere import prepares
from stack.findings import Said, fine, note, wrong

_WAL: LiteralString = """
select s.name, s.setting, s.pending_restart
from pg_settings as s
where s.name in ('wal_level', 'max_slot_wal_keep_size', 'max_replication_slots', 'max_wal_senders')
"""
_PUBLICATION: LiteralString = """
select
    p.pubinsert and p.pubupdate and p.pubdelete as has_all_changes,
    -- before PostgreSQL 18 there is no choice
    coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's' as has_generated,
    case when p.pubviaroot then 'root' else 'each' end as partitions,
    array(
        select n.nspname::text
        from pg_publication_namespace as s
        inner join pg_namespace as n on s.pnnspid = n.oid
        where s.pnpubid = p.oid
    ) as schemas,
    (
        select count(*)::integer from pg_publication_rel as r
        inner join pg_class as c on r.prrelid = c.oid
        where r.prpubid = p.oid and c.relnamespace = to_regnamespace('public')
    ) as tables
from pg_publication as p
where p.pubname = %s"""
_UNTOLD: LiteralString = """
select distinct
    t.relname::text as table_name,
    exists (
        select from pg_constraint as k where k.conrelid = t.oid and k.contype = 'p'
    ) as has_key
from pg_class as c
-- the table by whose name its rows are published
inner join pg_class as t on t.oid = coalesce((
    select a.relid
    from pg_partition_ancestors(c.oid) with ordinality as a (relid, level)
    inner join pg_class as k on a.relid = k.oid
    where
        k.relnamespace = to_regnamespace(%(schema)s)
        and (select p.pubviaroot from pg_publication as p where p.pubname = 'dbz_shop')
    order by a.level desc
    limit 1
), c.oid)
where
    t.relnamespace = to_regnamespace(%(schema)s)
    and c.relkind = 'r'
    and c.relpersistence = 'p'
    and not exists (
        select from pg_trigger as t
        where
            t.tgrelid = c.oid
            and t.tgfoid = to_regprocedure('cdc.tell_truncate()')
            and t.tgenabled = 'A'
    )
order by table_name"""
_IS_BY_TABLE: LiteralString = "select to_regproc('cdc.capture_owned') is not null"
_SCHEMAS = {CAPTURED_SCHEMA, "cdc"}
_LEAST = 2
"""Minimum of slots and WAL senders: one for Connect and one for its replacement."""


def _wal(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection:
        rows = connection.execute(_WAL).fetchall()
    wanted = None if is_shop_elsewhere(measurements) else measurements.config.stack.slot_wal_keep_mb
    pending = [name for name, _, is_pending in rows if is_pending]
    return diagnose_wal({name: value for name, value, _ in rows}, pending, keep_mb=wanted)


def diagnose_wal(
    values: Mapping[str, str], pending: Sequence[str], *, keep_mb: int | None
) -> Sequence[Said]:
    """Diagnose whether the server writes and retains the WAL that change capture needs.

    Args:
        values: values of `pg_settings` by name.
        pending: names of settings that need a restart.
        keep_mb: limit of WAL retained by slots; None for a server that others set up.
    """
    restart = "./pipeline down; ./pipeline up"
    if keep_mb is None:
        restart = "as its administrator: alter system set …, and restart the server"
    said = []
    if values["wal_level"] != "logical":
        said.append(wrong(f"wal_level is {values['wal_level']}, not logical", restart))
    kept = values["max_slot_wal_keep_size"]
    if keep_mb is None and kept == "-1":
        words = "max_slot_wal_keep_size is unlimited: while Connect is down, WAL may fill the disk"
        said.append(note(words))
    elif keep_mb is not None and kept != str(keep_mb):
        told = f"max_slot_wal_keep_size is {kept} MB"
        said.append(wrong(f"{told}, but STACK_SLOT_WAL_KEEP_MB is {keep_mb}", restart))
    said += [
        wrong(f"{name} is {values[name]}, at least {_LEAST} are needed", restart)
        for name in ("max_replication_slots", "max_wal_senders")
        if int(values[name]) < _LEAST
    ]
    if pending:
        said.append(wrong(f"{', '.join(pending)} take effect after a restart", restart))
    return said or [fine(f"logical, slots retain up to {int(kept):,} MB")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The publication of the database."""

    has_all_changes: bool
    has_generated: bool
    partitions: str
    schemas: list[str]
    tables: int = 0
    left_out: list[str] = field(default_factory=list)

    @property
    def is_by_table(self) -> bool:
        """Return whether the owner of tables has prepared them, and nobody the schema."""
        return not self.schemas and self.tables > 0


def _publication(measurements: Measurements) -> Sequence[Said]:
    name = measurements.config.connect.publication_name
    with (
        psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection,
        connection.cursor(row_factory=class_row(Publication)) as cursor,
    ):
        found = cursor.execute(_PUBLICATION, [name]).fetchone()
        left_out = read_left_out(connection, name)
        is_stuck = connection.info.server_version < SKIPS_SINCE
    if found is not None:
        # A partition is told of by its table.
        roots = [table for table, is_partition in left_out.items() if not is_partition]
        found = replace(found, left_out=roots)
    partitions = measurements.config.connect.partitions
    prepare = prepares("oltp", measurements.config)
    return diagnose_publication(
        name, found, partitions=partitions, prepare=prepare, is_stuck=is_stuck
    )


def diagnose_publication(
    name: str,
    found: Publication | None,
    *,
    partitions: str = "each",
    prepare: str = "./pipeline up oltp",
    is_stuck: bool = False,
) -> Sequence[Said]:
    """Diagnose whether every change of every table is published.

    Args:
        name: the publication.
        found: what the database has; None without it.
        partitions: CONNECT_PARTITIONS.
        prepare: the command that prepares the shop.
        is_stuck: whether the slot cannot be read past the changes made without it.
    """
    if found is None:
        remedy = f"{prepare}; then ./pipeline extract --full reads missed changes"
        if is_stuck:
            remedy = f"{prepare}; then {HEAL}"
        return [wrong(f"publication {name} does not exist: no change is captured", remedy)]
    missing = set() if found.is_by_table else _SCHEMAS - set(found.schemas)
    if missing:
        words = f"{name} does not include the tables of schema {', '.join(sorted(missing))}"
    elif not found.has_all_changes:
        words = f"{name} does not publish every insert, update and delete"
    elif not found.has_generated:
        words = f"{name} does not include generated columns"
    elif found.partitions != partitions:
        words = f"CONNECT_PARTITIONS is {partitions}, and {name} publishes {found.partitions}"
        return [wrong(words, "./pipeline connect partitions")]
    elif found.is_by_table:
        return _by_table(name, found)
    else:
        return [fine(f"{name} includes all tables in {' and '.join(sorted(_SCHEMAS))}")]
    return [wrong(words, f"{prepare}; then ./pipeline extract --full")]


def _by_table(name: str, found: Publication) -> Sequence[Said]:
    said = [fine(f"{name} includes {found.tables:,} tables, by name")]
    if left_out := list(filter(is_capturable, found.left_out)):
        remedy = (
            "./pipeline source check URL --apply --owned, with a login that is a member of their "
            "owners; then ./pipeline extract TABLE --full"
        )
        said.append(note(f"{', '.join(left_out)}: not in {name}, so not captured", remedy))
    return said


def _truncates(measurements: Measurements) -> Sequence[Said]:
    names = {"schema": CAPTURED_SCHEMA}
    with psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection:
        untold = connection.execute(_UNTOLD, names).fetchall()
        (is_by_table,) = connection.execute(_IS_BY_TABLE).fetchone() or (False,)
    if is_by_table:
        words = "no truncate is captured: the shop was prepared by the owner of its tables"
        return [note(words, f"after a truncate: {EXTRACT_TRUNCATED}")]
    named = [(name, has_key) for name, has_key in untold if is_capturable(name)]
    return diagnose_truncates(named, prepares("oltp", measurements.config))


def diagnose_truncates(
    untold: Sequence[tuple[str, bool]], prepare: str = "./pipeline up oltp"
) -> Sequence[Said]:
    """Diagnose whether a truncate of any table would be captured.

    Args:
        untold: tables whose trigger is missing or disabled, and whether they have a key.
        prepare: the command that prepares the shop.
    """
    if not untold:
        return [fine("a truncate of any table is captured as deletes of its rows")]
    words = (
        f"a truncate of {', '.join(name for name, _ in untold)} would not be captured: the "
        "trigger zz_cdc_truncate is missing or disabled there, possibly since long ago"
    )
    keyed = " ".join(shlex.quote(name) for name, has_key in untold if has_key)
    again = f"; then ./pipeline extract {keyed} --full" if keyed else ""
    return [wrong(words, f"{prepare}{again}")]


def _tables(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection:
        columns = read_columns(connection)
        found = read_mapping_file(DECLARED)
        if found is None:
            has_others = is_shop_elsewhere(measurements)
            return diagnose_unmapped(columns) if has_others else diagnose_tables(columns)
        return diagnose_mapping(found, columns, read_values(connection, found))


def diagnose_unmapped(columns: Sequence[CatalogRow]) -> Sequence[Said]:
    """Diagnose the tables of a foreign shop of which nothing says what they are to the warehouse.

    Tables that have the name and the columns of an entity are taken for it.
    """
    tables = {column.table_name for column in columns}
    entities = {name: one for name, one in ENTITIES.items() if one.table in tables}
    said = list(diagnose_tables(columns, entities))
    if missing := [one.table for name, one in ENTITIES.items() if name not in entities]:
        words = f"no table {', '.join(missing)}: the warehouse and the charts have nothing of these"
        said.append(note(words, "map the shop's own tables to them: docs/MAPPING.md"))
    return said


def diagnose_mapping(
    found: MappingFile, columns: Sequence[CatalogRow], values: Values
) -> Sequence[Said]:
    """Diagnose whether the tables of a foreign shop match the mapping."""
    catalog: dict[str, list[CatalogRow]] = {}
    for column in columns:
        catalog.setdefault(column.table_name, []).append(column)
    faults = faults_of(found, catalog, values)
    said = [wrong(str(found.refused([one])), "correct the mapping") for one in faults]
    return [*said, *diagnose_tables(columns, {})] if said else diagnose_tables(columns, {})


def diagnose_tables(
    columns: Sequence[CatalogRow], entities: Mapping[str, Entity] = ENTITIES
) -> Sequence[Said]:
    """Diagnose whether the shop's tables match the contracts."""
    tables: dict[str, dict[str, str]] = {}
    # Of all tables: Debezium reads the columns of those that it leaves out, too.
    alike = _alike_in_any_case(columns)
    left_out = sorted({c.table_name for c in columns if not is_capturable(c.table_name)})
    columns = [c for c in columns if is_capturable(c.table_name)]
    for column in columns:
        kind = f"{column.type_name}[]" if column.is_array else column.type_name
        tables.setdefault(column.table_name, {})[column.column_name] = kind
    keyless = sorted(set(tables) - {c.table_name for c in columns if c.key_position is not None})
    said = [fault for entity in entities.values() for fault in _faults(entity, tables)]
    said += alike
    said += [
        note(
            f"{name} has no primary key: its changes land, but it cannot be extracted, and "
            "without a unique index silver leaves it out",
            f"alter table public.{name} add primary key (…)",
        )
        for name in keyless
    ]
    said += [_left_out(name) for name in left_out]
    return said or [fine(f"{len(tables)} tables match their contracts")]


def _faults(entity: Entity, tables: Mapping[str, Mapping[str, str]]) -> list[Said]:
    where = "lakehouse/contracts/ describes it; ./pipeline up oltp creates the shop's tables"
    types = tables.get(entity.table)
    if types is None:
        return [wrong(f"the shop has no table {entity.table}", where)]
    said = []
    for column in entity.columns:
        has = types.get(column.source)
        if has is None:
            said.append(wrong(f"{entity.table} has no column {column.source}", where))
        elif not _is_readable(column, has):
            words = (
                f"{entity.table}.{column.source} is {has}, which cannot be read as {column.type}"
            )
            said.append(wrong(words, f"correct the contract of {entity.table}, or the column"))
    others = sorted(set(types) - {column.source for column in entity.columns})
    if others:
        words = f"{entity.table} has columns without contract: {', '.join(others)}; kept in _extra"
        said.append(note(words, f"add it to the contract of {entity.table} to have it in silver"))
    return said


def _derived(measurements: Measurements) -> Sequence[Said]:
    derived = [one for one in contracts_of(measurements.lake).values() if one.is_derived]
    with psycopg.connect(measurements.oltp("monitor"), autocommit=True) as connection:
        return diagnose_derived(read_columns(connection), derived)


def diagnose_derived(columns: Sequence[CatalogRow], entities: Sequence[Entity]) -> Sequence[Said]:
    """Diagnose whether silver's contracts that were derived know all columns of their tables."""
    told = []
    for entity in entities:
        has = {c.column_name for c in columns if c.table_name == entity.table}
        others = sorted(has - {c.source for c in entity.columns} - {*entity.excluded})
        if others:
            told.append(f"{entity.table} ({', '.join(others)})")
    if not told:
        return [fine(f"{len(entities)} derived contracts know all columns of their tables")]
    words = f"no contract knows these columns yet, which _extra keeps: {'; '.join(told)}"
    return [note(words, "./pipeline consolidate derives the contracts again")]


def _alike_in_any_case(columns: Sequence[CatalogRow]) -> list[Said]:
    seen: dict[tuple[str, str], str] = {}
    said = []
    for column in columns:
        other = seen.setdefault((column.table_name, column.column_name.lower()), column.column_name)
        if other != column.column_name:
            words = (
                f"{column.table_name} has columns {other} and {column.column_name}: Debezium stops "
                "at its first change, and with it the capture of all tables"
            )
            said.append(wrong(words, "as admin: rename one of them"))
    return said


def _is_readable(column: Column, type_name: str) -> bool:
    return type_name in READABLE.get(column.type, {type_name})


def _left_out(name: str) -> Said:
    quoted = '"' + name.replace('"', '""') + '"'
    return note(
        f"{quoted} is not captured: topics are named after tables, and with characters other than "
        "a-z, digits, _ and - two tables could share a topic",
        f"as admin: alter table public.{quoted} rename to NEW_NAME; "
        "then ./pipeline extract NEW_NAME --full",
    )


CHECKS: Sequence[Check] = [
    Check(area="shop", title="WAL settings", needs=("oltp",), run=_wal),
    Check(area="shop", title="publication", needs=("oltp",), run=_publication),
    Check(area="shop", title="truncates", needs=("oltp",), run=_truncates),
    Check(area="shop", title="tables", by_contracts=True, needs=("oltp",), run=_tables),
    Check(
        area="shop",
        title="derived contracts",
        by_contracts=True,
        needs=("oltp", "minio"),
        run=_derived,
    ),
]
