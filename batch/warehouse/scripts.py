"""The SQL of the warehouse, by its path below `warehouse_sql/`, and parts to compose more of."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from lakehouse.postgres import noting
from lakehouse.settings import ROOT

FOLDER = ROOT / "warehouse_sql"


def script(name: str) -> bytes:
    """Text of one file, e.g. `load/affected_before.sql`."""
    return (FOLDER / name).read_bytes()


def scripts(pattern: str) -> Iterator[tuple[str, bytes]]:
    """Name and text of each file that matches, in the order of their names."""
    for path in sorted(FOLDER.glob(pattern)):
        yield _name(path), path.read_bytes()


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def run_script(connection: psycopg.Connection, name: str) -> None:
    """Run one file; its name goes with an error."""
    with noting(f"in warehouse_sql/{name}"):
        connection.execute(script(name))


def run(
    connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement with its `{}` filled."""
    return connection.execute(sql.SQL(statement).format(*parts))


def columns_of(alias: str, columns: Iterable[str]) -> sql.Composed:
    """`alias.a, alias.b`."""
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in columns)


def same_key(left: str, right: str, key: Iterable[str]) -> sql.Composed:
    """Condition that two rows have the same key."""
    pairs = (
        sql.SQL("{} = {}").format(sql.Identifier(left, column), sql.Identifier(right, column))
        for column in key
    )
    return sql.SQL(" and ").join(pairs)
