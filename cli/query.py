"""`query`: read-only SQL over the lake's tables."""

import csv
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from cli.output import console, err_console, value_lines

app = typer.Typer()
_SHOWN_ROWS = 100
_CELL_WIDTH = 48
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")
Row = tuple[object, ...]


class Form(StrEnum):
    """Formats of a result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command(rich_help_panel="Inspect")
def query(
    sql: Annotated[str, typer.Argument(help="A query, in the SQL of DuckDB.", metavar="SQL")],
    output: Annotated[
        Form, typer.Option("--format", help="A table; or JSON or CSV alone on standard output.")
    ] = Form.TABLE,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of rows. Default: 100 in a table, else all."),
    ] = None,
    memory_mb: Annotated[int, typer.Option(min=64, help="Memory limit of the query, MB.")] = 1024,
) -> None:
    """Run SQL over the lake's tables (LAYER.NAME) or the warehouse's (mart.NAME).

    Read-only. DuckDB queries the lake, with its own implementation of Delta, not
    the one that writes the tables. A query sees one version of each table;
    timestamps are in UTC. Postgres queries the warehouse, in its own SQL: a query
    reads one of the two.

    Key and value in bronze are shown as text. Tables of silver omit deleted rows;
    silver.NAME$all includes them, with _deleted_at.

    List tables: ./pipeline tables. List columns: ./pipeline query "describe
    silver.NAME"

    Example: ./pipeline query "select count(*) from silver.cleaned_sales"
    """
    from batch.lake_sql import LakeSql
    from batch.warehouse_query import ask_warehouse, is_of_warehouse
    from lakehouse.connections import lake_of_reader, warehouse

    with err_console.status("reading"):
        if is_of_warehouse(sql):
            answer = ask_warehouse(warehouse("reader"), sql)
        else:
            lake = LakeSql(lake_of_reader(), memory_mb=memory_mb, others=_of_warehouse)
            answer = lake.ask(sql)
        shown = limit or _SHOWN_ROWS
        given = answer.rows(limit=shown + 1 if output is Form.TABLE else limit)
        # Fetch the first row before writing, so that a failing query writes nothing.
        first = list(islice(given, shown + 1 if output is Form.TABLE else 1))
    if output is Form.TABLE:
        show_rows(answer.columns, answer.types, first[:shown])
        if len(first) > shown:
            console.print(f"The first {shown:,} rows; more with --limit N or --format csv.")
        return
    write = write_json if output is Form.JSON else write_csv
    try:
        write(answer.columns, chain(first, given))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, closed the pipe. Python's flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_warehouse() -> list[str]:
    """Return the warehouse's tables; none if it is away, or this machine has no access to it."""
    from batch.warehouse_query import readable
    from lakehouse.connections import warehouse
    from lakehouse.errors import PipelineError

    try:
        return readable(warehouse("reader"))
    except PipelineError:
        return []


def show_rows(columns: Sequence[str], types: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table or, if it is wider than the terminal, one line per value."""
    texts = [[_line(value) for value in row] for row in rows]
    widths = [
        min(_CELL_WIDTH, max(map(cell_len, [name, *(row[n] for row in texts)])))
        for n, name in enumerate(columns)
    ]
    if sum(widths) + 2 * len(widths) > console.width:
        _show_lines(columns, texts)
        return
    table = Table(box=SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    for name, kind in zip(columns, types, strict=True):
        is_number = any(word in kind for word in _NUMBERS) and "[" not in kind
        table.add_column(
            Text(name), justify="right" if is_number else "left", no_wrap=True,
            overflow="ellipsis", max_width=_CELL_WIDTH,
        )  # fmt: skip
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)
    if not rows:
        console.print("No rows.", style="dim")


def _show_lines(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Print each row as lines of name and value, truncated to the terminal's width."""
    for number, row in enumerate(texts, start=1):
        console.print(f"row {number}", style="bold")
        console.print(value_lines(columns, row, is_cut=True))
    if not texts:
        console.print("No rows. Columns: ", ", ".join(columns), style="dim")


def write_json(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Stream the rows to standard output as a JSON list of objects."""
    out = sys.stdout
    out.write("[")
    for number, row in enumerate(rows):
        value = dict(zip(columns, map(_plain, row), strict=True))
        out.write(",\n" if number else "\n")
        out.write(json.dumps(value, ensure_ascii=False, allow_nan=False))
    out.write("\n]\n")


def write_csv(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Stream the rows to standard output as CSV with a header. NULL is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv(value) for value in row] for row in rows)


def _csv(value: object) -> object:
    plain = _plain(value)
    is_nested = isinstance(plain, dict | list)
    return json.dumps(plain, ensure_ascii=False) if is_nested else plain


def _line(value: object) -> str:
    """Return a value as text on one line."""
    if value is None:
        return "-"
    plain = _plain(value)
    is_nested = isinstance(plain, dict | list)
    text = json.dumps(plain, ensure_ascii=False) if is_nested else str(plain)
    return " ".join(text[: 10 * _CELL_WIDTH].split())


def _plain(value: object) -> object:
    """Return a value as a type that JSON can represent."""
    match value:
        case None | bool() | int() | str():
            found: object = value
        case Decimal():
            # DuckDB returns sums of integers as decimals of scale 0.
            found = int(value) if value.as_tuple().exponent == 0 else str(value)
        case float():
            found = value if math.isfinite(value) else None
        case bytes():
            found = value.decode(errors="backslashreplace")
        case Mapping():
            found = {str(name): _plain(one) for name, one in value.items()}
        case list():
            found = [_plain(one) for one in value]
        case _:
            found = str(value)
    return found
