"""`watch`: how the pipeline is, for Prometheus."""

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def watch() -> None:
    """Look at every part again and again, and tell Prometheus, until stopped.

    Slot, connector, how far each layer is and how old, quarantine, runs, losses, both Postgres,
    disk. `up --monitoring` runs one. What it is asked for and when Prometheus alerts are settings
    (MONITORING_…).

    Example: ./pipeline watch
    """
    from lakehouse.secrets import Secrets
    from monitoring.service import run_watcher
    from stack.layout import StackConfig

    config = StackConfig()
    run_watcher(config, Secrets(config.stack.secrets_path))
