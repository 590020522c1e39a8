"""Housekeeping of the live overlay: removes what the warehouse has loaded.

Only the overlay's size depends on it: rows that the warehouse has do not count any more.
"""

from typing import LiteralString

import psycopg

from batch.warehouse.locks import LIMITED
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

# Live waits while this many orders are deleted: a fraction of a second.
_TRIM_ORDERS = "select live.trim_orders(20000)"
_TRIM_ROWS = "select live.trim_rows()"


def trim(dsn: str) -> int:
    """Delete what the warehouse has loaded; return the number of rows and orders deleted.

    Args:
        dsn: connection to the warehouse as its role `batch`.

    Raises:
        RetryLaterError: the warehouse does not answer.
    """
    trimmed = 0
    with (
        explaining(Service.WAREHOUSE, "The live overlay cannot be trimmed"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        connection.execute(LIMITED)
        while given_back := _count(connection, _TRIM_ORDERS):
            trimmed += given_back
        return trimmed + _count(connection, _TRIM_ROWS)


def _count(connection: psycopg.Connection, statement: LiteralString) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
