"""`recommend`: train lists of products, show them, export them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.faulty_mapping import require_mapping
from cli.output import Format, FormatOption, console, err_console, print_json, print_rows
from lakehouse.errors import WrongArgumentError

app = typer.Typer()
recommend = typer.Typer(invoke_without_command=True)
app.add_typer(recommend, name="recommend", rich_help_panel="Run")


class FileFormat(StrEnum):
    """Formats of an export."""

    CSV = "csv"
    PARQUET = "parquet"


@recommend.callback()
def show(
    context: typer.Context,
    customer: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The lists of this customer: to buy again, and new to them."
        ),
    ] = None,
    product: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show what is often bought together with this product."),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Recommend products: to a customer, or together with a product.

    The lists are made by `train`, every night in Airflow, and are in gold and the
    mart: recommendations, similar_products, recommendation_quality.

    Example: ./pipeline recommend --customer 1
    """
    from batch.recommendations.lookup import of_customer, of_product
    from lakehouse.connections import lake_of_reader

    if context.invoked_subcommand is not None:
        if customer is not None or product is not None:
            name = context.invoked_subcommand
            problem = f"recommend {name} takes no --customer and no --product"
            raise WrongArgumentError(problem, "Give either the options or the command.")
        return
    if (customer is None) == (product is None):
        problem = "recommend needs --customer ID or --product ID, one of them"
        raise WrongArgumentError(problem, "Or train, or export: ./pipeline recommend --help.")
    require_mapping()
    with err_console.status("reading gold"):
        if customer is not None:
            rows = of_customer(lake_of_reader(), customer)
        else:
            rows = of_product(lake_of_reader(), product or "")
    if output is Format.JSON:
        print_json(rows.to_dicts())
        return
    for kind in rows["kind"].unique().sort() if customer is not None else ():
        listed = rows.filter(kind=kind).drop("kind", "model_version", "score_millionths")
        print_rows(listed.to_dicts(), title=kind.replace("_", " "))
    if product is not None:
        print_rows(rows.drop("score_millionths").to_dicts())


@recommend.command()
def train(
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Read purchases up to this instant. Default: all."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the random baseline.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Train from silver, test, and publish to gold and the mart.

    Each model is first tested on the newest purchases, which are hidden from it.
    It is published only if it exceeds its baseline: own frequency for what is
    bought again, popularity for what is new. The same silver and seed give the
    same lists.

    Example: ./pipeline recommend train --until 2026-11-01
    """
    from batch.recommendations.store import note_training, train_and_publish
    from batch.recommendations.training import SEED
    from batch.runs import Kind, recorded
    from lakehouse.connections import warehouse, writing_lake
    from lakehouse.settings import ConsolidationSettings
    from lakehouse.shop_time import instant_of

    instant = instant_of("--until", until)
    dsn = warehouse("batch")
    chosen = SEED if seed is None else seed
    scope = {"until": instant, "seed": chosen}
    with (
        recorded(dsn, kind=Kind.TRAINING, scope=scope) as run,
        err_console.status("reading silver") as status,
    ):
        training = train_and_publish(
            writing_lake(),
            dsn,
            retention_hours=ConsolidationSettings().retention_hours,
            until=instant,
            seed=chosen,
            on_progress=status.update,
        )
        details = note_training(run, training)
    if output is Format.JSON:
        print_json(details)
    elif training is None:
        console.print("Silver has no purchase: the lists are empty.")
    else:
        print_rows(details["quality"])
        for verdict in details["verdicts"]:
            console.print(verdict, markup=False)
        console.print(f"digest {details['digest']}", style="dim")


@recommend.command()
def export(
    to: Annotated[Path, typer.Option(help="The file to write; one that exists is replaced.")],
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="Format of the file.")
    ] = FileFormat.CSV,
) -> None:
    """Write the lists of all customers who accept marketing to a file, for a mailing.

    One row per customer, kind and rank, with e-mail address, first name and the
    product's name. Accounts deleted since the training are left out.

    Example: ./pipeline recommend export --format parquet --to lists.parquet
    """
    from batch.recommendations.lookup import export as write
    from lakehouse.connections import lake_of_reader

    with err_console.status("writing"):
        rows = write(lake_of_reader(), to, is_parquet=file_format is FileFormat.PARQUET)
    console.print(f"{rows:,} rows in {to}", markup=False)
