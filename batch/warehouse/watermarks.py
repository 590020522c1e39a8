"""Watermarks of the warehouse: a version per silver table, an offset per bronze partition."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from batch.warehouse.entities import TABLES
from batch.warehouse.scripts import run
from batch.warehouse.source import SilverSource
from lakehouse.contracts import ENTITIES, Entity


def loaded_versions(connection: psycopg.Connection) -> dict[str, tuple[str, int]]:
    """Return id and version of each silver table that the warehouse was built from."""
    rows = connection.execute("select silver_table, table_id, version from etl.silver_version")
    return {name: (table_id, version) for name, table_id, version in rows}


def write_watermarks(connection: psycopg.Connection, sources: Mapping[str, SilverSource]) -> None:
    """Store what was loaded, in the transaction that loads it."""
    for name, source in sources.items():
        connection.execute(
            "insert into etl.silver_version (silver_table, table_id, version) values (%s, %s, %s) "
            "on conflict (silver_table) do update set table_id = excluded.table_id, "
            "version = excluded.version",
            [name, source.table_id, source.version],
        )
    for entity in ENTITIES.values():
        _write_watermarks(connection, entity, sources)


def _write_watermarks(
    connection: psycopg.Connection, entity: Entity, sources: Mapping[str, SilverSource]
) -> None:
    """Store an entity's watermark: of table and history, the one that is further behind."""
    names = [table.silver for table in TABLES if table.entity is entity]
    if not all(name in sources for name in names):
        return
    for topic_id, epoch, partition in _partitions(connection, entity):
        seen = [sources[name].watermark(topic_id, epoch, partition) for name in names]
        offsets = [offset for offset in seen if offset is not None]
        if len(offsets) == len(seen):
            connection.execute(
                "insert into etl.watermark (entity, topic_id, epoch, partition, last_offset) "
                "values (%s, %s, %s, %s, %s) on conflict (entity, topic_id, epoch, partition) "
                "do update set last_offset = excluded.last_offset",
                [entity.table, topic_id, epoch, partition, min(offsets)],
            )


def _partitions(connection: psycopg.Connection, entity: Entity) -> list[tuple[str, int, int]]:
    """Return the partitions that rows of the entity came from, now or earlier."""
    return run(
        connection,
        "select w.topic_id, w.epoch, w.partition from etl.watermark as w where w.entity = {} "
        "union select c._topic_id, c._epoch, c._partition from {} as c "
        "where c._topic_id is not null",
        sql.Literal(entity.table),
        sql.Identifier("pg_temp", f"changed_{entity.table}"),
    ).fetchall()
