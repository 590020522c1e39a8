"""`freshness`: latency from commits in the shop to bronze and to the charts, measured live."""

from typing import Annotated

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer()


@app.command(rich_help_panel="Inspect")
def freshness(
    seconds: Annotated[float, typer.Option(help="Duration of the measurement.", min=1)] = 30,
    output: FormatOption = Format.TABLE,
) -> None:
    """Measure the latency of new orders from the shop to bronze and to the charts' views.

    Median and 99th percentile of each hop. Needs new orders: run ./pipeline
    simulate meanwhile.

    Example: ./pipeline freshness --seconds 60
    """
    from lakehouse.connections import secrets
    from lakehouse.settings import ConnectSettings, KafkaSettings, MinioSettings, WarehouseSettings
    from monitoring.freshness import Route, measure

    route = Route.of(
        kafka=KafkaSettings(),
        connect=ConnectSettings(),
        minio=MinioSettings(),
        warehouse=WarehouseSettings(),
        secrets=secrets(),
    )
    with err_console.status(f"measuring for {seconds:.0f} s"):
        hops = measure(route, seconds)
    if output is Format.JSON:
        print_json({"hops": hops, "seconds": seconds})
        return
    print_rows(hops)
    if not any(hop["samples"] for hop in hops):
        console.print("No order arrived: run ./pipeline simulate meanwhile.", style="yellow")
    elif any(hop["never_arrived"] for hop in hops):
        console.print(
            "Some orders did not arrive. Either they are quarantined (./pipeline quarantine list "
            "after the next consolidation) or a service is down (./pipeline status).",
            style="yellow",
        )
