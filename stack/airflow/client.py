"""Client of Airflow's REST interface: trigger runs, read states of runs and tasks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Self

import httpx

from lakehouse.choices import refuse_unknown
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.http import http_client
from lakehouse.settings import ROOT, AirflowSettings

_TIMEOUT_SECONDS = 30.0
_ASK_SECONDS = 1.0
_TRY = "Try ./pipeline status"
_KNOWN_SECONDS = 90.0
"""Maximum wait, after a fresh start, until a DAG file was parsed."""
_ERRORS = "/api/v2/importErrors"
DAGS = ROOT / "dags"
"""Folder of the DAGs' files."""
DONE = ("success", "failed")
"""Final states of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task of a run. `state` is None before Airflow has scheduled it."""

    task: str
    state: str | None
    tries: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run and its tasks, in the order in which they depend on each other."""

    dag: str
    run: str
    state: str
    tasks: tuple[TaskState, ...]

    @property
    def is_done(self) -> bool:
        """Whether the run has ended."""
        return self.state in DONE

    @property
    def failed(self) -> list[str]:
        """Names of tasks that failed themselves."""
        return [task.task for task in self.tasks if task.state == "failed"]


class AirflowClient:
    """A session of one user."""

    def __init__(self, settings: AirflowSettings, *, user: str, password: str) -> None:
        self._settings = settings
        self._login = {"username": user, "password": password}
        self._orders: dict[str, dict[str, int]] = {}
        self._http = http_client(settings.url, timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def log_in(self) -> None:
        """Get a token, which is valid for a day.

        Raises:
            StopPipelineError: Airflow refuses user or password.
            RetryLaterError: Airflow does not answer.
        """
        answer = self._ask("POST", "/auth/token", json=self._login)
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def trigger(self, dag: str, **params: object) -> str:
        """Trigger a run; returns its id. After a fresh start, waits until the DAG was parsed.

        Args:
            dag: id of the DAG.
            **params: parameters of its form.

        Raises:
            WrongArgumentError: there is no such DAG.
            StopPipelineError: its file cannot be imported, it is paused, or it refuses the
                parameters.
            RetryLaterError: Airflow does not answer.
        """
        deadline = time.monotonic() + _KNOWN_SECONDS
        while (known := self._find(f"/api/v2/dags/{dag}")) is None:
            self._refuse_unknown(dag, is_last=time.monotonic() > deadline)
            time.sleep(_ASK_SECONDS)
        if known["is_paused"]:
            problem = f"{dag} is paused, so a run would never start"
            raise StopPipelineError(problem, f"Unpause it on {self.page(dag)}")
        path = f"/api/v2/dags/{dag}/dagRuns"
        return str(
            self._ask("POST", path, json={"logical_date": None, "conf": params})["dag_run_id"]
        )

    def state(self, dag: str, run: str) -> RunState:
        """Return the current state of a run and its tasks.

        Raises:
            RetryLaterError: Airflow does not answer.
        """
        path = f"/api/v2/dags/{dag}/dagRuns/{run}"
        found = self._ask("GET", path)
        tasks = self._ask("GET", f"{path}/taskInstances")["task_instances"]
        order = self._order(dag)
        tasks.sort(key=lambda task: order.get(task["task_id"], 0))
        return RunState(
            dag=dag,
            run=run,
            state=found["state"],
            tasks=tuple(
                TaskState(
                    task=task["task_id"],
                    state=task["state"],
                    tries=task["try_number"],
                    seconds=task["duration"],
                )
                for task in tasks
            ),
        )

    def follow(self, dag: str, run: str, *, timeout_seconds: float) -> Iterator[RunState]:
        """Yield the run's state repeatedly until it has ended; waits while Airflow is unavailable.

        Raises:
            RetryLaterError: the run did not end in time, or Airflow does not answer.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                state = self.state(dag, run)
            except RetryLaterError:
                if time.monotonic() > deadline:
                    raise
            else:
                yield state
                if state.is_done:
                    return
            if time.monotonic() > deadline:
                message = (
                    f"{run} of {dag} still runs after {timeout_seconds:.0f} s: {self.page(dag)}"
                )
                raise RetryLaterError(message)
            time.sleep(_ASK_SECONDS)

    def xcom(self, dag: str, run: str, task: str) -> Any:  # noqa: ANN401 - whatever it returned
        """Return a task's XCom `return_value`."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self._ask("GET", path, params={"deserialize": "true"})["value"]

    def dags(self) -> dict[str, bool]:
        """Return whether each DAG is paused, by id, for all that Airflow has parsed.

        Raises:
            RetryLaterError: Airflow does not answer.
        """
        found = self._ask("GET", "/api/v2/dags", params={"limit": 100})["dags"]
        return {dag["dag_id"]: dag["is_paused"] for dag in found}

    def import_errors(self) -> dict[str, str]:
        """Return the last line of the import error of each DAG file that has one.

        Raises:
            RetryLaterError: Airflow does not answer.
        """
        found = self._ask("GET", "/api/v2/importErrors", params={"limit": 100})["import_errors"]
        return {one["filename"]: one["stack_trace"].strip().rpartition("\n")[2] for one in found}

    def page(self, dag: str, run: str | None = None) -> str:
        """Return the URL of a DAG or a run in the web UI."""
        return f"{self._settings.pages_url}/dags/{dag}" + (f"/runs/{run}" if run else "")

    def _order(self, dag: str) -> dict[str, int]:
        """Return the position of each task in a topological order."""
        if dag not in self._orders:
            tasks = self._ask("GET", f"/api/v2/dags/{dag}/tasks")["tasks"]
            sorter: TopologicalSorter[str] = TopologicalSorter()
            for task in tasks:
                sorter.add(task["task_id"])
                for later in task["downstream_task_ids"]:
                    sorter.add(later, task["task_id"])
            self._orders[dag] = {name: place for place, name in enumerate(sorter.static_order())}
        return self._orders[dag]

    def _refuse_unknown(self, dag: str, *, is_last: bool) -> None:
        """Refuse a DAG that Airflow does not know once it has parsed all files, or at last."""
        failed = {Path(e["filename"]).name for e in self._ask("GET", _ERRORS)["import_errors"]}
        known = {one["dag_id"]: Path(one["fileloc"]).name for one in self._dags()}
        if f"{dag}.py" in failed:
            problem = f"Airflow cannot import {dag}.py"
            raise StopPipelineError(problem, f"The error is on {self._settings.pages_url}/dags.")
        files = {path.name for path in DAGS.glob("*.py")}
        if dag not in known and (is_last or files <= failed.union(known.values())):
            refuse_unknown("DAG", [dag], sorted(known))

    def _dags(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/api/v2/dags", params={"limit": 100})[
            "dags"
        ]
        return found

    def _find(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What is there; None if there is nothing."""
        answer = self._send("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _content(answer)

    def _ask(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        return _content(self._send(method, path, **more))

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        try:
            return self._http.request(method, path, **more)
        except httpx.TransportError as error:
            message = f"Airflow does not answer at {self._settings.url}: {error}. {_TRY}"
            raise RetryLaterError(message) from error


def _content(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a response.

    Raises:
        StopPipelineError: Airflow refuses the request.
        RetryLaterError: Airflow is temporarily unable to answer it.
    """
    if answer.is_success:
        return answer.json()
    asked = f"{answer.request.method} {answer.request.url}"
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        problem = (
            f"Airflow refuses {asked}: user or password are not those that it was started with"
        )
        action = (
            "./pipeline open airflow prints them; ./pipeline up restarts it with the current ones."
        )
        raise StopPipelineError(problem, action)
    said = f"{asked}: {answer.status_code}, {answer.text[:500]}"
    if answer.is_server_error:
        message = f"Airflow is temporarily unable to answer. {said} {_TRY}"
        raise RetryLaterError(message)
    message = f"Airflow refuses. {said} See ./pipeline logs airflow"
    raise StopPipelineError(message)
