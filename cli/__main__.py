"""Entry point of `./pipeline` (`python -m cli`)."""

import atexit
import os
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from cli.faulty_mapping import require_mapping_where_needed
from cli.output import console, err_console
from cli.usage import wrong_usage
from lakehouse import __version__
from lakehouse.declarations import faults_deferred
from lakehouse.errors import PipelineError
from lakehouse.logs import configure_logs
from lakehouse.settings import require_names_of_data, retired_warnings

_MISTAKE = 70
"""Exit status after an unexpected exception: EX_SOFTWARE of sysexits.h. Retrying does not help."""
app = typer.Typer(
    name="pipeline",
    epilog="Start with: ./pipeline demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _refuse(text: str, status: int) -> NoReturn:
    err_console.print("[bold red]Error[/] ", end="")
    err_console.print(text, markup=False, soft_wrap=not err_console.is_terminal)
    sys.exit(status)


_GROUPS = (
    "demo", "stack", "env", "simulate", "source", "connect", "extract", "land", "live", "exporter",
    "consolidate", "contract", "new", "trigger", "quarantine", "reconcile", "replay", "runs",
    "recommend", "forecast", "web_uis", "tables", "catalog", "freshness", "query", "sql",
    "maintain", "dashboards", "container", "doctor", "develop",
)  # fmt: skip
try:
    # All that is wrong with mapping.yaml is kept, for commands that work without it.
    with faults_deferred():
        _MAPPING_FAULT = import_module("lakehouse.contracts").MAPPING_FAULT
    for group in _GROUPS:
        app.add_typer(import_module(f"cli.{group}").app)
except PipelineError as error:  # of other contracts, which are read when they are imported
    _refuse(str(error), error.exit_status)


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
    """Stream changes of a shop's Postgres into a lake and a warehouse, exactly once."""


def main() -> None:
    """Run the command in a process of its own, and end that process with the command's status.

    Python ends daemon threads, which may hang, while they run native code. In delta-rs that is a
    segmentation fault (deltalake 1.6, Python up to 3.13), after all work is done. So the process
    ends without taking the interpreter down beneath them.
    """
    status = _MISTAKE

    def leave() -> None:
        # Runs last, when threads that are awaited have ended.
        if threading.active_count() > 1:
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stdout.flush()
            os._exit(status)

    atexit.register(leave)
    try:
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    status = 0


def run() -> None:
    """Run the command; print a `PipelineError` as one message and exit with its status."""
    try:
        configure_logs()
        require_names_of_data()
        for warning in retired_warnings():
            err_console.print(f"Warning: {warning}", markup=False, soft_wrap=True)
        command = typer.main.get_group(app)
        if _MAPPING_FAULT is not None:
            require_mapping_where_needed(command, _MAPPING_FAULT)
        status = command(prog_name="./pipeline", standalone_mode=False)
        if status:
            sys.exit(status)
    except PipelineError as error:
        _refuse(str(error), error.exit_status)
    except TyperException as error:
        _refuse(wrong_usage(error), error.exit_code)
    except typer.Abort:
        has_nobody = not sys.stdin.isatty()
        err_console.print("Aborted. Without a terminal: --yes." if has_nobody else "Aborted.")
        sys.exit(1)
    except Exception:  # noqa: BLE001 - last resort: print the trace
        traceback.print_exc()
        sys.exit(_MISTAKE)


if __name__ == "__main__":
    main()
