"""The roles that read the shop's tables, and which tables hide rows from them.

A row that a reader does not see looks deleted. So sessions of these roles run with `row_security`
off, where Postgres raises an error instead of leaving rows out.
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

STANDBY = "the shop's database is a standby or read-only: it may show the shop as it was"
USE_THE_PRIMARY = "Let OLTP_HOST and OLTP_PORT name the primary."
_PLAIN = re.compile("[a-z_][a-z0-9_]*")
_READERS_SQL = Path(__file__).with_name("readers.sql")


class Reason(StrEnum):
    """Why a role does not see all rows of a table."""

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
        """What is wrong, without a full stop."""
        roles = " and ".join(self.roles)
        if self.reason is Reason.NO_GRANT:
            return f"{self.table}: {roles} may not select all of it"
        return f"{self.table} has row-level security, which hides rows from {roles}"

    @property
    def remedy(self) -> str:
        """What to type, as admin of the shop's database."""
        if self.reason is Reason.NO_GRANT:
            quoted = self.table.replace('"', '""')
            name = self.table if _PLAIN.fullmatch(self.table) else f'"{quoted}"'
            return f"as admin: grant select on public.{name} to {', '.join(self.roles)}"
        return f"as admin: {'; '.join(f'alter role {role} bypassrls' for role in self.roles)}"

    @property
    def sentences(self) -> str:
        """Both, as a message has them."""
        return f"{self.words}. {self.remedy[0].upper()}{self.remedy[1:]}"


def read_hidden(connection: psycopg.Connection) -> list[HiddenRows]:
    """The captured tables of which a reader does not see all rows, by name; for any role."""
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
    """Refuse to read tables again that hide rows from those who would read them.

    Args:
        dsn: any role of the shop's database.
        tables: by name.

    Raises:
        StopPipelineError: a reader does not see all rows of one.
        RetryLaterError: the database does not answer.
    """
    wanted = set(tables)
    with (
        explaining(Service.SHOP, "The shop's tables cannot be validated"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        hidden = [one for one in read_hidden(connection) if one.table in wanted]
    if hidden:
        words = "; ".join(one.words for one in hidden)
        remedies = "; ".join(dict.fromkeys(one.remedy for one in hidden))
        message = (
            f"{words}. Rows that a reader does not see would look deleted, so nothing was read "
            f"and nothing was written. {remedies[0].upper()}{remedies[1:]}. Then extract again."
        )
        raise StopPipelineError(message)
