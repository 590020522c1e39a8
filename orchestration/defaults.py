"""What all DAGs have in common: retries, and who is told."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, Param, SyncCallback

from lakehouse.contracts import ENTITIES
from lakehouse.settings import AlertSettings
from orchestration.alerts import tell_failure, tell_late


def task_defaults() -> dict[str, Any]:
    """Of every task. Only what may succeed later is tried again, see `orchestration.steps`."""
    return {
        "owner": "shop",
        "retries": 4,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=5),
        # What hangs is tried again. A first load of ten million order lines takes under an hour.
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": tell_failure,
    }


def deadline() -> DeadlineAlert:
    """When a run counts as late. The callback needs no triggerer: a task's worker calls it."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=AlertSettings().late_seconds),
        callback=SyncCallback(tell_late),
    )


def by_hand() -> dict[str, Any]:
    """Of DAGs that nobody but a person starts, with a form. They may take half a day."""
    return {
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "default_args": {**task_defaults(), "execution_timeout": timedelta(hours=12)},
        "deadline": deadline(),
        "tags": ["shop", "by hand"],
    }


def tables_to_choose() -> Param:
    """Of a form: tables of the shop."""
    return Param(
        [],
        type="array",
        items={"enum": list(ENTITIES)},
        examples=list(ENTITIES),
        title="Tables",
        description="Of the shop; none means all.",
    )
