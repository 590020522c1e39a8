"""Columns of datasets in the warehouse: name, type, description."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

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
    """A table, view or query: its columns as Superset describes them, and its description."""

    columns: tuple[Mapping[str, Any], ...]
    description: str | None


def read_sources(dsn: str, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Source]:
    """Return the columns of each dataset, as seen by the role of the charts.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: a dataset names a table or column that is not there.
    """
    with (
        explaining(Service.WAREHOUSE, "The columns of datasets cannot be read"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        return {
            name: _read(connection, name, content.get("sql")) for name, content in datasets.items()
        }


def _read(connection: psycopg.Connection, name: str, query: str | None) -> Source:
    table = f"{SCHEMA}.{name}"
    try:
        if query is not None:
            return Source(columns=_columns(connection, query, {}), description=None)
        comments: dict[str, str] = dict(connection.execute(_COMMENTS, [table]).fetchall())
        row = connection.execute(_TABLE_COMMENT, [table]).fetchone()
        columns = _columns(connection, f"select * from {table}", comments)  # noqa: S608 - a file's name
    except psycopg.ProgrammingError as error:
        problem = f"Dataset {name} of dashboards/: {error}"
        raise StopPipelineError(problem, "Correct the file, or ./pipeline up") from error
    return Source(columns=columns, description=None if row is None else row[0])


def _columns(
    connection: psycopg.Connection, query: str, comments: Mapping[str, str]
) -> tuple[Mapping[str, Any], ...]:
    # As bytes: psycopg's types only accept literal strings as queries, and these come from files.
    nothing = f"select * from ({query}) as q limit 0".encode()  # noqa: S608
    found = connection.execute(nothing).description or ()
    return tuple(
        _column(column.name, column.type_display, comments.get(column.name)) for column in found
    )


def _column(name: str, type_: str, description: str | None) -> dict[str, Any]:
    kind = type_.upper().partition("(")[0]
    found: dict[str, Any] = {"column_name": name, "type": kind}
    if kind in _TIMES:
        found["is_dttm"] = True
    if description:
        found["description"] = description
    return found
