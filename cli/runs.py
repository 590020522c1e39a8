"""`runs`: the record of all runs that wrote to a layer."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from cli.output import Format, FormatOption, console, print_json, print_rows
from cli.tables import age_text
from lakehouse.choices import refuse_unknown
from lakehouse.shop_time import shop_time

if TYPE_CHECKING:
    from batch.runs import Kind, RunRow

app = typer.Typer()
runs = typer.Typer(invoke_without_command=True)
app.add_typer(runs, name="runs", rich_help_panel="Inspect")
_ROOMY = 110
"""Terminal width from which each metric has a column of its own."""
_COUNTED = ("layer", "entity", "table", "check", "severity", "read", "cleaned", "quarantined")
_LONGEST_WHO = 23
_ROOMY_COLUMNS = ("run", "kind", "what", "read", "written", "seconds", "who", "outcome", "ago")
_NARROW_COLUMNS = ("run", "kind\nwho", "what", "read\nwritten", "seconds", "outcome\nago")
_RIGHT = ("run", "read", "written", "seconds", "ago")
_STYLES = {"succeeded": "green", "failed": "red", "interrupted": "red", "running": "yellow"}
_FIGURES = ("rows_read", "rows_written", "seconds")


@runs.callback()
def list_(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Option(
            help="One of: consolidation, replay, extraction, rebuild, maintenance, redrive."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest runs.")] = 20,
    output: FormatOption = Format.TABLE,
) -> None:
    """List runs that wrote to a layer: kind, user, rows, duration, outcome.

    Consolidations, replays, extractions, rebuilds, maintenance and redrives are
    recorded, those of Airflow included, for 90 days. A run whose
    process died without recording its end is `interrupted`. Details of one run:
    ./pipeline runs show NUMBER

    Example: ./pipeline runs --kind rebuild --limit 5
    """
    if context.invoked_subcommand is not None:
        return
    from batch.runs import latest
    from lakehouse.connections import warehouse

    wanted = _kind(kind)
    rows = latest(warehouse("batch"), kind=wanted, limit=limit)
    if output is Format.JSON:
        print_json([row.to_json() for row in rows])
    elif rows:
        show_runs(rows, datetime.now(UTC))
    else:
        console.print("No run is recorded yet." if kind is None else f"No {kind} run is recorded.")


@runs.command()
def show(
    number: Annotated[int, typer.Argument(min=1, help="The number shown by ./pipeline runs.")],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the full record of one run: scope, versions, digests, metrics, error.

    Example: ./pipeline runs show 12
    """
    from batch.runs import numbered
    from lakehouse.connections import warehouse

    row = numbered(warehouse("batch"), number)
    if output is Format.JSON:
        print_json(row.to_json())
    else:
        show_run(row)


def show_runs(rows: "Sequence[RunRow]", now: datetime) -> None:
    """Print a table, newest run first; on a narrow terminal with two metrics per cell."""
    is_roomy = console.width >= _ROOMY
    table = Table(header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in _ROOMY_COLUMNS if is_roomy else _NARROW_COLUMNS:
        is_right = name.split("\n")[0] in _RIGHT
        justify: JustifyMethod = "right" if is_right else "left"
        table.add_column(name, justify=justify, no_wrap=name != "what", overflow="fold")
    for row in rows:
        table.add_row(*(_roomy(row, now) if is_roomy else _narrow(row, now)))
    console.print(table)


def show_run(row: "RunRow") -> None:
    """Print the record of one run: a line for each fact, then digests and metrics."""
    facts = {
        "run": f"{row.run_number}  ({row.run_id})",
        "kind": row.kind,
        "what": row.what,
        "outcome": row.outcome,
        "error": row.message,
        "who": row.who,
        "began": _instant(row.started_at),
        "ended": _instant(row.finished_at),
        "seconds": f"{row.seconds:,.1f}",
        "rows read": _number(row.rows_read),
        "rows written": _number(row.rows_written),
        "code": row.code_version,
        "contracts": row.contract_version,
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value:
            table.add_row(f"[dim]{name}[/]", escape(value))
    console.print(table)
    _show("scope", {name: value for name, value in row.scope.items() if name != "offsets"})
    _show("offsets", _offsets(row.scope.get("offsets")))
    _show("digest", row.digest or {})
    for name, value in row.details.items():
        _show(name, value)


def _show(title: str, value: object) -> None:
    """Print lists of rows and steps as tables, anything else as JSON."""
    if not value:
        return
    console.print(f"\n[bold]{escape(title)}[/]")
    if title == "steps" and isinstance(value, Mapping):
        _show_steps(value)
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        print_rows(_same_names(value))
    else:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        console.print(text, markup=False, soft_wrap=True)


def _show_steps(steps: Mapping[str, Mapping[str, Any]]) -> None:
    names = ("outcome", *_FIGURES, "message")
    print_rows([{"step": name, **{n: step.get(n) for n in names}} for name, step in steps.items()])
    for name, step in steps.items():
        for part, value in step.items():
            if part not in (*names, "started_at"):
                _show(f"{name}: {part}", value)


def _offsets(known: object) -> object:
    """Return a row per table and partition, both ends inclusive; other values unchanged."""
    if not isinstance(known, Mapping):
        return known
    names = ("epoch", "partition", "first", "last")
    return [
        {"table": table, **{name: offsets.get(name) for name in names}}
        for table, ranges in known.items()
        for offsets in ranges
    ]


def _same_names(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the same keys in the same order, which jsonb does not preserve."""
    found = dict.fromkeys(name for row in rows for name in row)
    names = [
        *(name for name in _COUNTED if name in found),
        *(name for name in found if name not in _COUNTED),
    ]
    return [{name: row.get(name) for name in names} for row in rows]


def _roomy(row: "RunRow", now: datetime) -> list[str]:
    return [
        str(row.run_number),
        row.kind,
        escape(row.what),
        _number(row.rows_read),
        _number(row.rows_written),
        f"{row.seconds:,.1f}",
        escape(row.who),
        _outcome(row),
        age_text((now - row.started_at).total_seconds()),
    ]


def _narrow(row: "RunRow", now: datetime) -> list[str]:
    number, kind, what, read, written, seconds, who, outcome, ago = _roomy(row, now)
    return [
        number, f"{kind}\n[dim]{who[:_LONGEST_WHO]}[/]", what, f"{read}\n{written}", seconds,
        f"{outcome}\n[dim]{ago} ago[/]",
    ]  # fmt: skip


def _outcome(row: "RunRow") -> str:
    return f"[{_STYLES[row.outcome]}]{row.outcome}[/]"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _instant(value: datetime | None) -> str:
    return "-" if value is None else shop_time(value)


def _kind(name: str | None) -> "Kind | None":
    from batch.runs import Kind

    if name is None:
        return None
    try:
        return Kind(name)
    except ValueError:
        refuse_unknown("kind", [name], list(Kind))
