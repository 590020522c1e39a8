"""Fills an empty table without its indexes and keys, which are created afterwards.

Created for all rows at once, they cost a fraction of what they cost row by row.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from batch.warehouse.locks import get_momentarily
from batch.warehouse.scripts import run

_KEYS = """
select
    k.conname,
    pg_get_constraintdef(k.oid)
from pg_constraint as k
where k.conrelid = %s::regclass and k.contype in ('p', 'f') and k.conparentid = 0
order by k.contype = 'f', k.conname"""
_ALL_OF_IT = """
select string_agg(distinct t.name, ', ')
from (
    select %s as name
    union all
    select k.confrelid::regclass::text
    from pg_constraint as k
    where k.conrelid = %s::regclass and k.contype = 'f' and k.conparentid = 0
) as t"""
_INDEXES = """
select
    c.relnamespace::regnamespace::text,
    c.relname,
    pg_get_indexdef(i.indexrelid)
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
where i.indrelid = %s::regclass and not i.indisprimary
order by c.relname"""


MANY_ROWS = 100_000


@contextmanager
def filled_in_bulk(
    connection: psycopg.Connection, table: Identifier, *, is_worth_it: bool
) -> Iterator[bool]:
    """Drop an empty table's indexes and keys within the block.

    Readers of it, and of the tables that it refers to, then wait until the transaction ends. If it
    is being read at that moment, nothing is dropped, and it is filled row by row.

    Args:
        connection: in the load's transaction.
        table: with its schema.
        is_worth_it: it gets many rows.

    Yields:
        Whether they are dropped.
    """
    name = table.as_string(connection)
    if not (is_worth_it and is_empty(connection, table) and _is_alone(connection, name)):
        yield False
        return
    keys = connection.execute(_KEYS, [name]).fetchall()
    indexes = connection.execute(_INDEXES, [name]).fetchall()
    for key, _ in keys:
        run(connection, "alter table {} drop constraint {}", table, Identifier(key))
    for schema, index, _ in indexes:
        run(connection, "drop index {}", Identifier(schema, index))
    yield True
    for _, _, definition in indexes:
        connection.execute(definition.replace(" ON ONLY ", " ON ", 1).encode())
    for key, definition in keys:
        add = "alter table {} add constraint {} {}"
        run(connection, add, table, Identifier(key), SQL(definition))
    # The rest of the transaction would otherwise plan for an empty table.
    run(connection, "analyze {}", table)


def _is_alone(connection: psycopg.Connection, table: str) -> bool:
    # Live waits for the table from here on. It must not have begun a batch, or the load
    # would wait for it.
    connection.execute("select live.own_overlay()")
    (names,) = connection.execute(_ALL_OF_IT, [table, table]).fetchone() or ("",)
    return get_momentarily(connection, f"lock table {names} in access exclusive mode".encode())


def is_empty(connection: psycopg.Connection, table: Identifier) -> bool:
    """Return whether a table has no rows."""
    row = run(connection, "select not exists (select from {})", table).fetchone()
    return row is not None and bool(row[0])


def has_many(connection: psycopg.Connection, fresh: Identifier) -> bool:
    """Return whether a table has so many rows that it is filled in bulk."""
    query = "select exists (select from {} offset {} limit 1)"
    row = run(connection, query, fresh, Literal(MANY_ROWS)).fetchone()
    return row is not None and bool(row[0])
