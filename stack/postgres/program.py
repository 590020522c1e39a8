"""A program's own database in the warehouse's server, with a note of its state.

Other roles cannot connect to it. The state is stored as a comment on the database itself, so that
it is right after a restore or a reset.
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
    """A program's database. `name` is also that of its owner role."""

    name: str
    warehouse: WarehouseSettings
    secrets: Secrets

    def prepare(self) -> None:
        """Create role and database. Idempotent."""
        add_database(self._dsn, self.name, password=self.secrets[f"warehouse_{self.name}"])

    def note(self) -> str | None:
        """Return the stored note."""
        with self._connect() as connection:
            row = connection.execute(_NOTE, [self.name]).fetchone()
        return None if row is None else row[0]

    def write_note(self, text: str) -> None:
        """Replace the stored note."""
        comment = sql.SQL("comment on database {} is {}")
        with self._connect() as connection:
            connection.execute(comment.format(sql.Identifier(self.name), sql.Literal(text)))

    @property
    def _dsn(self) -> str:
        return warehouse_dsn(self.warehouse, self.secrets, role="admin")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._dsn, dbname="postgres", autocommit=True)
