"""`live`: from Kafka to the warehouse's live schema."""

import typer

from cli.land import MetricsPort

app = typer.Typer()


@app.command(rich_help_panel="Run")
def live(metrics_port: MetricsPort = None) -> None:
    """Apply changes from Kafka to the live schema within a second. `up` runs one already.

    Views add these rows to those of the last consolidation, each change exactly
    once; the next consolidation replaces them. Runs until stopped. A second
    process shares the partitions with the first; on the same machine it needs
    another --metrics-port.

    Example: ./pipeline live
    """
    from consumers.live.service import change_readers, run_live
    from lakehouse.connections import warehouse
    from lakehouse.settings import (
        ConnectSettings,
        KafkaSettings,
        LiveSettings,
        MonitoringSettings,
        ShopSettings,
    )

    run_live(
        live=LiveSettings(),
        kafka=KafkaSettings(),
        connect=ConnectSettings(),
        warehouse_dsn=warehouse("live"),
        readers=change_readers(ShopSettings()),
        metrics_address=MonitoringSettings().metrics_address("live", metrics_port),
    )
