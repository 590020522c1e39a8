"""`doctor`: everything looked at, and what to type where something is wrong."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.output import Format, FormatOption, console, err_console, print_json

if TYPE_CHECKING:
    from stack.doctor import Finding

app = typer.Typer()
_STYLES = {"fine": "green", "note": "yellow", "wrong": "bold red", "not checked": "dim"}
_SYMBOLS = {"fine": "✓", "note": "!", "wrong": "✗", "not checked": "·"}


@app.command(rich_help_panel="Inspect")
def doctor(
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that the checks, side by side, may take.")
    ] = 20.0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Check everything, and say for each: fine, or what is wrong and what to type.

    The machine, services, ports, roles and their grants, change capture, topics, how far each
    layer is, the lake against its contracts, runs, what was lost, the pages. It takes seconds and
    changes nothing; what is not up is not checked. Exit status 1 when something is wrong.

    Example: ./pipeline doctor
    """
    from stack.doctor import Measurements, Verdict, all_checks, examine
    from stack.paths import StackConfig

    began = time.monotonic()
    with err_console.status("looking at everything"):
        # What waits for Kafka gives up first, and says so in its own words.
        measurements = Measurements(StackConfig(), patience_seconds=timeout / 2)
        found = examine(all_checks(), measurements, limit_seconds=timeout)
    if output is Format.JSON:
        print_json([finding.to_json() for finding in found])
    else:
        show_findings(found, seconds=time.monotonic() - began)
    if any(finding.verdict is Verdict.WRONG for finding in found):
        raise typer.Exit(1)


def show_findings(found: "Sequence[Finding]", *, seconds: float) -> None:
    """A line for each, by area; under what is wrong, what to type."""
    width = max(len(finding.title) for finding in found)
    for area in dict.fromkeys(finding.area for finding in found):
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(width=width, no_wrap=True)
        table.add_column()
        for finding in found:
            if finding.area == area:
                table.add_row(*_cells(finding))
        console.print(f"[bold]{escape(area)}[/]")
        console.print(table)
    counts = Counter(finding.verdict for finding in found)
    told = (f"[{_STYLES[v]}]{counts[v]} {v}[/]" for v in _STYLES if counts[v])  # type: ignore[index]
    console.print(f"\n{', '.join(told)}  [dim]({seconds:.1f} s)[/]")


def _cells(finding: "Finding") -> list[str]:
    style = _STYLES[finding.verdict]
    is_unchecked = finding.verdict == "not checked"
    words = f"not checked: {finding.words}" if is_unchecked else finding.words
    is_loud = finding.verdict in ("wrong", "note")
    shown = f"[{style}]{escape(words)}[/]" if is_loud else escape(words)
    if is_unchecked:
        shown = f"[dim]{shown}[/]"
    if finding.remedy:
        shown += f"\n[dim]→[/] {escape(finding.remedy)}"
    return [f"[{style}]{_SYMBOLS[finding.verdict]}[/]", escape(finding.title), shown]
