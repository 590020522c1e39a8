"""`freshness`: how far behind the shop charts and bronze are, measured on what comes in now."""

from typing import Annotated

import typer

from cli.output import Format, FormatOption, console, err_console, print_json, print_rows

app = typer.Typer()


@app.command(rich_help_panel="Inspect")
def freshness(
    seconds: Annotated[float, typer.Option(help="Watch for so long.", min=1)] = 30,
    output: FormatOption = Format.TABLE,
) -> None:
    """Measure how long orders take from their commit in the shop to the view that charts read.

    And to bronze; hop by hop, median and 99th percentile. Orders have to come in meanwhile.

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
    with err_console.status(f"watching for {seconds:.0f} s"):
        hops = measure(route, seconds)
    if output is Format.JSON:
        print_json({"hops": hops, "seconds": seconds})
        return
    print_rows(hops)
    if not any(hop["samples"] for hop in hops):
        console.print("No order came in: start ./pipeline simulate beside it.", style="yellow")
    elif any(hop["never_arrived"] for hop in hops):
        console.print(
            "Some never arrived: in quarantine (./pipeline quarantine list after the next "
            "consolidation), or is something down (./pipeline status)?",
            style="yellow",
        )
