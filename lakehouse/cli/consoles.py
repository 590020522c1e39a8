"""`open`: where a page is, and how to log in."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.output import Format, FormatOption, console, print_json
from lakehouse.errors import StopPipelineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.consoles import Console

app = typer.Typer()


@app.command("open", rich_help_panel="Look")
def open_(
    name: Annotated[
        str | None, typer.Argument(metavar="[superset|airflow|minio]", help="Default: all of them.")
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Print where the pages of Superset, Airflow and MinIO are, and the user and password for each.

    Example: ./pipeline open airflow
    """
    found = _consoles(name)
    if output is Format.JSON:
        print_json([asdict(one) for one in found])
        return
    _show(found)


def show_login(name: str) -> None:
    """Where a page is, and how to log in.

    Raises:
        StopPipelineError: there is no such page, or there are no passwords yet.
    """
    _show(_consoles(name))


def _consoles(name: str | None) -> "list[Console]":
    from lakehouse.secrets import Secrets
    from stack.consoles import CONSOLES
    from stack.layout import StackConfig

    if name is not None and name not in CONSOLES:
        message = f"There is no page {name!r}. Pages: {', '.join(CONSOLES)}."
        raise StopPipelineError(message)
    config = StackConfig()
    secrets = Secrets(config.stack.secrets_path)
    return [make(config, secrets) for key, make in CONSOLES.items() if name in (None, key)]


def _show(found: "Sequence[Console]") -> None:
    for one in found:
        text = f"{one.url}  user {one.user}, password {one.password}  ({one.title})"
        console.print(text, markup=False, soft_wrap=True)
