"""`exporter`: metrics of the pipeline itself, for Prometheus."""

import typer

app = typer.Typer()


@app.command("watch", hidden=True)  # its name until version 0.1
@app.command(rich_help_panel="Run")
def exporter() -> None:
    """Serve metrics of the pipeline itself to Prometheus, until stopped.

    Slot, connector, lag and age of each layer, quarantine, runs, losses, both Postgres, disk.
    (MONITORING_…).

    Example: ./pipeline exporter
    """
    from lakehouse.secrets import Secrets
    from monitoring.service import run_exporter
    from stack.paths import StackConfig

    config = StackConfig()
    run_exporter(config, Secrets(config.stack.secrets_path))
