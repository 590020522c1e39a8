"""`live`: from Kafka to the warehouse's live schema."""

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def live() -> None:
    """Apply changes from Kafka to the live schema within a second. `up` runs one already.

    Views add these rows to those of the last consolidation, each change exactly
    once; the next consolidation replaces them. Runs until stopped. A second
    process shares the partitions with the first. Limits are settings (LIVE_…).

    Example: ./pipeline live
    """
    from consumers.live.service import change_readers, run_live
    from lakehouse.connections import warehouse
    from lakehouse.settings import (
        ConnectSettings,
        KafkaSettings,
        LiveSettings,
        ShopSettings,
    )

    run_live(
        live=LiveSettings(),
        kafka=KafkaSettings(),
        connect=ConnectSettings(),
        warehouse_dsn=warehouse("live"),
        readers=change_readers(ShopSettings()),
    )
