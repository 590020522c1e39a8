"""SQL of changes: COPY for inserts, one statement over arrays for each kind of update."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from producers.changes import Changes, Dirt, Kind, Statement
from producers.rows import COLUMNS_OF

Tally = Counter[tuple[str, str]]
"""Number of rows by table and operation: inserted, updated, deleted."""
LEDGER = "ledger.dirt"
"""Key in a tally for injected faults."""
_DONE: dict[Kind, str] = {"update": "updated", "delete": "deleted", "detach": "updated"}
_TYPES = """
select a.attname, format_type(a.atttypid, null)
from pg_attribute as a
where a.attrelid = to_regclass('public.' || %s) and a.attnum > 0 and not a.attisdropped
"""
_COPY_LEDGER = """
copy ledger.dirt (table_name, row_key, column_name, fault, dirty_value, clean_value, row_version)
from stdin
"""


class Statements:
    """Writer of changes over a connection, in the caller's transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._types: dict[str, dict[str, str]] = {
            table: dict(connection.execute(_TYPES, [table]).fetchall()) for table in COLUMNS_OF
        }

    def apply(self, changes: Changes) -> Tally:
        """Write all of `changes`: inserts, then the rest in order, then the ledger."""
        tally: Tally = Counter()
        dirt = list(changes.dirt)
        with self._connection.cursor() as cursor:
            for table, rows in changes.inserts.items():
                if rows:
                    _copy(cursor, _copy_statement(table), rows)
                    tally[table, "inserted"] += len(rows)
            for statement in changes.statements:
                cursor.execute(self._text(statement), _columns(statement.rows))
                tally[statement.table, _DONE[statement.kind]] += cursor.rowcount
                if statement.dirt:
                    dirt += _versioned(statement.dirt, cursor.fetchall())
            if dirt:
                _copy(cursor, sql.SQL(_COPY_LEDGER), [_ledger_row(note) for note in dirt])
                tally[LEDGER, "inserted"] += len(dirt)
        return tally

    def _text(self, statement: Statement) -> sql.Composed:
        types = self._types[statement.table]
        columns = (_key_column(statement), *statement.columns)
        return _compose(
            statement.kind,
            statement.table,
            columns,
            tuple(types[column] for column in columns),
            returning=bool(statement.dirt),
        )


def _key_column(statement: Statement) -> str:
    return "customer_id" if statement.kind == "detach" else COLUMNS_OF[statement.table][0]


@cache
def _copy_statement(table: str) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS_OF[table]))
    return sql.SQL("copy public.{} ({}) from stdin").format(sql.Identifier(table), columns)


@cache
def _compose(
    kind: Kind, table: str, columns: tuple[str, ...], types: tuple[str, ...], *, returning: bool
) -> sql.Composed:
    names = [sql.Identifier(column) for column in columns]
    target, key = sql.Identifier(table), names[0]
    values = sql.SQL("unnest({}) as v ({})").format(
        sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(name)) for name in types),
        sql.SQL(", ").join(names),
    )
    if kind == "delete":
        text = "delete from public.{} as t using {} where t.{} = v.{}"
        return sql.SQL(text).format(target, values, key, key)
    settings = [sql.SQL("{} = v.{}").format(name, name) for name in names[1:]]
    if kind == "detach":
        settings.append(sql.SQL("{} = null").format(key))
    text = "update public.{} as t set {} from {} where t.{} = v.{}"
    update = sql.SQL(text).format(target, sql.SQL(", ").join(settings), values, key, key)
    return update + sql.SQL(" returning t.{}, t.version").format(key) if returning else update


def _copy(
    cursor: psycopg.Cursor, statement: sql.SQL | sql.Composed, rows: Iterable[Sequence[object]]
) -> None:
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _versioned(dirt: Sequence[Dirt], made: Iterable[tuple[int, int]]) -> list[Dirt]:
    versions = dict(made)
    return [note.with_version(versions[note.key]) for note in dirt if note.key in versions]


def _ledger_row(note: Dirt) -> tuple[object, ...]:
    return (
        note.table, note.key, note.column, note.fault, note.dirty, note.clean, note.version
    )  # fmt: skip
