"""Tells a webhook that a task of a run has failed, or that a run is late."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from lakehouse.settings import AirflowSettings, AlertSettings

_log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0
_TRIES = 3
"""To connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The document that is sent. `task` is None where it is about a whole run."""

    dag: str
    run: str
    task: str | None
    state: str
    message: str
    url: str


def tell_failure(context: Mapping[str, Any]) -> None:
    """Airflow's callback of a task that has failed, and will not be tried again."""
    task = context["ti"]
    error = context.get("exception") or context.get("reason") or "see its log"
    send(
        Alert(
            dag=task.dag_id,
            run=task.run_id,
            task=task.task_id,
            state="failed",
            message=str(error),
            url=f"{_page(task.dag_id, task.run_id)}/tasks/{quote(task.task_id)}",
        )
    )


def tell_late(context: Mapping[str, Any]) -> None:
    """Airflow's callback of a run that has not ended by its deadline."""
    run = context["dag_run"]
    dag, name = run["dag_id"], run["dag_run_id"]
    seconds = AlertSettings().late_seconds
    message = f"Not done {seconds} s after its turn (ALERT_LATE_SECONDS). It goes on."
    alert = Alert(dag=dag, run=name, task=None, state="late", message=message, url=_page(dag, name))
    send(alert)


def send(alert: Alert) -> None:
    """Post an alert, if anybody wants it. A webhook that is away only leaves a line in the log."""
    import httpx  # noqa: PLC0415 - DAG files import this module each time that they are read

    address = AlertSettings().webhook_url
    if address is None:
        return
    transport = httpx.HTTPTransport(retries=_TRIES)
    try:
        with httpx.Client(transport=transport, timeout=_TIMEOUT_SECONDS) as client:
            client.post(address, json=asdict(alert)).raise_for_status()
    except httpx.HTTPError as error:
        _log.error("The webhook (ALERT_WEBHOOK_URL) was not told: %s", error)


def _page(dag: str, run: str) -> str:
    return f"{AirflowSettings().pages_url}/dags/{quote(dag)}/runs/{quote(run)}"
