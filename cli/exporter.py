"""`exporter`: metrics of the pipeline for Prometheus."""

import typer

app = typer.Typer()


@app.command("watch", hidden=True)  # its name until version 0.1
@app.command(rich_help_panel="Run")
def exporter() -> None:
    """Serve metrics of the pipeline to Prometheus, until stopped.

    Metrics: slot, connector, lag and age of each layer, quarantine, runs, losses,
    both Postgres servers, disk. Settings: MONITORING_…

    Example: ./pipeline exporter
    """
    from lakehouse.secrets import Secrets
    from monitoring.service import run_exporter
    from stack.paths import StackConfig

    config = StackConfig()
    run_exporter(config, Secrets(config.stack.secrets_path))
