"""`doctor`: checks of the whole system, each with the command that fixes it."""

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
        float,
        typer.Option(min=1, help="Time limit of all checks, in seconds; they run in parallel."),
    ] = 20.0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Check the whole system; for each problem, show the command that fixes it.

    Checks machine, services, ports, roles and grants, change capture, topics, lag
    of each layer, lake tables against their contracts, runs, losses and web
    pages. It takes seconds and changes nothing; services that are down are not
    checked. Exit status 1 when something is wrong.

    Example: ./pipeline doctor
    """
    from stack.doctor import Measurements, Verdict, all_checks, examine
    from stack.paths import StackConfig

    began = time.monotonic()
    with err_console.status("checking"):
        # Waits for Kafka must time out before the checks do, so that their own message is shown.
        measurements = Measurements(StackConfig(), patience_seconds=timeout / 2)
        found = examine(all_checks(), measurements, limit_seconds=timeout)
    if output is Format.JSON:
        print_json([finding.to_json() for finding in found])
    else:
        show_findings(found, seconds=time.monotonic() - began)
    if any(finding.verdict is Verdict.WRONG for finding in found):
        raise typer.Exit(1)


def show_findings(found: "Sequence[Finding]", *, seconds: float) -> None:
    """Print one line per finding, by area; below a problem, the command that fixes it."""
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
