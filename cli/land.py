"""`land`: Kafka to bronze."""

from typing import Annotated

import typer

app = typer.Typer()
MetricsPort = Annotated[
    int | None,
    typer.Option(
        help="Port of its metrics; 0 is none. By default that of MONITORING_BASE_PORT.",
        min=0,
        max=65535,
        show_default=False,
    ),
]


@app.command(rich_help_panel="Run")
def land(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Record changes that Kafka no longer has in bronze/_loss_ledger, then continue.",
        ),
    ] = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Write changes from Kafka to bronze, exactly once, until stopped. `up` runs one already.

    A second lander shares the partitions with the first; on the same machine it
    needs another --metrics-port. Limits are settings (LANDING_…).

    Example: LANDING_FLUSH_SECONDS=0.5 ./pipeline land --metrics-port 0
    """
    from consumers.bronze.service import run_lander
    from lakehouse.connections import secrets
    from lakehouse.settings import (
        ConnectSettings,
        KafkaSettings,
        LandingSettings,
        MinioSettings,
        MonitoringSettings,
    )

    run_lander(
        landing=LandingSettings(),
        kafka=KafkaSettings(),
        connect=ConnectSettings(),
        minio=MinioSettings(),
        secrets=secrets(),
        metrics_address=MonitoringSettings().metrics_address("lander", metrics_port),
        accept_loss=accept_loss,
    )
