"""`open`: addresses and logins of the web pages."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Format, FormatOption, console, print_json
from lakehouse.choices import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack.web_uis import Page

app = typer.Typer()


@app.command("open", rich_help_panel="Inspect")
def open_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[PAGE]",
            help="One of: superset, viewer, wall, phone, airflow, minio, prometheus. Default: all.",
        ),
    ] = None,
    *,
    wall: Annotated[
        bool, typer.Option("--wall", help="The live dashboard, for a screen on a wall.")
    ] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Print addresses and logins of Superset, Airflow, MinIO and Prometheus.

    Superset has two logins: `admin` may edit, `viewer` may look.

    Example: ./pipeline open --wall
    """
    found = _consoles("wall" if wall else name)
    if output is Format.JSON:
        print_json([asdict(one) for one in found])
        return
    _show(found)


def show_login(name: str) -> None:
    """Print address and login of a page.

    Raises:
        WrongArgumentError: there is no such page.
        StopPipelineError: there are no passwords yet.
    """
    _show(_consoles(name))


def _consoles(name: str | None) -> "list[Page]":
    from lakehouse.secrets import Secrets
    from stack.paths import StackConfig
    from stack.web_uis import PAGES

    if name is not None and name not in PAGES:
        refuse_unknown("page", [name], PAGES)
    config = StackConfig()
    secrets = Secrets(config.stack.secrets_path)
    return [make(config, secrets) for key, make in PAGES.items() if name in (None, key)]


def _show(found: "Sequence[Page]") -> None:
    from stack.web_uis import WebUI

    for one in found:
        login = f"  user {one.user}, password {one.password}" if isinstance(one, WebUI) else ""
        text = f"{one.url}{login}  ({one.title})"
        console.print(text, markup=False, soft_wrap=True)
