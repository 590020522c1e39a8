"""`demo`: set-up, simulation, consolidation and reconciliation in one command."""

from secrets import randbelow
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def demo(  # noqa: PLR0913 - one for each option
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long to simulate orders; without it, until Ctrl-C."),
    ] = None,
    orders_per_second: Annotated[
        float, typer.Option(min=0.1, help="Rate of simulated orders.")
    ] = 20.0,
    history: Annotated[
        float | None,
        typer.Option(metavar="DAYS", help="First write this many past days, 1,000 orders per day."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the simulator; random if not given.")
    ] = None,
    dirt: Annotated[
        float,
        typer.Option(min=0, max=100, help="Percentage of user-entered rows that contain a fault."),
    ] = 2.0,
    *,
    airflow: Annotated[
        bool,
        typer.Option(
            "--airflow/--no-airflow",
            help="Consolidate in Airflow, as the hourly run does; without it, in this process.",
        ),
    ] = True,
    superset: Annotated[
        bool, typer.Option("--superset/--no-superset", help="Start Superset, too.")
    ] = True,
    down: Annotated[bool, typer.Option("--down", help="Stop the services at the end.")] = False,
) -> None:
    """Start the services, simulate orders, show the flow, consolidate, reconcile all layers.

    The first Ctrl-C ends the simulation; consolidation and reconciliation follow.
    A second one interrupts. Exit status 0 when every layer is exact, 1 when it is
    not.

    Example: ./pipeline demo --minutes 3 --orders-per-second 50 --dirt 5 --down
    """
    from cli.demonstration import Demonstration
    from cli.output import err_console
    from producers.plan import History, Live, Plan
    from stack.catalog import chosen
    from stack.engine import stack_of_settings

    seed = randbelow(1_000_000) if seed is None else seed
    past = None
    if history is not None:
        past = Plan(seed=seed, history=History(days=history), dirt_percent=dirt)
    stack = stack_of_settings()
    demonstration = Demonstration(
        stack,
        chosen(airflow=airflow, superset=superset, monitoring=False),
        past=past,
        plan=Plan(seed=seed, live=Live(orders_per_second=orders_per_second), dirt_percent=dirt),
        minutes=minutes,
    )
    try:
        is_exact = demonstration.run()
    finally:
        if down:
            with err_console.status("stopping the services"):
                stack.down()
            err_console.print("Services stopped.")
    if not down:
        demonstration.show_logins()
        err_console.print("The services keep running. Stop them with ./pipeline down")
    if not is_exact:
        raise typer.Exit(1)
