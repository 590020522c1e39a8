"""`new`: the first text of a contract, of a mapping, or of a table of the warehouse."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, err_console

app = typer.Typer()
new = typer.Typer(
    no_args_is_help=True,
    help="Write the skeleton of a contract, of a mapping, or of a warehouse table.",
)
app.add_typer(new, name="new", rich_help_panel="Run")


@new.command()
def entity(name: Annotated[str, typer.Argument(help="A table of the shop.")]) -> None:
    """Write the contract of a table of the shop, with the columns that its catalog has.

    The table is then in silver by this contract, and in the warehouse's schemas
    entity and live. Without the shop's database the contract has a key and the
    bookkeeping columns only.

    Example: ./pipeline new entity coupons
    """
    from batch.contracts.skeleton import contract_text, entity_of, entity_without_catalog, file_of
    from batch.contracts.stored import shop_catalog
    from lakehouse.connections import shop
    from lakehouse.contracts.files import read_files
    from lakehouse.errors import PipelineError
    from lakehouse.settings import ContractSettings

    path = file_of(name)
    file = read_files(ContractSettings().dir).get(name)
    try:
        with err_console.status("reading the shop's catalog"):
            catalog = shop_catalog(shop("reconcile"))
    except PipelineError as error:
        declared = entity_without_catalog(name)
        words = f"{error}\nThe contract has a key and the bookkeeping columns only: correct them."
        err_console.print(words, style="yellow", markup=False, soft_wrap=True)
    else:
        declared = entity_of(name, catalog, file)
    _write(path, contract_text(declared))
    if file is not None:
        console.print(f"From now on {file} may have masks only.", soft_wrap=True)


@new.command()
def mapping(
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENTITY=TABLE]...", help="Such as orders=purchase."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(metavar="URL", help="The shop's database; by default the one of OLTP_HOST."),
    ] = "",
) -> None:
    """Write mapping.yaml: how tables of a shop of another design become our entities.

    It has all columns of each entity with what they need, and the shop's tables
    as comments. Columns that a table has under the same name are filled in.
    Entities without a table are absent, but for orders, order_lines and products.

    Example: ./pipeline new mapping orders=purchase order_lines=purchase_item
    """
    from connectors.mapping_skeleton import skeleton
    from connectors.shop_catalog import catalog_of
    from lakehouse.connections import shop
    from lakehouse.contracts.mapping import mapping_path
    from lakehouse.errors import WrongArgumentError

    path = mapping_path()
    if path.exists():
        problem = f"{path} exists"
        raise WrongArgumentError(problem, "Edit it, or move it away for a new one.")
    chosen: dict[str, str] = {}
    for given in tables or ():
        name, _, table = given.partition("=")
        if name in chosen:
            problem = f"{name} is given twice"
            raise WrongArgumentError(problem, f"Write {name}={chosen[name]} or {given}.")
        chosen[name] = table
    if wrong := [name for name, table in chosen.items() if not table]:
        problem = f"{wrong[0]} names no table"
        raise WrongArgumentError(problem, f"Write {wrong[0]}=TABLE.")
    with err_console.status("reading the shop's catalog"):
        catalog = catalog_of(source or shop("monitor"))
    text = skeleton(chosen, catalog)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, text)
    told = (
        "Until each line has a value, all commands that read the contracts refuse it, and so does "
        "the hourly run. While the stack runs, edit it in another folder, with CONTRACTS_DIR set "
        "to that for ./pipeline source check URL, and move it here once nothing is wrong."
    )
    console.print(told, soft_wrap=True)


@new.command()
def mart(
    name: Annotated[str, typer.Argument(help="Name of the fact; it begins with fact_.")],
    entity: Annotated[str, typer.Option(help="Table of the shop that its rows come from.")],
) -> None:
    """Write the folder of a fact with one row per row of a table of the shop.

    It has all columns of the contract, a key for each dimension that these refer
    to, and a query that reconciles it. ./pipeline up creates the table, and the
    next consolidation fills it.

    Example: ./pipeline new mart fact_lines --entity order_lines
    """
    from batch.warehouse.skeleton import folder_of, new_fact

    folder = folder_of(name)
    for file, text in new_fact(name, entity).files.items():
        _write(folder / file, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    console.print(f"{path} written", soft_wrap=True)
