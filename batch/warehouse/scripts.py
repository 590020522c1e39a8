"""The warehouse's SQL files, by path below `warehouse_sql/`, and helpers to compose SQL.

The files have keys of integers. Where a contract's key is a text, `order_id bigint` is read as
`order_id text`, and so is a type after a key's name in a comment: `/* order_id */ bigint[]`.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from lakehouse.contracts import ENTITIES, Type
from lakehouse.contracts.keys import ALIASES, key_types
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import noting
from lakehouse.settings import ROOT

FOLDER = ROOT / "warehouse_sql"
TEXTS = {name for name, kind in key_types(ENTITIES.values()).items() if kind is Type.TEXT}
"""Keys that are texts."""
_OF_ANY = ("row_key", "example_key")
"""Columns with keys of several tables: texts if one of the keys is."""
KEY_OF_ANY = sql.SQL("text" if TEXTS else "bigint")
"""Type that holds the keys of all tables."""


def script(name: str) -> bytes:
    """Return the text of one file, e.g. `load/affected_before.sql`."""
    return with_key_types((FOLDER / name).read_bytes(), TEXTS)


def scripts(pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and text of each matching file, ordered by name."""
    for path in sorted(FOLDER.glob(pattern)):
        yield _name(path), script(_name(path))


def with_key_types(text: bytes, keys: Collection[str]) -> bytes:
    """Return SQL with texts as the types of these keys."""
    names = [*keys, *(name for name, key in ALIASES.items() if key in keys)]
    if not names:
        return text
    pattern = rf"\b({'|'.join((*names, *_OF_ANY))})((?: \*/)? )bigint\b"
    return re.sub(pattern.encode(), rb"\1\2text", text)


def _name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def script_into(name: str, table: str, other: str) -> bytes:
    """Return the text of a file that inserts rows into a table of the mart, for another table.

    Raises:
        StopPipelineError: it has no such insert, or in other words.
    """
    target = rf'\binsert\s+into\s+("?)mart\1\s*\.\s*("?){table}\2(?![\w$"])'.encode()
    text, count = re.subn(
        target, f"insert into {other}".encode(), script(name), flags=re.IGNORECASE
    )
    if not count:
        problem = f"warehouse_sql/{name} has no insert into mart.{table}"
        raise StopPipelineError(problem, "Let it insert the rows that it computes in these words.")
    return text


def run_script(connection: psycopg.Connection, name: str, text: bytes | None = None) -> None:
    """Run one file, or a text made of it; errors carry its name."""
    with noting(f"in warehouse_sql/{name}"):
        connection.execute(script(name) if text is None else text)


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
