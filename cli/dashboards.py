"""`dashboards`: import of the files in dashboards/ into Superset, and export to them."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

if TYPE_CHECKING:
    from stack.superset.dashboards import Dashboards

app = typer.Typer()
_dashboards = typer.Typer(
    help="Import dashboards from files into Superset, or export them.", no_args_is_help=True
)
app.add_typer(_dashboards, name="dashboards", rich_help_panel="Run")


@_dashboards.command()
def apply(output: FormatOption = Format.TABLE) -> None:
    """Import the files in dashboards/ into Superset.

    Idempotent. Objects whose file was deleted are deleted; objects created in the
    browser are kept; changes made there to the others without an export are
    overwritten. `up` does this, too, whenever the files have changed.

    Example: ./pipeline dashboards apply
    """
    from dataclasses import asdict

    with err_console.status("applying"):
        done = _ours().apply()
    if output is Format.JSON:
        print_json([asdict(one) for one in done])
        return
    print_rows(
        [
            {
                "kind": one.kind,
                "applied": len(one.written),
                "deleted": ", ".join(one.deleted) or "-",
                "in no file": ", ".join(one.left) or "-",
            }
            for one in done
        ]
    )


@_dashboards.command()
def export(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with status 1 if a file was changed.")
    ] = False,
) -> None:
    """Export the dashboards of Superset into the files in dashboards/, for review and commit.

    Files of objects that were deleted in the browser are deleted. Passwords, ids
    and derived values are left out.

    Example: ./pipeline dashboards export && git diff dashboards/
    """
    from lakehouse.settings import ROOT

    with err_console.status("exporting"):
        changed = _ours().export()
    for path in changed:
        what = "written" if path.exists() else "deleted"
        console.print(f"{path.relative_to(ROOT)} {what}", markup=False, soft_wrap=True)
    if not changed:
        console.print("The files are up to date with Superset.")
    if changed and check:
        raise typer.Exit(1)


def _ours() -> "Dashboards":
    from lakehouse.secrets import Secrets
    from stack.paths import StackConfig
    from stack.superset.dashboards import Dashboards

    config = StackConfig()
    return Dashboards(config, Secrets(config.stack.secrets_path))
