"""The captured tables, as far as asking for an extraction needs to know them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lakehouse.choices import meant
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.kafka import is_capturable
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

DATING = ("updated_at", "occurred_at", "placed_at", "created_at")
"""Columns that say when a row was last written, or else when it came: the first that is there."""

_CAPTURED = Path(__file__).with_name("captured.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedTable:
    """A table of the shop.

    Attributes:
        table_name: its name, in schema public.
        key: columns of its primary key; without one it cannot be read while changes stream.
        dated_by: the instant by which its rows are chosen; None if it has none.
        has_children: whether other tables inherit from it. A select reads their rows with its own,
            while the log tells them under the names of the others.
    """

    table_name: str
    key: tuple[str, ...]
    dated_by: str | None
    has_children: bool = False


def read_captured(dsn: str) -> dict[str, CapturedTable]:
    """The captured tables, by name.

    Args:
        dsn: any role of the shop's database.

    Raises:
        RetryLaterError: the database does not answer.
    """
    with (
        explaining(Service.SHOP, "The shop's tables cannot be listed"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        rows = connection.execute(_CAPTURED.read_bytes()).fetchall()
    return {
        name: CapturedTable(
            table_name=name,
            key=tuple(key),
            dated_by=next((column for column in DATING if column in instants), None),
            has_children=has_children,
        )
        for name, key, instants, has_children in rows
        if is_capturable(name)
    }


def choose(
    known: dict[str, CapturedTable], wanted: Sequence[str], *, is_dated: bool
) -> tuple[tuple[CapturedTable, ...], tuple[str, ...]]:
    """The tables to extract, and those of all that have to be left out.

    Args:
        known: the captured tables.
        wanted: names; none stands for all.
        is_dated: whether rows are chosen by their date.

    Raises:
        WrongArgumentError: one that was named is not there, or cannot be extracted so.
    """
    unknown = sorted(set(wanted) - set(known))
    if odd := [name for name in unknown if not is_capturable(name)]:
        message = (
            f"No table named {', '.join(odd)} is captured: names are of letters a-z, digits, _ and "
            "-, so that each has a topic of its own. ./pipeline doctor says how to rename one."
        )
        raise WrongArgumentError(message)
    if unknown:
        message = (
            f"The shop has no table {', '.join(unknown)}. {meant(unknown, known)}"
            f"It has: {', '.join(sorted(known))}."
        )
        raise WrongArgumentError(message)
    names = sorted(set(wanted) or known)
    hindered = {n: why for n in names if (why := _hindrance(known[n], is_dated=is_dated))}
    if wanted and hindered:
        raise WrongArgumentError(" ".join(hindered.values()))
    chosen = tuple(known[name] for name in names if name not in hindered)
    if not chosen:
        message = f"No table can be extracted so: {', '.join(hindered) or 'the shop has none'}."
        raise StopPipelineError(message)
    return chosen, tuple(hindered)


def _hindrance(table: CapturedTable, *, is_dated: bool) -> str | None:
    if not table.key:
        return (
            f"{table.table_name} has no primary key, so Debezium cannot read it while changes "
            "stream: ./pipeline connect resnapshot reads it, with all others."
        )
    if is_dated and table.dated_by is None:
        return (
            f"{table.table_name} has no column that dates its rows ({', '.join(DATING)}, "
            "timestamptz): extract it with --full."
        )
    return None
