"""Run by Airflow's Python: reads the DAG files as Airflow does, and reports on them as JSON.

Also how a step's errors reach Airflow.
"""

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from orchestration.preloaded import MODULES

HEAVY = ("batch", "deltalake", "duckdb", "httpx", "polars", "psycopg", "pyarrow")


def report(folder):
    known = set(sys.modules)
    bag = DagBag(folder, load_op_links=False)
    loaded = {name.split(".")[0] for name in set(sys.modules) - known}
    return {
        "errors": bag.import_errors,
        "heavy": sorted(loaded & set(HEAVY)),
        "raised": raised(),
        "stopped": stopped(bag),
        "commands": commands(bag),
        "dags": {name: described(dag) for name, dag in bag.dags.items()},
        "working": working(),
        "clusters": clusters(bag),
    }


def working():
    """Threads of pools, once everything is imported that tasks are forked from."""
    for module in MODULES:
        importlib.import_module(module)
    names = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    return sorted(name for name in names if name.startswith(("polars-0", "tokio")))


def described(dag):
    return {
        "doc": dag.doc_md,
        "description": dag.description,
        "tags": sorted(dag.tags),
        "schedule": str(dag.schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "is_paused": dag.is_paused_upon_creation,
        "is_late_after": [alert.interval.total_seconds() for alert in dag.deadline],
        "params": {
            name: {**param.schema, "value": param.value} for name, param in dag.params.items()
        },
        "tasks": {task.task_id: described_task(task) for task in dag.tasks},
    }


def described_task(task):
    return {
        "owner": task.owner,
        "doc": task.doc_md,
        "retries": task.retries,
        "pauses": [task.retry_delay.total_seconds(), task.max_retry_delay.total_seconds()],
        "backs_off": bool(task.retry_exponential_backoff),
        "is_stopped_after": task.execution_timeout.total_seconds(),
        "tells": len(task.on_failure_callback),
        "downstream": sorted(task.downstream_task_ids),
        "assets": sorted(asset.name for asset in task.outlets),
    }


def raised():
    """What Airflow sees where a step raises an error: name of the error, of what it sees, text."""
    from lakehouse.errors import BusyError, RetryLaterError, StopPipelineError
    from orchestration.steps import step

    @step
    def fail(error):
        raise error

    seen = []
    for error in (RetryLaterError, BusyError, StopPipelineError, OSError):
        try:
            fail(error("do this"))
        except Exception as found:  # noqa: BLE001 - told to the test
            seen.append([error.__name__, type(found).__name__, str(found)])
    return seen


def stopped(bag):
    """What Airflow sees of an extraction that was stopped, and how often it was begun."""
    from orchestration import command

    tables = [
        {"table": "orders", "state": "stopped", "reason": None},
        {"table": "payments", "state": "failed", "reason": "SQL_EXCEPTION"},
        {"table": "products", "state": "read", "reason": None},
    ]
    begun = []

    def answer(arguments):
        begun.append(arguments)
        return {"extraction": {"is_complete": False, "tables": tables}, "deletes": []}

    command.run_command = answer
    read_again = bag.dags["extract"].get_task("read_again").python_callable
    names = read_again.__wrapped__.__globals__
    form = {"tables": ["orders", "payments", "products"], "since": None, "until": None}
    names["get_current_context"] = lambda: {"params": form}
    try:
        read_again()
    except Exception as found:  # noqa: BLE001 - told to the test
        return [type(found).__name__, str(found), begun]
    return None


def commands(bag):
    """What an extraction runs by its form, or why it does not."""
    check_request = bag.dags["extract"].get_task("check_request").python_callable
    names = check_request.__wrapped__.__globals__
    told = []
    for since, allowed in ((None, None), (None, 0), (None, 866), ("2026-11-01", 866)):
        form = {"tables": ["orders"], "since": since, "until": None, "allow_deletes": allowed}
        names["get_current_context"] = lambda form=form: {"params": form}
        try:
            told.append(check_request())
        except Exception as found:  # noqa: BLE001 - told to the test
            told.append(str(found))
    return told


def clusters(bag):
    """Master of the cluster that each task of the hourly run computes on, by the environment."""
    from batch.pipeline_run import PipelineRun
    from lakehouse.environment import environment_of, process_environment
    from lakehouse.errors import StopPipelineError

    def of_settings(_tell, cluster=None):
        raise StopPipelineError(cluster.settings.master if cluster else "here")

    PipelineRun.of_settings = of_settings
    found = {}
    for engine in ("spark", "local"):
        given = {"BATCH_ENGINE": engine, "SPARK_MASTER": "yarn"}
        with environment_of({**process_environment(), **given}):
            for name in ("silver_orders", "gold", "derived", "reconcile"):
                run = bag.dags["ecommerce_pipeline"].get_task(name).python_callable
                run.__wrapped__.__globals__["recording"] = lambda _kind: nullcontext()
                try:
                    run()
                except Exception as error:  # noqa: BLE001 - told to the test
                    found[f"{name} {engine}"] = str(error)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report(sys.argv[1])))
