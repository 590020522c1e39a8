"""Reads rows of the warehouse into frames, with the types of the lake."""

import io
from collections.abc import Mapping

import polars as pl
import psycopg
from psycopg import sql

ColumnType = pl.DataType | type[pl.DataType]
_INSTANT = pl.Datetime("us", "UTC")
_WALL_CLOCK = pl.Datetime("us")


def read_rows(
    connection: psycopg.Connection,
    source: sql.Composable,
    schema: Mapping[str, ColumnType],
    where: sql.Composable | None = None,
) -> pl.DataFrame:
    """Read rows of a table, or of a query in parentheses with an alias.

    Args:
        connection: connection to the warehouse.
        source: the text after `from`.
        schema: columns to read, and their types.
        where: a condition; by default all rows.
    """
    query = sql.SQL("copy (select {} from {} where {}) to stdout (format csv)").format(
        sql.SQL(", ").join(_selected(name, kind) for name, kind in schema.items()),
        source,
        where or sql.SQL("true"),
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        text = b"".join(copy)
    if not text:
        return pl.DataFrame(schema=dict(schema))
    texts = dict.fromkeys(schema, pl.String)
    raw = pl.read_csv(io.BytesIO(text), has_header=False, schema=texts)
    return raw.select(_typed(name, kind) for name, kind in schema.items())


def _selected(name: str, kind: ColumnType) -> sql.Composable:
    column = sql.Identifier(name)
    if kind in (_INSTANT, _WALL_CLOCK):
        return sql.SQL("(extract(epoch from {}) * 1000000)::bigint").format(column)
    return sql.SQL("{}::text").format(column)


def _typed(name: str, kind: ColumnType) -> pl.Expr:
    text = pl.col(name)
    if kind == pl.Boolean:
        return text == "true"
    if kind in (_INSTANT, _WALL_CLOCK):
        instant = pl.from_epoch(text.cast(pl.Int64), time_unit="us")
        return instant.dt.replace_time_zone("UTC" if kind == _INSTANT else None).alias(name)
    if kind == pl.Date:
        return text.str.to_date("%Y-%m-%d")
    return text.cast(kind)
