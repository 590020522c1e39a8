"""How commands report: a table for people, or JSON alone on standard output."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table


class Format(StrEnum):
    """Forms of a report."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="A table, or JSON alone on standard output.")
]

console = Console(highlight=False)
"""Standard output, for reports."""
err_console = Console(stderr=True, highlight=False)
"""Standard error, for progress."""


def print_json(value: object) -> None:
    """One JSON document, and nothing else, on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """A table with a column for each key of the first row; numbers right-aligned, grouped."""
    table = Table(title=title, title_justify="left", header_style="bold")
    if rows:
        for name, value in rows[0].items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            table.add_column(name.replace("_", " "), justify="right" if is_number else "left")
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
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)
