"""A database that a program keeps for itself in the warehouse's server, and what was done to it.

Closed to everybody else's roles. What was done is noted at the database itself, so that a restored
or an emptied one is not mistaken.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from lakehouse.postgres import warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import WarehouseSettings
from stack.postgres.roles import add_database

_NOTE = """
select shobj_description(d.oid, 'pg_database')
from pg_database as d
where d.datname = %s"""


@dataclass(frozen=True, kw_only=True)
class ProgramDatabase:
    """One of them. `name` is also that of the role that owns it."""

    name: str
    warehouse: WarehouseSettings
    secrets: Secrets

    def prepare(self) -> None:
        """Make role and database; the second time changes nothing."""
        add_database(self._dsn, self.name, password=self.secrets[f"warehouse_{self.name}"])

    def note(self) -> str | None:
        """What was noted last."""
        with self._connect() as connection:
            row = connection.execute(_NOTE, [self.name]).fetchone()
        return None if row is None else row[0]

    def write_note(self, text: str) -> None:
        """Note this in its place."""
        comment = sql.SQL("comment on database {} is {}")
        with self._connect() as connection:
            connection.execute(comment.format(sql.Identifier(self.name), sql.Literal(text)))

    @property
    def _dsn(self) -> str:
        return warehouse_dsn(self.warehouse, self.secrets, role="admin")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._dsn, dbname="postgres", autocommit=True)
