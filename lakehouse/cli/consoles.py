"""`open`: where a page is, and how to log in."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import Format, FormatOption, console, print_json
from lakehouse.errors import StopPipelineError

if TYPE_CHECKING:
    from stack.consoles import Console

app = typer.Typer()


@app.command("open", rich_help_panel="Look")
def open_(
    name: Annotated[
        str | None, typer.Argument(metavar="[airflow|minio]", help="Default: all of them.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Print where the pages of Airflow and MinIO are, and the user and password for each.

    Example: ./pipeline open airflow
    """
    from lakehouse.secrets import Secrets
    from stack.consoles import CONSOLES
    from stack.layout import StackConfig

    if name is not None and name not in CONSOLES:
        message = f"There is no page {name!r}. Pages: {', '.join(CONSOLES)}."
        raise StopPipelineError(message)
    config = StackConfig()
    secrets = Secrets(config.stack.secrets_path)
    found = [make(config, secrets) for key, make in CONSOLES.items() if name in (None, key)]
    if output is Format.JSON:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        show_console(one)


def show_console(one: "Console") -> None:
    """A line for a person."""
    text = f"{one.url}  user {one.user}, password {one.password}  ({one.title})"
    console.print(text, markup=False, soft_wrap=True)
