"""`tables`: tables of each layer with size, position, lag and age."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from cli.layers import option
from cli.output import Format, FormatOption, console, err_console, print_json
from lakehouse.layers import LAKE, STORED, Layer

if TYPE_CHECKING:
    from batch.catalogue import TableMetrics

app = typer.Typer()
_ROOMY = 90
"""Terminal width from which cells are padded."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


LayersOption = Annotated[
    list[Layer] | None,
    option("--layer", layers=STORED, description="Only this layer; may be given again."),
]


@app.command(rich_help_panel="Inspect")
def tables(layer: LayersOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the tables of each layer: rows, size, position, lag, age.

    Only metadata is read. Row counts of silver include deleted rows; ~ marks an
    estimate by Postgres.

    Position: the Kafka offsets that a table has applied; in gold, the number of
    silver tables that it is computed from (their versions are in the JSON).
    Behind: what the layer below is ahead, in offsets or versions.

    Age: of the newest row, since its commit in the shop; of the last change in
    tables that do not record it; in the warehouse, of the last load.

    Example: ./pipeline tables --layer silver
    """
    from batch.catalogue import lake_metrics
    from lakehouse.connections import lake_of_reader

    wanted = [one.value for one in layer or STORED]
    found: list[TableMetrics] = []
    with err_console.status("reading the lake's logs"):
        layers = [one for one in LAKE if one in wanted]
        if layers:
            found += lake_metrics(lake_of_reader(), layers)
        notes = _add_warehouse(found) if Layer.WAREHOUSE in wanted else []
    now = datetime.now(tz=UTC)
    if output is Format.JSON:
        print_json([metrics.to_json(now) for metrics in found])
    else:
        show_tables(found, now)
    for note in notes:
        err_console.print(note, style="yellow", markup=False, soft_wrap=True)


def _add_warehouse(found: "list[TableMetrics]") -> list[str]:
    """Add the warehouse's tables to `found`; returns notes about why they are missing."""
    import psycopg

    from batch.catalogue import warehouse_metrics
    from lakehouse.connections import warehouse
    from lakehouse.postgres import explained
    from lakehouse.trouble import Service

    try:
        metrics = warehouse_metrics(warehouse("batch"))
    except psycopg.Error as error:
        return [str(explained(error, Service.WAREHOUSE, "Its tables are not shown"))]
    found += metrics
    return [] if metrics else ["The warehouse has no tables yet: ./pipeline consolidate"]


def show_tables(found: "Sequence[TableMetrics]", now: datetime) -> None:
    """Print one table per layer."""
    for layer in dict.fromkeys(metrics.table.layer for metrics in found):
        table = metrics_table(
            layer, "rows", "files", "size", "version", "position", "behind", "age"
        )
        for metrics in found:
            if metrics.table.layer == layer:
                table.add_row(metrics.table.name, *_cells(metrics, now))
        console.print(table)
        console.print()


def metrics_table(title: str, *columns: str) -> Table:
    """Return an empty table with a name column and right-aligned metric columns."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim",
        box=SIMPLE_HEAD, padding=(0, int(console.width >= _ROOMY), 0, 0), show_edge=False,
    )  # fmt: skip
    table.add_column("table", no_wrap=True, min_width=24)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(metrics: "TableMetrics", now: datetime) -> list[str]:
    rows = "-" if metrics.rows is None else f"{metrics.rows:,}"
    behind = metrics.behind
    return [
        f"~{rows}" if metrics.is_estimate and metrics.rows is not None else rows,
        _number(metrics.files),
        "-" if metrics.bytes is None else size_text(metrics.bytes),
        _number(metrics.version),
        _position(metrics),
        "-" if behind is None else f"{behind.count:,}",
        age_text(metrics.age_seconds(now)),
    ]


def _position(metrics: "TableMetrics") -> str:
    if metrics.position is not None:
        return f"{metrics.position:,}"
    count = len(metrics.versions)
    return f"{count} table{'s'[: count - 1]}" if count else "-"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def size_text(size: int) -> str:
    """Return a number of bytes with a decimal unit, such as `1.5 MB`."""
    value, units = float(size), list(_UNITS)
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "B" else f"{value:,.1f} {units[0]}"


def age_text(seconds: float | None) -> str:
    """Return a duration in its largest fitting unit, such as `3 h`; `-` for None."""
    if seconds is None:
        return "-"
    value = max(0.0, seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * length:
            return f"{value / length:,.0f} {unit}"
    return f"{value:.0f} s"
