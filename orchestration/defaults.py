"""What all DAGs have in common: retries, and who is told."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

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
