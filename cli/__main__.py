"""`python -m cli`: what `./pipeline` runs."""

import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console

from cli import (
    connect,
    consolidate,
    container,
    dashboards,
    demo,
    develop,
    doctor,
    env,
    exporter,
    extract,
    freshness,
    land,
    live,
    maintain,
    quarantine,
    query,
    reconcile,
    replay,
    runs,
    simulate,
    stack,
    tables,
    trigger,
    web_uis,
)
from cli.output import console, err_console
from lakehouse import __version__
from lakehouse.errors import PipelineError
from lakehouse.logs import configure_logs
from lakehouse.settings import retired_warnings

_MISTAKE = 70
"""Exit status after an error of our own, as sysexits.h has it: nothing that passes."""
app = typer.Typer(
    name="pipeline",
    epilog="Start with: ./pipeline demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    demo,
    stack,
    env,
    simulate,
    connect,
    extract,
    land,
    live,
    exporter,
    consolidate,
    trigger,
    quarantine,
    reconcile,
    replay,
    runs,
    web_uis,
    tables,
    freshness,
    query,
    maintain,
    dashboards,
    container,
    doctor,
    develop,
):
    app.add_typer(group.app)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from lakehouse.version import code_version

        python = ".".join(map(str, sys.version_info[:3]))
        console.print(f"shop-pipeline {__version__}, code {code_version()}, Python {python}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_tell_version,
            help="Show release, version of the code and Python, and exit.",
        ),
    ] = False,
) -> None:
    """A shop's changes, from Postgres through a lake to a star schema, exactly once."""


def main() -> None:
    """Run the command; an error of ours is one message and its exit status."""
    try:
        configure_logs()
        for warning in retired_warnings():
            err_console.print(f"Warning: {warning}", markup=False, soft_wrap=True)
        app(prog_name="./pipeline")
    except PipelineError as error:
        console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        console.print("[bold red]Error[/] ", end="")
        console.print(str(error), markup=False)
        sys.exit(error.exit_status)
    except Exception:  # noqa: BLE001 - the last one to see it
        traceback.print_exc()
        sys.exit(_MISTAKE)


if __name__ == "__main__":
    main()
