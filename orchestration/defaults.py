"""Defaults of all DAGs: retries, timeouts, alerts."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, Param, SyncCallback

from lakehouse.contracts import ENTITIES
from lakehouse.settings import AlertSettings
from orchestration.alerts import tell_failure, tell_late


def task_defaults() -> dict[str, Any]:
    """Arguments of every task. Only retryable errors are retried, see `orchestration.steps`."""
    return {
        "owner": "shop",
        "retries": 4,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=5),
        # A task that hangs is retried. A first load of ten million order lines takes under an hour.
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": tell_failure,
    }


def deadline() -> DeadlineAlert:
    """When a run counts as late. The callback runs in a worker and needs no triggerer."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=AlertSettings().late_seconds),
        callback=SyncCallback(tell_late),
    )


def dag_defaults(tag: str) -> dict[str, Any]:
    """Arguments of every DAG. `tag` says when it runs."""
    return {
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "default_args": task_defaults(),
        "deadline": deadline(),
        "tags": ["shop", tag],
    }


def by_hand() -> dict[str, Any]:
    """Arguments of DAGs that are only triggered manually, with a form. They may take half a day."""
    half_a_day = {**task_defaults(), "execution_timeout": timedelta(hours=12)}
    return {**dag_defaults("by hand"), "default_args": half_a_day}


def tables_to_choose(description: str) -> Param:
    """Form field for tables of the shop; it may stay empty."""
    # Airflow's form stars what may not be null, and so what may be empty must be nullable.
    return Param(
        None,
        type=["null", "array"],
        items={"enum": list(ENTITIES)},
        examples=list(ENTITIES),
        title="Tables",
        description=description,
    )
