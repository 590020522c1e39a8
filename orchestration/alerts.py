"""Alerts to a webhook about failed tasks and late runs."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from lakehouse.settings import AirflowSettings, AlertSettings

_log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0
_TRIES = 3
"""Attempts to connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The JSON document that is sent. `task` is None in an alert about a whole run."""

    dag: str
    run: str
    task: str | None
    state: str
    message: str
    url: str


def tell_failure(context: Mapping[str, Any]) -> None:
    """Send an alert about a task that has failed and is not retried (Airflow callback)."""
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
    """Send an alert about a run that has not ended by its deadline (Airflow callback)."""
    run = context["dag_run"]
    dag, name = run["dag_id"], run["dag_run_id"]
    seconds = AlertSettings().late_seconds
    message = f"Not finished {seconds} s after its schedule (ALERT_LATE_SECONDS). It still runs."
    alert = Alert(dag=dag, run=name, task=None, state="late", message=message, url=_page(dag, name))
    send(alert)


def send(alert: Alert) -> None:
    """Post an alert to ALERT_WEBHOOK_URL, if set. A failure to send it is only logged."""
    import httpx  # noqa: PLC0415 - DAG files import this module each time that they are read

    address = AlertSettings().webhook_url
    if address is None:
        return
    transport = httpx.HTTPTransport(retries=_TRIES)
    try:
        with httpx.Client(transport=transport, timeout=_TIMEOUT_SECONDS) as client:
            client.post(address, json=asdict(alert)).raise_for_status()
    except httpx.HTTPError as error:
        _log.error("The alert could not be sent to ALERT_WEBHOOK_URL: %s", error)


def _page(dag: str, run: str) -> str:
    return f"{AirflowSettings().pages_url}/dags/{quote(dag)}/runs/{quote(run)}"
