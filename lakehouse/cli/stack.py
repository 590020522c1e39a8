"""Commands that start, stop and show the services."""

from dataclasses import asdict
from typing import Annotated

import typer

from lakehouse.cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer(rich_help_panel="Stack")

ServicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Default: all of them.")
]


@app.command()
def up(services: ServicesArgument = None) -> None:
    """Set up what is missing, start the services, return when each is ready.

    Example: ./pipeline up
    """
    from stack.control import Stack
    from stack.progress import Steps

    stack = Stack()
    with Steps(err_console) as progress:
        stack.up(services or (), progress=progress)
    rows = [
        {"service": s.service, "at": s.url, "what": s.title} for s in stack.status() if s.is_ready
    ]
    print_rows(rows)


@app.command()
def down() -> None:
    """Stop all services; returns when they are gone.

    Example: ./pipeline down
    """
    from stack.control import Stack

    Stack().down()
    err_console.print("down")


@app.command()
def status(output: FormatOption = Format.TABLE) -> None:
    """Show each service: state, process, ports, whether it answers.

    Example: ./pipeline status --format json
    """
    from stack.control import Stack

    rows = [asdict(row) for row in Stack().status()]
    if output is Format.JSON:
        print_json(rows)
    else:
        print_rows([row | {"ports": " ".join(map(str, row["ports"]))} for row in rows])


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="Which service's log.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("-n", help="How many lines of its end.", min=0)] = 50,
) -> None:
    """Print the end of a service's log.

    Example: ./pipeline logs connect -f
    """
    from stack.control import Stack
    from stack.log import follow as follow_log
    from stack.log import last_lines

    log = Stack().log_of(service)
    for line in follow_log(log, lines) if follow else last_lines(log, lines):
        typer.echo(line)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop all services and delete their data, logs and passwords. Downloads are kept.

    Example: ./pipeline reset --yes
    """
    from stack.control import Stack

    stack = Stack()
    if not yes:
        typer.confirm(f"Delete all data in {stack.data.root}?", abort=True, err=True)
    stack.reset()
    console.print(f"deleted {stack.data.root}")
