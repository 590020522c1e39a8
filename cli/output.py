"""Output of commands: tables for people, or JSON alone on standard output."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lakehouse.shop_time import shop_time


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
    """Print a table with a column for each key of the first row, numbers right-aligned.

    Cells wrap at spaces only, so that a name can be typed again. Rows that do not fit into the
    terminal even so are printed one below the other, a line for each value.
    """
    names = [name.replace("_", " ") for name in (rows[0] if rows else ())]
    cells = [[_text(value) for value in row.values()] for row in rows]
    columns = list(zip(names, *cells, strict=True))
    widths = _widths(columns, console.width)
    if widths is None:
        _print_lines(names, cells, title)
        return
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False,
    )  # fmt: skip
    for (name, *_), width, value in zip(
        columns, widths, rows[0].values() if rows else (), strict=True
    ):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(Text(name), justify=justify, width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return a width for each column so that all fit and no word is cut; None if there is none."""
    widths = [max(map(cell_len, texts)) for texts in columns]
    words = [max(cell_len(word) for text in texts for word in text.split(" ")) for texts in columns]
    # Rich puts two blanks between columns, and one behind the last.
    excess = sum(widths) + 2 * len(widths) - 1 - room
    while excess > 0:
        spare, widest = max(
            ((width - word, n) for n, (width, word) in enumerate(zip(widths, words, strict=True))),
            default=(0, 0),
        )
        if spare == 0:
            return None
        widths[widest] -= 1
        excess -= 1
    return widths


def _print_lines(names: Sequence[str], cells: Iterable[Sequence[str]], title: str | None) -> None:
    if title:
        console.print(Text(title, style="bold"))
    for row in cells:
        console.print(value_lines(names, row))
        console.print()


def value_lines(names: Sequence[str], row: Sequence[str], *, is_cut: bool = False) -> Table:
    """Return a line for each value of a row, folded or, with `is_cut`, cut where it is too long."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=is_cut, overflow="ellipsis" if is_cut else "fold")
    for name, text in zip(names, row, strict=True):
        grid.add_row(Text(name), Text(text))
    return grid


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return shop_time(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)
