"""`live`: Kafka to what the warehouse shows before the next consolidation."""

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def live() -> None:
    """Keep charts a fraction of a second behind the shop, until stopped. `up` runs one already.

    Rows that the warehouse has not yet are laid over it, exactly once; a consolidation takes them
    off again. A second one shares the partitions with the first. Limits are settings (LIVE_…).

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
