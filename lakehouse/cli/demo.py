"""`demo`: everything at once, from an empty machine to the proof."""

from secrets import randbelow
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def demo(
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long orders flow; without it, until Ctrl-C."),
    ] = None,
    orders_per_second: Annotated[float, typer.Option(min=0.1, help="How many.")] = 20.0,
    seed: Annotated[int | None, typer.Option(help="Of the shop; random without it.")] = None,
    dirt: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of what people type that has a fault.")
    ] = 2.0,
    *,
    superset: Annotated[
        bool, typer.Option("--superset/--no-superset", help="Show the charts, too.")
    ] = True,
    down: Annotated[bool, typer.Option("--down", help="Stop the services at the end.")] = False,
) -> None:
    """Set everything up, let orders flow, watch them reach bronze, consolidate, prove it all.

    Ctrl-C ends it with the proof; a second Ctrl-C ends it at once. Exit status 0 when every layer
    is exact, 1 when it is not.

    Example: ./pipeline demo --minutes 3 --orders-per-second 50 --dirt 5 --down
    """
    from lakehouse.cli.demonstration import Demonstration
    from lakehouse.cli.output import err_console
    from stack.catalog import DEFAULT, SHOP
    from stack.control import Stack

    seed = randbelow(1_000_000) if seed is None else seed
    stack = Stack()
    try:
        is_exact = Demonstration(
            stack,
            orders_per_second,
            minutes,
            seed=seed,
            dirt_percent=dirt,
            services=DEFAULT if superset else SHOP,
        ).run()
    finally:
        if down:
            with err_console.status("stopping the services"):
                stack.down()
            err_console.print("Services stopped.")
    if not down:
        err_console.print("The services go on. Stop them with ./pipeline down")
    if not is_exact:
        raise typer.Exit(1)
