"""`contract`: contracts of tables that have none of their own."""

from typing import Annotated

import typer

from cli.output import console, err_console

app = typer.Typer()
contract = typer.Typer(
    no_args_is_help=True, help="Derive the contracts of tables that have none of their own."
)
app.add_typer(contract, name="contract", rich_help_panel="Run")


@contract.command()
def derive(
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables of the shop; all by default.")
    ] = None,
) -> None:
    """Write the contracts that follow from the shop's catalog as files to edit.

    A file excludes or renames a table or a column, adds rules, and chooses what
    happens when the shop changes a table. What it does not say follows the
    catalog. An existing file is left as it is.

    ./pipeline consolidate reads the files, and rebuilds the tables whose columns
    they change.

    Example: ./pipeline contract derive tenants
    """
    from batch.pipeline_run import PipelineRun
    from lakehouse.contracts.files import file_text
    from lakehouse.settings import ContractSettings

    folder = ContractSettings().dir
    with err_console.status("reading the shop's catalog"):
        chosen = PipelineRun.of_settings(console.print).chosen(tables or [])
    folder.mkdir(parents=True, exist_ok=True)
    for entity in chosen:
        file = folder / f"{entity.table}.yaml"
        if not entity.is_derived:
            if tables:
                console.print(f"{entity.table}: its contract is in lakehouse/contracts/")
        elif file.exists():
            console.print(f"{file} exists, and is left as it is", soft_wrap=True)
        else:
            file.write_text(file_text(entity))
            console.print(f"{file} written", soft_wrap=True)
