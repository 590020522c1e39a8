"""`demo`: set-up, simulation, consolidation and reconciliation in one command."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from secrets import randbelow
from shlex import quote
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monitoring.demonstration import Demonstration
    from producers.plan import Plan
    from stack.paths import StackConfig

app = typer.Typer()


@app.command(rich_help_panel="Run")
def demo(  # noqa: PLR0913 - one for each option
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long to simulate orders; without it, until Ctrl-C."),
    ] = None,
    orders_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Rate of simulated orders. Default: 20; 1 after a history, as `simulate`."
        ),
    ] = None,
    history: Annotated[
        float | None,
        typer.Option(metavar="DAYS", help="First write this many past days, 2,000 orders per day."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the simulator; random if not given.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Another shop: a folder with mapping.yaml, schema.sql and simulate.py.",
        ),
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
    if source is not None:
        source = source.resolve()
        _with_source(source)
    from cli.output import err_console
    from cli.simulate import live_rate
    from monitoring.demonstration import Demonstration
    from producers.plan import History, Live, Plan
    from stack.catalog import chosen
    from stack.engine import stack_of_settings
    from stack.paths import StackConfig
    from stack.progress import Steps

    config = StackConfig(example=source)
    if source is None:
        _require_own_shop(config)
    seed = randbelow(1_000_000) if seed is None else seed
    past = None
    if history is not None:
        past = Plan(seed=seed, history=History(days=history), dirt_percent=dirt)
    rate = live_rate(orders_per_second, is_after_history=past is not None)
    plan = Plan(seed=seed, live=Live(orders_per_second=rate), dirt_percent=dirt)
    services = chosen(airflow=airflow, superset=superset, monitoring=False)
    stack = stack_of_settings(config)
    try:
        with Steps(err_console) as progress:
            stack.up(services, progress=progress)
        _show_logins(services)
        shop = Demonstration(stack.config, plan, minutes=minutes)
        is_exact = _demonstrate(shop, past, is_by_airflow=airflow)
    finally:
        if down:
            with err_console.status("stopping the services"):
                stack.down()
            err_console.print("Services stopped.")
    if not down:
        _show_logins(services)
        _show_what_runs(source, is_first_day=superset and history is None)
    if not is_exact:
        raise typer.Exit(1)


def _show_what_runs(source: Path | None, *, is_first_day: bool) -> None:
    from cli.output import err_console

    if is_first_day:
        told = "Live shop shows today. Shop analytics ends with yesterday, so it may be empty yet."
        err_console.print(told)
    err_console.print("The services keep running. Stop them with ./pipeline down")
    if source is not None:
        told = f"Before other commands: export CONTRACTS_DIR={quote(str(source))}"
        err_console.print(told, soft_wrap=True)


def _require_own_shop(config: "StackConfig") -> None:
    """Refuse another shop before anything starts, and one elsewhere that has no simulator."""
    from lakehouse.secrets import Secrets
    from producers.script import require_own_shop
    from stack.elsewhere import Elsewhere, is_elsewhere

    require_own_shop()
    if config.stack.engine == "native" and is_elsewhere("oltp", config):
        Elsewhere(config, Secrets(config.stack.secrets_path)).require_simulated()


def _with_source(folder: Path) -> None:
    """Begin again with the contracts of another shop: they are read when they are imported."""
    from lakehouse.environment import process_environment
    from lakehouse.errors import WrongArgumentError
    from lakehouse.settings import StackSettings

    files = ("mapping.yaml", "schema.sql", "simulate.py")
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        problem = f"{folder} has no {', '.join(missing)}"
        raise WrongArgumentError(problem, "An example: --source examples/other_shop.")
    if StackSettings().engine == "compose":
        problem = (
            "With STACK_ENGINE=compose, containers see no folder but contracts/ of the checkout"
        )
        raise WrongArgumentError(problem, "Unset STACK_ENGINE, or put mapping.yaml there.")
    environment, wanted = process_environment(), str(folder)
    if environment.get("CONTRACTS_DIR") != wanted:
        command = [sys.executable, "-P", "-m", "cli", *sys.argv[1:]]
        os.execve(sys.executable, command, environment | {"CONTRACTS_DIR": wanted})  # noqa: S606


def _demonstrate(shop: "Demonstration", past: "Plan | None", *, is_by_airflow: bool) -> bool:
    """Show all steps; return whether both reconciliations were exact."""
    from cli.live_view import LiveView
    from cli.output import err_console
    from cli.reconcile import show_report
    from cli.simulate import Progress
    from lakehouse.signals import stopping_on_signals

    if past is not None:
        with Progress() as progress:
            shop.fill(past, progress.show)
        _consolidate(shop, is_by_airflow=is_by_airflow)
    with stopping_on_signals() as closing, LiveView(err_console) as view:
        first = shop.run(closing, view.show)
    err_console.rule("while orders flowed", align="left", style="dim")
    show_report(first)
    err_console.rule("after the last order", align="left", style="dim")
    _consolidate(shop, is_by_airflow=is_by_airflow)
    with err_console.status("comparing all layers") as status:
        last = shop.reconcile(status.update)
    show_report(last)
    if last.exact:
        last.require_all()
    return first.exact and last.exact


def _consolidate(shop: "Demonstration", *, is_by_airflow: bool) -> None:
    """Consolidate all changes: in Airflow, or in this process without Airflow."""
    from cli.consolidate import consolidated, show_done
    from cli.output import err_console
    from cli.trigger import require_success, run_in_airflow

    with err_console.status("draining") as status:
        shop.settle(status.update)
    if is_by_airflow:
        require_success(run_in_airflow())
        return
    began = monotonic()
    done = consolidated()
    show_done(done, monotonic() - began)


def _show_logins(services: "Sequence[str]") -> None:
    """Print addresses and logins of the web UIs that were started."""
    from cli.web_uis import show_login

    for page, service in (("superset", "superset"), ("viewer", "superset"), ("airflow", "airflow")):
        if service in services:
            show_login(page)
