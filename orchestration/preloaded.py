"""Airflow with the imports of its tasks: `python -m orchestration.preloaded scheduler`.

The scheduler forks a process for each task, and the DAG processor one for each file. Each would
spend most of its CPU on importing what its parent has imported once here. None of these modules
starts a thread when it is imported, so forks are safe.
"""

import importlib

MODULES = (
    "airflow.sdk.execution_time.task_runner",
    "batch.catalogue",
    "batch.maintenance",
    "batch.pipeline_run",
    "batch.reconcile.run",
    "httpx",
    "rich.console",
)


def main() -> None:
    """Run Airflow's command line, with the arguments of this process."""
    for module in MODULES:
        importlib.import_module(module)
    importlib.import_module("airflow.__main__").main()


if __name__ == "__main__":
    main()
