"""The captured tables of the shop, with what a request for an extraction needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from connectors.shop_catalog import CatalogRow, read_catalog
from lakehouse.choices import meant
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.kafka import is_capturable
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

DATING = ("updated_at", "occurred_at", "placed_at", "created_at")
"""Columns that date a row; the first one that exists in a table is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedTable:
    """A captured table of the shop.

    Attributes:
        table_name: its name, in schema public.
        key: columns of its primary key; without one it cannot be read while changes stream.
        dated_by: the timestamp column by which its rows are selected; None if it has none.
        has_children: whether other tables inherit from it. A select returns their rows, too,
            while the WAL has those under the names of the child tables.
    """

    table_name: str
    key: tuple[str, ...]
    dated_by: str | None
    has_children: bool = False


def read_captured(dsn: str) -> dict[str, CapturedTable]:
    """Return the captured tables, by name.

    Args:
        dsn: any role of the shop's database.

    Raises:
        RetryLaterError: the database does not answer.
    """
    with (
        explaining(Service.SHOP, "The shop's tables cannot be listed"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        catalog = read_catalog(connection)
    return {name: _captured(name, rows) for name, rows in catalog.items()}


def _captured(name: str, rows: Sequence[CatalogRow]) -> CapturedTable:
    key = {row.key_position: row.column_name for row in rows if row.key_position is not None}
    instants = [r.column_name for r in rows if r.type_name == "timestamptz" and not r.is_array]
    return CapturedTable(
        table_name=name,
        key=tuple(key[position] for position in sorted(key)),
        dated_by=next((column for column in DATING if column in instants), None),
        has_children=rows[0].has_children,
    )


def choose(
    known: dict[str, CapturedTable], wanted: Sequence[str], *, is_dated: bool
) -> tuple[tuple[CapturedTable, ...], tuple[str, ...]]:
    """Return the tables to extract, and the names of those that cannot be extracted.

    Args:
        known: the captured tables.
        wanted: names; all tables if empty.
        is_dated: whether rows are selected by date.

    Raises:
        WrongArgumentError: a table in `wanted` does not exist or cannot be extracted.
        StopPipelineError: none of the tables can be extracted.
    """
    unknown = sorted(set(wanted) - set(known))
    if odd := [name for name in unknown if not is_capturable(name)]:
        problem = (
            f"No table named {', '.join(odd)} is captured: names may only contain a-z, digits, _ "
            "and -, so that no two share a topic"
        )
        raise WrongArgumentError(problem, "./pipeline doctor shows how to rename a table.")
    if unknown:
        message = (
            f"The shop has no table {', '.join(unknown)}. {meant(unknown, known)}"
            f"Tables: {', '.join(sorted(known))}."
        )
        raise WrongArgumentError(message)
    names = sorted(set(wanted) or known)
    hindered = {n: why for n in names if (why := _hindrance(known[n], is_dated=is_dated))}
    if wanted and hindered:
        raise WrongArgumentError(" ".join(hindered.values()))
    chosen = tuple(known[name] for name in names if name not in hindered)
    if not chosen:
        message = (
            "None of the tables can be extracted like this: "
            f"{', '.join(hindered) or 'the shop has no tables'}."
        )
        raise StopPipelineError(message)
    return chosen, tuple(hindered)


def _hindrance(table: CapturedTable, *, is_dated: bool) -> str | None:
    if not table.key:
        return (
            f"{table.table_name} has no primary key, so Debezium cannot read it while changes "
            "stream. ./pipeline connect resnapshot reads it together with all others."
        )
    if is_dated and table.dated_by is None:
        return (
            f"{table.table_name} has no timestamptz column that dates its rows "
            f"({', '.join(DATING)}): extract it with --full."
        )
    return None
