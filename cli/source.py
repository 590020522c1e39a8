"""`source`: a database that was not made for this."""

import time
from typing import Annotated

import typer

from cli.doctor import show_findings
from cli.output import Format, FormatOption, console, err_console, print_json

app = typer.Typer()
_source = typer.Typer(
    no_args_is_help=True, help="Check, prepare and leave a Postgres that was not made for this."
)
app.add_typer(_source, name="source", rich_help_panel="Run")
_Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="Such as postgresql://admin@db.example/shop; password: PGPASSWORD.",
    ),
]


@_source.command()
def check(
    url: _Url,
    apply: Annotated[
        bool, typer.Option("--apply", help="Prepare it: URL's login must be a superuser.")
    ] = False,
    owned: Annotated[
        bool,
        typer.Option(
            "--owned", help="With --apply or --sql: only what the owner of tables may do."
        ),
    ] = False,
    keep_identity: Annotated[
        bool,
        typer.Option("--keep-identity", help="With --owned: no table gets REPLICA IDENTITY FULL."),
    ] = False,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print the script that prepares it, for psql."),
    ] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell what a database lacks for capture; nothing is written without --apply.

    Then set OLTP_HOST, OLTP_PORT and OLTP_DATABASE, and run ./pipeline up. Exit
    status 1 when something is missing.

    Without a superuser, --owned captures the tables that URL's login owns; those
    that are created later need it again, and truncates are not captured.

    Example: ./pipeline source check postgresql://postgres@db.example/shop --sql
    """
    from connectors.mapping import require_mapping_fits
    from connectors.source import Extent
    from lakehouse.connections import secrets
    from lakehouse.errors import WrongArgumentError
    from lakehouse.settings import ConnectSettings
    from stack.source.change import apply as prepare
    from stack.source.change import sql_for_administrator
    from stack.source.check import diagnose, read_source

    if (owned and not (apply or sql)) or (keep_identity and not owned):
        problem = "--owned needs --apply or --sql, and --keep-identity needs --owned"
        raise WrongArgumentError(problem)
    extent = Extent.OWNED if owned else Extent.SCHEMA
    if keep_identity:
        extent = Extent.OWNED_AS_THEY_ARE
    settings = ConnectSettings()
    began = time.monotonic()
    with err_console.status("reading the catalog"):
        found = read_source(url, settings)
        if apply:
            prepare(url, found, settings, secrets().complete(), extent)
            found = read_source(url, settings)
    if sql:
        typer.echo(sql_for_administrator(found, settings, extent))
        return
    findings = diagnose(found, settings)
    if output is Format.JSON:
        print_json([finding.to_json() for finding in findings])
    else:
        show_findings(findings, seconds=time.monotonic() - began)
    for told in require_mapping_fits(url):
        err_console.print(told, markup=False, style="yellow", soft_wrap=True)
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


@_source.command()
def remove(url: _Url) -> None:
    """Take slot, publication, roles, triggers and the schema cdc away again.

    Kafka Connect must not read it any more. Tables get REPLICA IDENTITY DEFAULT.
    Bronze and all that follows stays as it is.

    Example: ./pipeline source remove postgresql://postgres@db.example/shop
    """
    from lakehouse.settings import ConnectSettings
    from stack.source.change import remove as leave

    for done in leave(url, ConnectSettings()):
        console.print(f"removed: {done}", markup=False)
