"""Superset's own database: in the warehouse's server, and closed to everybody else's roles."""

import psycopg
from psycopg import sql

from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.roles import add_database

NAME = "superset"
"""Of the database, and of the role that owns it."""
_NOTE = """
select shobj_description(d.oid, 'pg_database')
from pg_database as d
where d.datname = %s"""


def prepare_database(warehouse: WarehouseSettings, secrets: Secrets) -> None:
    """Make role and database; the second time changes nothing."""
    password = secrets["warehouse_superset"]
    add_database(warehouse_dsn(warehouse, secrets, role="admin"), NAME, password=password)


def filled_by(warehouse: WarehouseSettings, secrets: Secrets) -> str | None:
    """What filled the database last, None if nothing has yet."""
    with _connect(warehouse, secrets) as connection:
        row = connection.execute(_NOTE, [NAME]).fetchone()
    return None if row is None else row[0]


def mark_filled(warehouse: WarehouseSettings, secrets: Secrets, version: str) -> None:
    """Note it at the database itself, so that a restored or an emptied one is not mistaken."""
    comment = sql.SQL("comment on database {} is {}")
    with _connect(warehouse, secrets) as connection:
        connection.execute(comment.format(sql.Identifier(NAME), sql.Literal(version)))


def _connect(warehouse: WarehouseSettings, secrets: Secrets) -> psycopg.Connection:
    dsn = warehouse_dsn(warehouse, secrets, role="admin")
    return psycopg.connect(dsn, dbname="postgres", autocommit=True)
