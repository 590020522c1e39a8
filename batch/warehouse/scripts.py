"""The warehouse's SQL files, by path below `warehouse_sql/`, and helpers to compose SQL."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from lakehouse.postgres import noting
from lakehouse.settings import ROOT

FOLDER = ROOT / "warehouse_sql"


def script(name: str) -> bytes:
    """Return the text of one file, e.g. `load/affected_before.sql`."""
    return (FOLDER / name).read_bytes()


def scripts(pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and text of each matching file, ordered by name."""
    for path in sorted(FOLDER.glob(pattern)):
        yield _name(path), path.read_bytes()


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def run_script(connection: psycopg.Connection, name: str) -> None:
    """Run one file; errors carry its name."""
    with noting(f"in warehouse_sql/{name}"):
        connection.execute(script(name))


def run(
    connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement, after filling in its `{}`."""
    return connection.execute(sql.SQL(statement).format(*parts))


def columns_of(alias: str, columns: Iterable[str]) -> sql.Composed:
    """Return `alias.a, alias.b`."""
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in columns)


def same_key(left: str, right: str, key: Iterable[str]) -> sql.Composed:
    """Return the condition that two rows have the same key."""
    pairs = (
        sql.SQL("{} = {}").format(sql.Identifier(left, column), sql.Identifier(right, column))
        for column in key
    )
    return sql.SQL(" and ").join(pairs)
