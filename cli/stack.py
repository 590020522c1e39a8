"""Commands that start, stop, show and reset the services."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.output import Format, FormatOption, err_console, print_json, print_rows

if TYPE_CHECKING:
    from stack.control import ServiceStatus

app = typer.Typer()

ServicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Default: all of them.")
]


@app.command(rich_help_panel="Stack")
def up(
    services: ServicesArgument = None,
    *,
    airflow: Annotated[
        bool,
        typer.Option("--airflow/--no-airflow", help="Start Airflow (the hourly pipeline run)."),
    ] = True,
    superset: Annotated[
        bool, typer.Option("--superset/--no-superset", help="Start Superset (dashboards).")
    ] = True,
    monitoring: Annotated[
        bool, typer.Option("--monitoring", help="Start Prometheus (metrics and alerts).")
    ] = False,
    store: Annotated[
        Literal["minio", "seaweedfs"] | None,
        typer.Option(help="minio, or seaweedfs, which needs no build. Default: STACK_STORE."),
    ] = None,
    spark: Annotated[
        bool, typer.Option("--spark", help="Start Spark, a master and two workers.")
    ] = False,
) -> None:
    """Install what is missing, start the services, wait until each is ready.

    Example: ./pipeline up
    """
    from lakehouse.settings import StackSettings
    from stack.catalog import chosen
    from stack.engine import stack_of_settings
    from stack.paths import StackConfig
    from stack.progress import Steps

    settings = StackSettings() if store is None else StackSettings(store=store)
    stack = stack_of_settings(StackConfig(stack=settings))
    with Steps(err_console) as progress:
        wanted = services or chosen(
            airflow=airflow, superset=superset, monitoring=monitoring, spark=spark
        )
        stack.up(wanted, progress=progress)
    found = [row for row in stack.status() if row.is_ready]
    print_rows([{"service": row.service, "what": row.title, "at": row.url} for row in found])
    err_console.print(f"Passwords: {stack.config.stack.secrets_path}", soft_wrap=True)


@app.command(rich_help_panel="Stack")
def down() -> None:
    """Stop all services, and wait until they have ended.

    Example: ./pipeline down
    """
    from stack.engine import stack_of_settings

    stack = stack_of_settings()
    with err_console.status("stopping"):
        stack.down()
    err_console.print(f"Stopped. The data stays in {stack.place}", soft_wrap=True)


@app.command(rich_help_panel="Stack")
def status(output: FormatOption = Format.TABLE) -> None:
    """Show state, memory and address of each service.

    A service that answers is `ready`; one that others run, because its host is
    set, also has to let us in. A log: ./pipeline logs SERVICE
    Process ids and files are in the JSON.

    Example: ./pipeline status --format json
    """
    from stack.engine import stack_of_settings

    found = stack_of_settings().status()
    if output is Format.JSON:
        print_json([asdict(row) for row in found])
        return
    rows = [
        {
            "service": row.service,
            "state": _state(row),
            "up for": None if row.is_elsewhere else str(timedelta(seconds=row.uptime_seconds or 0)),
            "MB": row.memory_mb,
            "at": f"elsewhere: {row.url}" if row.is_elsewhere else row.url,
        }
        for row in found
    ]
    print_rows(rows)
    for row in found:
        if row.problem:
            err_console.print(f"{row.service}: {row.problem}", markup=False, soft_wrap=True)


def _state(row: "ServiceStatus") -> str:
    if row.is_ready:
        return "ready"
    return "not ready" if row.is_elsewhere else row.state.lower()


@app.command(rich_help_panel="Stack")
def logs(
    service: Annotated[str, typer.Argument(help="Name of the service.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines, too.")] = False,
    lines: Annotated[int, typer.Option("-n", help="Number of lines.", min=0)] = 50,
) -> None:
    """Print the last lines of a service's log.

    Example: ./pipeline logs connect -f
    """
    from stack.engine import stack_of_settings

    for line in stack_of_settings().log_lines(service, lines=lines, follow=follow):
        typer.echo(line)


@app.command(rich_help_panel="Stack")
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop all services and delete their data, logs and passwords. Downloads are kept.

    Example: ./pipeline reset --yes
    """
    from stack.engine import stack_of_settings

    stack = stack_of_settings()
    if not yes:
        typer.confirm(f"Delete all data in {stack.place}?", abort=True, err=True)
    with err_console.status("stopping and deleting"):
        stack.reset()
    err_console.print(f"Deleted the data in {stack.place}", soft_wrap=True)
