"""Metrics of the warehouse's tables, from its system catalogue and its watermarks."""

from collections.abc import Mapping
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql

from batch.catalogue.metrics import LakeTable, TableMetrics
from lakehouse.offsets import EpochPartition
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

WAREHOUSE = "warehouse"
_SCHEMAS = ("entity", "live", "mart")
_COUNTED_BYTES = 32 * 1024 * 1024
_TIMEOUT_MS = 10_000
_TABLES: LiteralString = """
with tables as (
    select c.oid, n.nspname, c.relname, c.relkind
    from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = any(%s) and c.relkind in ('r', 'p', 'm') and not c.relispartition
),
parts as (
    select t.oid, t.oid as part from tables as t where t.relkind <> 'p'
    union all
    select t.oid, p.relid
    from tables as t
    cross join lateral pg_partition_tree(t.oid) as p
    where t.relkind = 'p' and p.isleaf
)
select
    t.nspname,
    t.relname,
    case when bool_and(c.reltuples >= 0) then sum(c.reltuples)::bigint end,
    coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from tables as t
left join parts as p on p.oid = t.oid
left join pg_class as c on c.oid = p.part
group by t.nspname, t.relname
order by t.nspname, t.relname
"""
_WATERMARKS: LiteralString = """
select w.entity, w.topic_id, w.epoch, w.partition, w.last_offset
from etl.watermark as w
order by w.entity, w.epoch, w.topic_id, w.partition
"""
_PUBLISHED: LiteralString = """
select max(d.finished_at) from etl.load as d where d.outcome = 'published'
"""


def warehouse_metrics(dsn: str) -> list[TableMetrics]:
    """Return the metrics of every table and materialized view; none before the schemas exist.

    Small tables are counted; for large ones Postgres' own estimate is used. The age of their data
    is that of the last published load.

    Raises:
        psycopg.Error: it does not answer, or rejects this role.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("set statement_timeout = {}").format(_TIMEOUT_MS))
        watermarks = offsets_in(connection)
        published = _published(connection)
        found = connection.execute(_TABLES, [list(_SCHEMAS)]).fetchall()
        return [
            _metrics(connection, row, watermarks.get(_entity(*row[:2]), {}), published)
            for row in found
        ]


def loaded_offsets(dsn: str) -> Mapping[str, dict[EpochPartition, int]]:
    """Return what `offsets_in` does, over a connection of its own.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: it rejects this role.
    """
    with (
        explaining(Service.WAREHOUSE, "Its watermarks cannot be read"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        return offsets_in(connection)


def _metrics(
    connection: psycopg.Connection,
    row: tuple[str, str, int | None, int],
    offsets: Mapping[EpochPartition, int],
    published: datetime | None,
) -> TableMetrics:
    schema, name, estimate, size = row
    exact = _count(connection, schema, name) if size < _COUNTED_BYTES else None
    return TableMetrics(
        table=LakeTable(layer=schema, name=name),
        rows=estimate if exact is None else exact,
        is_estimate=exact is None,
        bytes=size,
        offsets=offsets,
        newest_at=None if schema == "live" else published,
    )


def _count(connection: psycopg.Connection, schema: str, name: str) -> int | None:
    counting = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, name))
    try:
        row = connection.execute(counting).fetchone()
    except psycopg.Error:  # a view without data, a table that this role may not read
        return None
    return None if row is None else int(row[0])


def offsets_in(connection: psycopg.Connection) -> Mapping[str, dict[EpochPartition, int]]:
    """Return the warehouse's watermarks by shop table; empty before the first load."""
    try:
        rows = connection.execute(_WATERMARKS).fetchall()
    except psycopg.errors.ProgrammingError:  # no such table yet
        return {}
    found: dict[str, dict[EpochPartition, int]] = {}
    for entity, topic_id, epoch, partition, last in rows:
        table = EpochPartition(epoch=epoch, topic_id=topic_id, partition=partition)
        found.setdefault(entity, {})[table] = last
    return found


def _published(connection: psycopg.Connection) -> datetime | None:
    try:
        row = connection.execute(_PUBLISHED).fetchone()
    except psycopg.errors.ProgrammingError:
        return None
    return None if row is None else row[0]


def _entity(schema: str, name: str) -> str:
    return name.removesuffix("_history") if schema == "entity" else ""
