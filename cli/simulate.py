"""`simulate`: simulated activity in the shop's database."""

import secrets
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.status import Status

from cli.output import Format, FormatOption, err_console, print_json, print_rows
from lakehouse.errors import StopPipelineError

if TYPE_CHECKING:
    from producers.meter import Measurement
    from producers.plan import History, Live, Phase, Report

app = typer.Typer()

ORDERS_PER_SECOND = 20.0
AFTER_HISTORY_PER_SECOND = 1.0
"""Some minutes at this rate are comparable with the days of a history."""


@app.command(rich_help_panel="Run")
def simulate(  # noqa: PLR0913 - one for each option
    orders_per_second: Annotated[
        float | None,
        typer.Option(
            help=f"Rate of live orders. Default: {ORDERS_PER_SECOND:g}; "
            f"{AFTER_HISTORY_PER_SECOND:g} after a history, so that today resembles yesterday."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this many minutes of live orders.")
    ] = None,
    orders: Annotated[
        int | None,
        typer.Option(help="Stop after this many orders; with --history, the orders of those days."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed; the same seed and number of orders give the same rows. Default: random."
        ),
    ] = None,
    history: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            help="Write this many past days at full speed, 2,000 orders per day; then stop, or "
            "continue live if a rate or minutes are given.",
        ),
    ] = None,
    dirt: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            help="Percentage of user-entered rows that contain a fault; listed in ledger.dirt.",
        ),
    ] = 2.0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Simulate activity in the shop's database, until stopped.

    Visits become carts, orders and payments; orders are packed, shipped,
    delivered, some cancelled or returned; stock, prices and customers change.
    Continues from the current state of the shop.

    Example: ./pipeline simulate --history 30 --orders-per-second 50 --minutes 10
    """
    from lakehouse.connections import secrets as generated
    from lakehouse.postgres import oltp_dsn
    from lakehouse.settings import (
        ConnectSettings,
        OltpSettings,
        ShopSettings,
    )
    from lakehouse.signals import stopping_on_signals
    from producers.plan import Plan
    from producers.script import require_own_shop
    from producers.simulator import Simulator

    require_own_shop()
    past = _history(history, orders)
    live = _live(orders_per_second, minutes, orders, is_after_history=past is not None)
    seed = secrets.randbits(32) if seed is None else seed
    plan = Plan(seed=seed, history=past, live=live, dirt_percent=dirt)
    simulator = Simulator(
        oltp_dsn(OltpSettings(), generated(), role="simulator"),
        shop=ShopSettings(),
        slot_name=ConnectSettings().slot_name,
    )
    err_console.print(f"seed {seed}; Ctrl-C stops it")
    with stopping_on_signals() as stopping, Progress() as progress:
        report = simulator.run(plan, stopping=stopping, on_progress=progress.show)
    _print(report, output)


def _history(days: float | None, orders: int | None) -> "History | None":
    from producers.plan import History

    return None if days is None else History(days=days, orders=orders)


def _live(
    rate: float | None, minutes: float | None, orders: int | None, *, is_after_history: bool
) -> "Live | None":
    from producers.plan import Live

    if is_after_history:
        if rate is None and minutes is None:
            return None
        orders = None
    elif minutes is not None and orders is not None:
        message = "--minutes and --orders both limit the simulation: give one of them."
        raise StopPipelineError(message)
    return Live(
        orders_per_second=live_rate(rate, is_after_history=is_after_history),
        minutes=minutes,
        orders=orders,
    )


def live_rate(asked: float | None, *, is_after_history: bool) -> float:
    """Return the orders per second to simulate."""
    if asked is not None:
        return asked
    return AFTER_HISTORY_PER_SECOND if is_after_history else ORDERS_PER_SECOND


class Progress:
    """Progress on standard error: one line that is redrawn, or a line about every 5 seconds."""

    def __init__(self) -> None:
        self._status = Status("starting", console=err_console)
        self._readings = 0

    def __enter__(self) -> Self:
        if err_console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, measurement: "Measurement") -> None:
        """Show a measurement; without a terminal, every tenth one (about every 5 seconds)."""
        if err_console.is_terminal:
            self._status.update(_line(measurement))
        elif self._readings % 10 == 0:
            err_console.print(_line(measurement), soft_wrap=True)
        self._readings += 1


def _line(measurement: "Measurement") -> str:
    asked = "" if measurement.asked is None else f" of {measurement.asked:g}"
    slot = (
        f", slot at {measurement.slot_share:.0%} of its WAL limit"
        if measurement.slot_share >= 0.01
        else ""
    )
    return (
        f"{measurement.instant:%Y-%m-%d %H:%M} {measurement.orders:,} orders, "
        f"{measurement.orders_per_second:,.0f}{asked} orders/s, "
        f"{measurement.rows_per_second:,.0f} rows/s{slot}"
    )


def _print(report: "Report", output: Format) -> None:
    phases, tables = [_phase(phase) for phase in report.phases], _tables(report)
    if output is Format.JSON:
        print_json({"seed": report.seed, "phases": phases, "tables": tables})
        return
    for phase in phases:
        del phase["transactions"]  # one column too many for a narrow terminal
    print_rows(phases, title=f"seed {report.seed}")
    print_rows(tables, title="rows")


def _phase(phase: "Phase") -> dict[str, Any]:
    counts = phase.counts
    return {
        "phase": phase.name,
        "orders": counts.orders,
        "rows": counts.rows,
        "dirty_values": counts.dirty_values,
        "transactions": counts.transactions,
        "seconds": round(counts.seconds, 3),
        "orders_per_second": round(counts.orders / counts.seconds, 1),
        "behind_seconds": round(phase.behind_seconds, 3),
    }


def _tables(report: "Report") -> list[dict[str, Any]]:
    done: dict[str, Counter[str]] = {}
    for phase in report.phases:
        for count in phase.counts.tables:
            row = asdict(count)
            done.setdefault(row.pop("table"), Counter()).update(row)
    return [
        {"table": name, "inserted": n["inserted"], "updated": n["updated"], "deleted": n["deleted"]}
        for name, n in done.items()
    ]
