"""SQL over the warehouse's tables, by Postgres itself, as the role that charts read with."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import psycopg

from batch.lake_sql import Answer, QueryError, Row
from lakehouse.layers import LAKE
from lakehouse.postgres import explained
from lakehouse.trouble import Service

SCHEMAS = ("mart", "live")
"""Schemas of the warehouse that its readers may see."""
_READABLE = """
select n.nspname || '.' || c.relname
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where
    n.nspname = any(%s) and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
    and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
order by 1"""


def is_of_warehouse(query: str) -> bool:
    """Return whether a query names tables of the warehouse, by their schemas.

    Raises:
        QueryError: it names tables of the lake, too.
    """
    named = {word.casefold() for word in re.findall(r"(?<![\w.\"'])(\w+)\s*\.\s*[\w\"]", query)}
    if named.isdisjoint(SCHEMAS):
        return False
    if lake := named.intersection(LAKE):
        message = (
            f"A query reads the warehouse ({', '.join(SCHEMAS)}) or the lake, not both: it also "
            f"names {', '.join(sorted(lake))}."
        )
        raise QueryError(message)
    return True


def readable(dsn: str) -> list[str]:
    """Return the tables and views that a query can read, as `schema.name`; none if it is away."""
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            return [name for (name,) in connection.execute(_READABLE, [list(SCHEMAS)])]
    except psycopg.Error:
        return []


def ask_warehouse(dsn: str, query: str) -> Answer:
    """Run a query in the warehouse.

    Args:
        dsn: connection as its role `reader`, whose sessions are read-only.
        query: in Postgres' SQL.

    Raises:
        QueryError: it is invalid, reads an unknown table, or is not a query.
        RetryLaterError: the warehouse does not answer.
    """

    def run(limit: int | None) -> Iterator[Row]:
        with (
            _explaining(dsn),
            psycopg.connect(dsn) as connection,
            connection.cursor("query") as cursor,
        ):
            yield from islice(cursor.execute(query.encode()), limit)

    with _explaining(dsn), psycopg.connect(dsn) as connection, connection.cursor("query") as cursor:
        columns = cursor.execute(query.encode()).description or []
        kinds = [connection.adapters.types.get(column.type_code) for column in columns]
    return Answer(
        columns=[column.name for column in columns],
        types=["" if kind is None else kind.name for kind in kinds],
        read=run,
    )


@contextmanager
def _explaining(dsn: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        listed = "\n".join(f"  {name}" for name in readable(dsn))
        message = f"{error}\n\nThe warehouse has:\n{listed}"
        raise QueryError(message) from error
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.InternalError) as error:
        raise QueryError(str(error)) from error
    except psycopg.Error as error:
        raise explained(error, Service.WAREHOUSE, "The warehouse cannot be queried") from error
