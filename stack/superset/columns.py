"""What the warehouse says of the columns that charts read: name, type, meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from lakehouse.errors import RetryLaterError, StopPipelineError

SCHEMA = "mart"
_COMMENTS = """
select
    a.attname,
    col_description(a.attrelid, a.attnum)
from pg_attribute as a
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped"""
_TABLE_COMMENT = "select obj_description(%s::regclass)"
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table, view or query: its columns as Superset describes them, and its meaning."""

    columns: tuple[Mapping[str, Any], ...]
    meaning: str | None


def read_sources(dsn: str, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Source]:
    """What each dataset reads, as the role that reads it sees it.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: a dataset names a table or column that is not there.
    """
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            return {
                name: _read(connection, name, content.get("sql"))
                for name, content in datasets.items()
            }
    except psycopg.OperationalError as error:
        message = f"The warehouse cannot be asked for columns: {error}. Is it up? ./pipeline status"
        raise RetryLaterError(message) from error


def _read(connection: psycopg.Connection, name: str, query: str | None) -> Source:
    table = sql.Identifier(SCHEMA, name)
    source = sql.SQL("select * from {} limit 0").format(
        table
        if query is None
        else sql.SQL("({}) as q").format(sql.SQL(query.rstrip().rstrip(";")))  # type: ignore[arg-type] # a file of ours
    )
    try:
        found = connection.execute(source).description or ()
        described = SCHEMA + "." + name
        comments = (
            dict(connection.execute(_COMMENTS, [described]).fetchall()) if query is None else {}
        )
        row = connection.execute(_TABLE_COMMENT, [described]).fetchone() if query is None else None
    except psycopg.ProgrammingError as error:
        message = f"dashboards/datasets/{name}.yaml: {error}. Correct the file, or ./pipeline up"
        raise StopPipelineError(message) from error
    columns = tuple(
        _column(column.name, column.type_display, comments.get(column.name)) for column in found
    )
    return Source(columns=columns, meaning=None if row is None else row[0])


def _column(name: str, type_: str, meaning: str | None) -> dict[str, Any]:
    kind = type_.upper().partition("(")[0]
    found: dict[str, Any] = {"column_name": name, "type": kind}
    if kind in _TIMES:
        found["is_dttm"] = True
    if meaning:
        found["description"] = meaning
    return found
