"""Current values that are in no list of a contract, and how many rows count under `UNKNOWN`.

Grain of `etl.unknown_value`: one row per table of the shop, column and value, as of the version of
silver that the warehouse was built from.
"""

from collections.abc import Sequence
from typing import LiteralString

import polars as pl
import psycopg
from psycopg import sql

from batch.warehouse.entity_schema import counts_as_unknown
from batch.warehouse.scripts import run
from batch.warehouse.watermarks import loaded_versions
from lakehouse.contracts import ENTITIES, Column, Entity
from lakehouse.contracts.model import UNKNOWN
from lakehouse.delta import scan
from lakehouse.lake import Lake

MOST_VALUES = 1_000
"""The most frequent values of a column: a list for people to read."""
_MOST_CHARACTERS = 100
_KNOWN: LiteralString = (
    "select distinct u.silver_version from etl.unknown_value as u where u.entity = %s"
)
_INSERT: LiteralString = """
insert into etl.unknown_value (
    entity, column_name, value, row_count, example_key, silver_version
)
values (%s, %s, %s, %s, %s, %s)"""


def find_unknown(connection: psycopg.Connection, lake: Lake) -> None:
    """Update `etl.unknown_value` to the state of the warehouse.

    A table without such rows costs one index lookup. For others, silver is read if the
    warehouse has another version of it than at the last update.
    """
    loaded = loaded_versions(connection)
    for entity in ENTITIES.values():
        if not entity.counting_unknown:
            continue
        _, version = loaded.get(entity.silver, ("", -1))
        known = [number for (number,) in connection.execute(_KNOWN, [entity.table])]
        has_any = _has_unknown(connection, entity)
        if known == [version] and has_any:
            continue
        connection.execute("delete from etl.unknown_value where entity = %s", [entity.table])
        delta = lake.open("silver", entity.silver, version=version) if has_any else None
        if delta is not None:
            _keep(connection, entity, version, scan(delta))


def _has_unknown(connection: psycopg.Connection, entity: Entity) -> bool:
    # The condition of the table's partial index.
    conditions = counts_as_unknown(entity)
    found = run(
        connection,
        "select exists (select from {} as e where {})",
        sql.Identifier("entity", entity.table),
        conditions,
    ).fetchone()
    return bool(found and found[0])


def _keep(connection: psycopg.Connection, entity: Entity, version: int, rows: pl.LazyFrame) -> None:
    for column in entity.counting_unknown:
        values = [
            (entity.table, column.source, value, count, key, version)
            for value, count, key in _values(entity, column, rows)
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, values)


def _values(entity: Entity, column: Column, rows: pl.LazyFrame) -> Sequence[tuple[str, int, int]]:
    """Return each value, how many rows have it, and the key of one."""
    told = pl.col("_extra").str.json_path_match(f"$.{column.source}").fill_null("")
    grouped = (
        rows.filter(pl.col(column.name) == UNKNOWN, pl.col("_deleted_at").is_null())
        .group_by(value=told.str.head(_MOST_CHARACTERS))
        .agg(rows=pl.len(), key=pl.col(entity.key).min())
    )
    frequent = grouped.sort("rows", "value", descending=[True, False]).head(MOST_VALUES)
    return frequent.select("value", "rows", "key").collect().rows()
