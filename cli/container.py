"""Hidden commands for containers: preparation of services, and Airflow's programs."""

from typing import Annotated

import typer

from cli.output import err_console

app = typer.Typer()


@app.command(hidden=True)
def prepare(
    services: Annotated[list[str], typer.Argument(help="Services to prepare, in this order.")],
) -> None:
    """Do what `up` does for these services once they answer. Idempotent.

    Example: ./pipeline prepare oltp
    """
    from lakehouse.secrets import Secrets
    from stack.paths import StackConfig
    from stack.prepare import preparations

    config = StackConfig()
    known = preparations(config, Secrets(config.stack.secrets_path))
    for service in services:
        known.prepare(service, patience_seconds=config.stack.start_timeout_seconds)
        err_console.print(f"{service} is prepared")


@app.command(hidden=True, context_settings={"ignore_unknown_options": True})
def airflow(
    arguments: Annotated[list[str], typer.Argument(help="Arguments of Airflow's own command.")],
) -> None:
    """Replace this process by one of Airflow's programs, configured from the settings.

    Example: ./pipeline airflow api-server
    """
    from stack.airflow.container import become

    become(arguments)
