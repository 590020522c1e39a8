"""`forecast`: net revenue of the next days, shown or made again."""

from typing import Any

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer()
forecast = typer.Typer(invoke_without_command=True)
app.add_typer(forecast, name="forecast", rich_help_panel="Run")


@forecast.callback()
def show(context: typer.Context, output: FormatOption = Format.TABLE) -> None:
    """Show the forecast of net revenue for the next fourteen days, with its error.

    It is made by `train`, every night in Airflow, and is in the mart:
    revenue_forecast, revenue_forecast_quality.

    Example: ./pipeline forecast
    """
    from dataclasses import asdict

    from batch.forecast.store import published
    from lakehouse.connections import warehouse
    from lakehouse.settings import ShopSettings

    if context.invoked_subcommand is not None:
        return
    days, quality = published(warehouse("reader"))
    if output is Format.JSON:
        print_json({"days": [asdict(day) for day in days], "quality": quality})
        return
    rows = [
        {
            "day": f"{day.forecast_date:%a %Y-%m-%d}",
            "net revenue": round(day.net_revenue_cents / 100),
            "80 % from": round(day.low_80_cents / 100),
            "to": round(day.high_80_cents / 100),
            "95 % from": round(day.low_95_cents / 100),
            "up to": round(day.high_95_cents / 100),
        }
        for day in days
    ]
    currency = ShopSettings().base_currency
    print_rows(rows, title=f"Net revenue, {currency}, and where it is on 80 and 95 % of days")
    console.print()
    print_rows([_tested(row) for row in quality], title="Error on the last 14 known days")


def _tested(row: dict[str, Any]) -> dict[str, object]:
    return {
        "method": row["method"].replace("_", " ") + (", published" if row["is_published"] else ""),
        "error": "-"
        if row["error_basis_points"] is None
        else f"{row['error_basis_points'] / 10_000:.1%}",
        "days within 80 %": f"{row['within_80_days']} of {row['tested_days']}",
        "within 95 %": f"{row['within_95_days']} of {row['tested_days']}",
    }


@forecast.command()
def train(output: FormatOption = Format.TABLE) -> None:
    """Forecast from the mart's complete days, test, and publish to the mart.

    The model is first tested on the last fourteen days, which are hidden from it.
    It is published only if its error is less than that of the same weekday of last
    week. The same mart gives the same forecast.

    Example: ./pipeline forecast train
    """
    from batch.forecast.store import train_and_publish
    from batch.runs import Kind, recorded
    from lakehouse.connections import warehouse

    dsn = warehouse("batch")
    with (
        recorded(dsn, kind=Kind.TRAINING, scope={"table": "revenue_forecast"}) as run,
        err_console.status("reading the mart") as status,
    ):
        details = train_and_publish(dsn, run, on_progress=status.update)
    if output is Format.JSON:
        print_json(details)
    else:
        console.print(details["verdict"], markup=False)
