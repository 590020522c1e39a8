"""Roles that read the shop's tables, and tables that hide rows from them.

A row that is hidden from a reader would look deleted. Sessions of these roles therefore run with
`row_security = off`, so that Postgres raises an error instead of omitting rows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from lakehouse.errors import StopPipelineError
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

STANDBY = "the shop's database is a standby or read-only, so its state may be outdated"
USE_THE_PRIMARY = "Let OLTP_HOST and OLTP_PORT name the primary."
_PLAIN = re.compile("[a-z_][a-z0-9_]*")
_READERS_SQL = Path(__file__).with_name("readers.sql")


class Reason(StrEnum):
    """Reason why a role does not see all rows of a table."""

    NO_GRANT = "no_grant"
    ROW_SECURITY = "row_security"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One row of `readers.sql`."""

    table_name: str
    role_name: str
    reason: str
    is_partition: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenRows:
    """A table, and the roles that do not see all of its rows."""

    table: str
    roles: tuple[str, ...]
    reason: Reason
    is_partition: bool = False

    @property
    def words(self) -> str:
        """The problem, without a full stop."""
        roles = " and ".join(self.roles)
        if self.reason is Reason.NO_GRANT:
            return f"{self.table}: {roles} may not select all of it"
        return f"{self.table} has row-level security, which hides rows from {roles}"

    @property
    def remedy(self) -> str:
        """The statement that fixes it, to be run as admin of the shop's database."""
        if self.reason is Reason.NO_GRANT:
            quoted = self.table.replace('"', '""')
            name = self.table if _PLAIN.fullmatch(self.table) else f'"{quoted}"'
            return f"as admin: grant select on public.{name} to {', '.join(self.roles)}"
        return f"as admin: {'; '.join(f'alter role {role} bypassrls' for role in self.roles)}"

    @property
    def sentences(self) -> str:
        """Problem and statement in one message."""
        return f"{self.words}. {self.remedy[0].upper()}{self.remedy[1:]}"


def read_hidden(connection: psycopg.Connection) -> list[HiddenRows]:
    """Return the captured tables of which a reader does not see all rows. Any role may call it."""
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(_READERS_SQL.read_bytes()).fetchall()
    grouped = groupby(rows, key=lambda row: (row.table_name, row.reason, row.is_partition))
    return [
        HiddenRows(
            table=table,
            roles=tuple(row.role_name for row in group),
            reason=Reason(reason),
            is_partition=is_partition,
        )
        for (table, reason, is_partition), group in grouped
    ]


def require_all_rows(dsn: str, tables: Iterable[str]) -> None:
    """Check that the readers see all rows of these tables.

    Args:
        dsn: any role of the shop's database.
        tables: by name.

    Raises:
        StopPipelineError: a reader does not see all rows of a table.
        RetryLaterError: the database does not answer.
    """
    wanted = set(tables)
    with (
        explaining(Service.SHOP, "The privileges on the shop's tables cannot be checked"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        hidden = [one for one in read_hidden(connection) if one.table in wanted]
    if hidden:
        words = "; ".join(one.words for one in hidden)
        remedies = "; ".join(dict.fromkeys(one.remedy for one in hidden))
        message = (
            f"{words}. Rows that are hidden from a reader would look deleted, so nothing was read "
            f"and nothing was written. {remedies[0].upper()}{remedies[1:]}. Then extract again."
        )
        raise StopPipelineError(message)
