"""What a webhook is told, and that one that is away disturbs nobody."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from lakehouse.environment import environment, environment_of
from orchestration.alerts import tell_failure, tell_late
from tests.stacks import free_ports

RUN = "manual__2026-11-24T20:10:31+00:00"
PAGE = "http://127.0.0.1:8080/dags/hour/runs/manual__2026-11-24T20%3A10%3A31%2B00%3A00"
TASK = SimpleNamespace(dag_id="hour", run_id=RUN, task_id="gold")
FAILURE = {"ti": TASK, "exception": RuntimeError("do this")}


@pytest.fixture
def told():
    """What was posted; the webhook's answer is `status`."""
    found = SimpleNamespace(alerts=[], status=204)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_):
            """Nothing on the test's output."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/alerts"
        with environment_of({"HOME": "/nowhere", "ALERT_WEBHOOK_URL": address}):
            yield found
        server.shutdown()


def test_failure_tells_which_task_of_which_run_why_and_where_to_look(told):
    tell_failure(FAILURE)
    assert told.alerts == [
        {
            "dag": "hour", "run": RUN, "task": "gold", "state": "failed", "message": "do this",
            "url": f"{PAGE}/tasks/gold",
        }
    ]  # fmt: skip


def test_late_run_tells_which_and_how_late(told):
    tell_late({"dag_run": {"dag_id": "hour", "dag_run_id": RUN}})
    (alert,) = told.alerts
    assert "1800 s" in alert.pop("message")
    assert alert == {"dag": "hour", "run": RUN, "task": None, "state": "late", "url": PAGE}


def test_alert_leads_to_where_people_reach_the_pages(told):
    address = {"AIRFLOW_HOST": "airflow", "AIRFLOW_PUBLIC_URL": "https://shop.example.org/hour"}
    with environment_of({**environment(), **address}):
        tell_failure(FAILURE)
    assert told.alerts[0]["url"].startswith("https://shop.example.org/hour/dags/hour/runs/")


def test_webhook_that_refuses_leaves_a_line_in_the_log(told, caplog):
    told.status = 500
    tell_failure(FAILURE)
    assert "ALERT_WEBHOOK_URL" in caplog.text
    assert "500" in caplog.text


def test_webhook_that_is_away_leaves_a_line_in_the_log(caplog):
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    with environment_of({"HOME": "/nowhere", "ALERT_WEBHOOK_URL": address}):
        tell_failure(FAILURE)
    assert "ALERT_WEBHOOK_URL" in caplog.text


def test_nobody_is_told_where_nobody_asked(caplog):
    caplog.set_level(logging.INFO)
    with environment_of({"HOME": "/nowhere"}):
        tell_failure(FAILURE)
    assert "ALERT_WEBHOOK_URL" not in caplog.text
