"""`land`: Kafka to bronze."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def land(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Record changes that Kafka no longer has in bronze/_loss_ledger, then continue.",
        ),
    ] = False,
) -> None:
    """Write changes from Kafka to bronze, exactly once, until stopped. `up` runs one already.

    A second lander shares the partitions with the first. Limits are settings
    (LANDING_…).

    Example: LANDING_FLUSH_SECONDS=0.5 ./pipeline land
    """
    from consumers.bronze.service import run_lander
    from lakehouse.connections import secrets
    from lakehouse.settings import (
        ConnectSettings,
        KafkaSettings,
        LandingSettings,
        MinioSettings,
    )

    run_lander(
        landing=LandingSettings(),
        kafka=KafkaSettings(),
        connect=ConnectSettings(),
        minio=MinioSettings(),
        secrets=secrets(),
        accept_loss=accept_loss,
    )
