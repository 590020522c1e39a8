"""Superset's own database, and what was done to it last.

It is in the warehouse's server, closed to everybody else's roles. What was done is noted at the
database itself, so that a restored or an emptied one is not mistaken.
"""

import json
from typing import Literal

import psycopg
from psycopg import sql

from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.roles import add_database

NAME = "superset"
"""Of the database, and of the role that owns it."""
Deed = Literal["filled_by", "applied"]
_NOTE = """
select shobj_description(d.oid, 'pg_database')
from pg_database as d
where d.datname = %s"""


def prepare_database(warehouse: WarehouseSettings, secrets: Secrets) -> None:
    """Make role and database; the second time changes nothing."""
    password = secrets["warehouse_superset"]
    add_database(warehouse_dsn(warehouse, secrets, role="admin"), NAME, password=password)


def read_state(warehouse: WarehouseSettings, secrets: Secrets) -> dict[Deed, str]:
    """What was done: the environment that filled it, the dashboards that were applied."""
    with _connect(warehouse, secrets) as connection:
        return _read(connection)


def write_state(warehouse: WarehouseSettings, secrets: Secrets, **done: str) -> None:
    """Note what was done, beside what was done before."""
    comment = sql.SQL("comment on database {} is {}")
    with _connect(warehouse, secrets) as connection:
        note = json.dumps({**_read(connection), **done})
        connection.execute(comment.format(sql.Identifier(NAME), sql.Literal(note)))


def _read(connection: psycopg.Connection) -> dict[Deed, str]:
    row = connection.execute(_NOTE, [NAME]).fetchone()
    found: dict[Deed, str] = json.loads(row[0]) if row and row[0] else {}
    return found


def _connect(warehouse: WarehouseSettings, secrets: Secrets) -> psycopg.Connection:
    dsn = warehouse_dsn(warehouse, secrets, role="admin")
    return psycopg.connect(dsn, dbname="postgres", autocommit=True)
