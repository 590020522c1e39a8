"""Rows of silver that a replay loads into the warehouse again, whatever their versions."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import psycopg
from psycopg.sql import SQL, Literal
from psycopg.sql import Identifier as Name

from batch.silver.tables import Rows
from batch.warehouse.entities import POSTGRES_TYPES, EntityTable
from batch.warehouse.scripts import columns_of, run, same_key
from batch.warehouse.source import SilverSource
from batch.warehouse.staging import copy_into
from lakehouse.contracts import ENTITIES
from lakehouse.postgres import copy_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Selection of rows.

    Attributes:
        keys: by shop table; a table that is not given has none.
        rows: filter by silver table, which includes at least the rows of the keys.
    """

    keys: Mapping[str, pl.Series]
    rows: Mapping[str, Rows]

    def note(self, connection: psycopg.Connection) -> None:
        """Store the keys in `chosen_<entity>`, for this session."""
        for entity in ENTITIES.values():
            name = Name(f"chosen_{entity.table}")
            run(connection, "drop table if exists {}", name)
            kind = SQL(POSTGRES_TYPES[entity.column(entity.key).type])
            run(connection, "create temporary table {} (row_key {} primary key)", name, kind)
            keys = self.keys.get(entity.table)
            if keys is not None:
                frame = keys.drop_nulls().unique().to_frame("row_key")
                copy_frames(connection, name, ["row_key"], [frame])
            run(connection, "analyze {}", name)

    def stage(
        self, connection: psycopg.Connection, table: EntityTable, source: SilverSource
    ) -> int:
        """Copy the selected rows into the table's stage, marking those that silver lacks.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        narrow = self.rows.get(table.silver)
        if narrow is None:
            return 0
        rows = copy_into(connection, table, source.rows(table.columns, narrow=narrow))
        run(
            connection,
            "insert into {} ({}, _is_deleted, _commit_version) "
            "select {}, true, {} from {} as e inner join {} as c on e.{} = c.row_key "
            "where not exists (select from {} as s where {})",
            Name("pg_temp", f"staged_{table.name}"),
            SQL(", ").join(map(Name, table.key)),
            columns_of("e", table.key),
            Literal(source.version),
            Name("entity", table.name),
            Name(f"chosen_{table.entity.table}"),
            Name(table.entity.key),
            Name("pg_temp", f"staged_{table.name}"),
            same_key("s", "e", table.key),
        )
        return rows
