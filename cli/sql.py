"""`sql`: the SQL of one table of the warehouse."""

from typing import Annotated

import typer

from cli.output import console

app = typer.Typer()
sql = typer.Typer(no_args_is_help=True, help="Show the SQL of the warehouse's tables.")
app.add_typer(sql, name="sql", rich_help_panel="Inspect")


@sql.command()
def show(
    table: Annotated[str, typer.Argument(help="A table of the shop, or of the schema mart.")],
) -> None:
    """Print the SQL that makes, loads and describes a table.

    For a table of the shop, it is generated from its contract: its tables in the
    schemas entity and live, their views, indexes and comments. ./pipeline up
    applies it. For a table of mart, it is in warehouse_sql/.

    Example: ./pipeline sql show orders
    """
    from batch.warehouse.shown import sql_of

    console.out(sql_of(table), highlight=False)
