"""Airflow's own database: in the warehouse's server, and closed to everybody else's roles."""

import psycopg
from psycopg import sql

from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.roles import add_database

_NAME = "airflow"
_NOTE = """
select shobj_description(d.oid, 'pg_database')
from pg_database as d
where d.datname = %s"""


def prepare_database(warehouse: WarehouseSettings, secrets: Secrets) -> None:
    """Make role and database `airflow`; the second time changes nothing."""
    password = secrets["warehouse_airflow"]
    add_database(warehouse_dsn(warehouse, secrets, role="admin"), _NAME, password=password)


def migrated_by(warehouse: WarehouseSettings, secrets: Secrets) -> str | None:
    """The environment that brought the schema up to date last, None if none has yet."""
    with _connect(warehouse, secrets) as connection:
        row = connection.execute(_NOTE, [_NAME]).fetchone()
    return None if row is None else row[0]


def mark_migrated(warehouse: WarehouseSettings, secrets: Secrets, version: str) -> None:
    """Note it at the database itself, so that a restored or an emptied one is not mistaken."""
    comment = sql.SQL("comment on database {} is {}")
    with _connect(warehouse, secrets) as connection:
        connection.execute(comment.format(sql.Identifier(_NAME), sql.Literal(version)))


def _connect(warehouse: WarehouseSettings, secrets: Secrets) -> psycopg.Connection:
    dsn = warehouse_dsn(warehouse, secrets, role="admin")
    return psycopg.connect(dsn, dbname="postgres", autocommit=True)
