"""`reconcile`: comparison of the shop with bronze, and of each layer with the one below."""

from typing import TYPE_CHECKING

import typer

from cli.engine import EngineOption, spark_of
from cli.output import Format, FormatOption, console, err_console, print_json, print_rows
from lakehouse.errors import PipelineError
from lakehouse.shop_time import shop_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.reconcile import Report
    from batch.reconcile.findings import Fault

app = typer.Typer()
_NOT_EXACT = 1
_CANNOT_CHECK = 2


@app.command(rich_help_panel="Run")
def reconcile(engine: EngineOption = None, output: FormatOption = Format.TABLE) -> None:
    """Compare the shop with bronze change by change, then silver, gold and the warehouse.

    Exit status 0 when everything is exact, 1 when a layer differs, 2 when
    something could not be compared, e.g. because bronze did not catch up in time
    or the shop hides rows of a table. The verdict names what was not compared,
    and why. On Spark, its workers validate bronze again and compare silver.

    Example: ./pipeline reconcile --format json
    """
    from batch.reconcile import reconcile as compare
    from lakehouse.connections import secrets

    try:
        with spark_of(engine) as cluster, err_console.status("starting") as status:
            report = compare(secrets(), cluster=cluster, on_progress=status.update)
    except PipelineError as error:
        err_console.print("[bold red]Cannot tell[/] ", end="")
        err_console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(_CANNOT_CHECK) from error
    if output is Format.JSON:
        print_json(report.to_json())
    else:
        show_report(report)
    if not report.exact:
        raise typer.Exit(_NOT_EXACT if report.is_faulty else _CANNOT_CHECK)


def show_report(report: "Report") -> None:
    """Print a table of all comparisons, notes and the verdict."""
    rows = [
        {
            "table": table.table,
            "shop_rows": found.source_rows,
            "bronze_rows": found.bronze_rows,
            "changes": found.changes,
            "faults": _told(found.faults),
        }
        for table in report.tables
        if not table.is_dropped and table.is_compared
        for found in (table.findings,)
    ]
    print_rows(rows, title=f"As of {shop_time(report.snapshot.taken_at)}")
    for table in report.tables:
        if table.is_dropped:
            note = f"{table.bronze}: the shop dropped this table; bronze keeps its changes"
            console.print(note, style="dim")
        if table.not_compared:
            names = ", ".join(table.not_compared)
            console.print(f"{table.table}: columns not compared: {names}", markup=False)
    show_layers(report)
    console.print(report.verdict(), markup=False, style="green" if report.exact else "bold red")


def show_layers(report: "Report") -> None:
    """Print the comparison of silver, gold and the warehouse with the layer below, by table."""
    rows = [
        {
            "layer": one.layer,
            "table": one.table,
            "rows": found.rows,
            "quarantined": found.quarantined,
            "faults": _told(found.faults),
        }
        for one in report.layers
        if one.is_compared
        for found in (one.findings,)
    ]
    if rows:
        print_rows(rows, title="Layers above bronze")


def _told(faults: "Mapping[str, Fault]") -> str:
    found = [f"{one.count:,} {name.replace('_', ' ')}" for name, one in faults.items() if one.count]
    return ", ".join(found) or "none"
