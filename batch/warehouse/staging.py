"""Copies silver's rows into temporary tables, and finds which rows of `entity` they change.

For each table of `entity` there is a temporary `changed_<table>`: the new rows, with `_is_deleted`
for a deleted key. They last as long as the session.
"""

from collections.abc import Iterable

import polars as pl
import psycopg
from psycopg import sql
from psycopg.sql import Identifier as Name

from batch.warehouse.bulk import MANY_ROWS, filled_in_bulk, has_many, is_empty
from batch.warehouse.entities import EntityTable
from batch.warehouse.scripts import columns_of, run, same_key
from lakehouse.postgres import copy_frames


def stage(connection: psycopg.Connection, table: EntityTable) -> None:
    """Create the table's empty stage, replacing an existing one."""
    for name in (_staged(table), _changed(table)):
        run(connection, "drop table if exists {}", name)
    run(
        connection,
        "create temporary table {} as select e.*, false as _is_deleted, 0::bigint as "
        "_commit_version from {} as e limit 0",
        Name(f"staged_{table.name}"),
        Name("entity", table.name),
    )


def copy_into(
    connection: psycopg.Connection, table: EntityTable, frames: Iterable[pl.DataFrame]
) -> int:
    """Copy frames into the stage; return the number of rows.

    Raises:
        FeedGoneError: the change feed broke off.
    """
    columns = (*table.columns, "_commit_version", "_is_deleted")
    return copy_frames(connection, _staged(table), columns, frames)


def settle(connection: psycopg.Connection, table: EntityTable, *, is_whole: bool) -> int:
    """Reduce the stage to rows that change something; return their number.

    Args:
        connection: to the warehouse.
        table: of the schema `entity`.
        is_whole: the stage holds all rows of silver: rows that are not in it are deleted.
    """
    if is_whole and is_empty(connection, Name("entity", table.name)):
        staged, changed = _staged(table), Name(f"changed_{table.name}")
        run(connection, "alter table {} rename to {}", staged, changed)
    else:
        if is_whole:
            _add_missing(connection, table)
        _keep_changes(connection, table, is_whole=is_whole)
    run(connection, "analyze {}", _changed(table))
    counted = run(connection, "select count(*) from {}", _changed(table)).fetchone()
    return int(counted[0]) if counted else 0


def changes_the_past(connection: psycopg.Connection, table: EntityTable) -> bool:
    """Return whether `changed_<table>` has rows up to the watermark, from a redrive or a replay.

    The end of a version does not count: it is stored in the row of that version, which the
    warehouse had applied long before.
    """
    # The same as etl.is_beyond_warehouse, in a form that the planner can optimize.
    columns = [column for column in table.columns if column != "valid_to_at"]
    found = run(
        connection,
        "select exists (select from {} as c inner join etl.watermark as w on w.entity = {} and "
        "(w.epoch > c._epoch or (w.epoch = c._epoch and w.topic_id = c._topic_id and "
        "w.partition = c._partition and w.last_offset >= c._offset)) "
        "where c._is_deleted or not exists "
        "(select from {} as e where {} and row({}) is not distinct from row({})))",
        _changed(table),
        sql.Literal(table.entity.table),
        Name("entity", table.name),
        same_key("c", "e", table.key),
        columns_of("c", columns),
        columns_of("e", columns),
    ).fetchone()
    return bool(found and found[0])


def _keep_changes(connection: psycopg.Connection, table: EntityTable, *, is_whole: bool) -> None:
    """Copy the staged rows that change something, of a key only the last one."""
    run(connection, "analyze {}", _staged(table))
    key = columns_of("s", table.key)
    last = (
        "select distinct on ({0}) s.* from {1} as s "
        "order by {0}, s._commit_version desc, s._is_deleted"
    )
    rows = sql.SQL("select s.* from {1} as s" if is_whole else last).format(key, _staged(table))
    # Nearly all rows of a rebuild are equal: it is the others that are written.
    run(
        connection,
        "create temporary table {} as select s.* from ({}) as s left join {} as e on {} where "
        "case when s._is_deleted then e.{} is not null "
        "else e.{} is null or row({}) is distinct from row({}) end",
        Name(f"changed_{table.name}"),
        rows,
        Name("entity", table.name),
        same_key("s", "e", table.key),
        Name(table.entity.key),
        Name(table.entity.key),
        columns_of("s", table.columns),
        columns_of("e", table.columns),
    )
    run(connection, "drop table {}", _staged(table))


def _add_missing(connection: psycopg.Connection, table: EntityTable) -> None:
    run(
        connection,
        "insert into {} ({}, _is_deleted) select {}, true from {} as e where not exists "
        "(select from {} as s where {})",
        _staged(table),
        sql.SQL(", ").join(map(Name, table.key)),
        columns_of("e", table.key),
        Name("entity", table.name),
        _staged(table),
        same_key("s", "e", table.key),
    )


def _staged(table: EntityTable) -> Name:
    return Name("pg_temp", f"staged_{table.name}")


def _changed(table: EntityTable) -> Name:
    return Name("pg_temp", f"changed_{table.name}")


def apply_changes(connection: psycopg.Connection, table: EntityTable) -> None:
    """Apply `changed_<table>` to the table of `entity`."""
    target = Name("entity", table.name)
    run(
        connection,
        "delete from {} as e using {} as c where {} and c._is_deleted",
        target,
        _changed(table),
        same_key("c", "e", table.key),
    )
    names = sql.SQL(", ").join(map(Name, table.columns))
    is_worth_it = has_many(connection, _changed(table))
    with filled_in_bulk(connection, target, is_worth_it=is_worth_it) as is_in_bulk:
        replaced = sql.SQL("on conflict ({}) do update set ({}) = row({})").format(
            sql.SQL(", ").join(map(Name, table.key)), names, columns_of("excluded", table.columns)
        )
        written = run(
            connection,
            "insert into {} ({}) select {} from {} as c where not c._is_deleted {}",
            target,
            names,
            columns_of("c", table.columns),
            _changed(table),
            sql.SQL("") if is_in_bulk else replaced,
        )
    if not is_in_bulk and written.rowcount >= MANY_ROWS:
        # The rest of the transaction would otherwise plan for the old size of the table.
        run(connection, "analyze {}", target)
