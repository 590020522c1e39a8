"""Output of commands: tables for people, or JSON alone on standard output."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table


class Format(StrEnum):
    """Formats of a report."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="A table, or JSON alone on standard output.")
]

_WIDTH_OF_A_FILE = 140

console = Console(
    highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
)
"""Standard output, for reports."""
err_console = Console(stderr=True, highlight=False, emoji=False)
"""Standard error, for progress."""


def print_json(value: object) -> None:
    """Write one JSON document to standard output; values JSON does not know become strings."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Print a table with a column for each key of the first row, numbers right-aligned."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for number, (name, value) in enumerate(rows[0].items() if rows else ()):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(name.replace("_", " "), justify=justify, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)
