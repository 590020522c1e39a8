"""`trigger`: a run of a DAG in Airflow, followed to its end."""

from collections.abc import Sequence
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table

from cli.output import Format, FormatOption, err_console, print_json, print_rows
from lakehouse.errors import StopPipelineError

if TYPE_CHECKING:
    from stack.airflow.client import RunState, TaskState

app = typer.Typer()
HOUR = "ecommerce_pipeline"
_STYLES = {"success": "green", "failed": "bold red", "running": "cyan", "up_for_retry": "yellow"}


@app.command(rich_help_panel="Run")
def trigger(
    dag: Annotated[
        str,
        typer.Argument(help="ecommerce_pipeline, lake_maintenance, recommendations or forecast."),
    ] = (HOUR),
    timeout: Annotated[float, typer.Option(min=1, help="Maximum wait, in seconds.")] = 3600,
    output: FormatOption = Format.TABLE,
) -> None:
    """Trigger a DAG in Airflow, show the progress of its tasks, wait for its end.

    Exit status 0 when all tasks have succeeded, 3 when one has failed.
    Interrupting this command does not stop the run.

    Example: ./pipeline trigger lake_maintenance
    """
    state = run_in_airflow(dag, timeout_seconds=timeout)
    if output is Format.JSON:
        print_json(asdict(state))
    else:
        print_rows([_row(task) for task in state.tasks])
    require_success(state)


def run_in_airflow(dag: str = HOUR, *, timeout_seconds: float = 3600) -> "RunState":
    """Trigger a DAG and wait for its end, showing its tasks on standard error.

    Raises:
        StopPipelineError: there is no such DAG, or Airflow refuses the login.
        RetryLaterError: Airflow does not answer, or the run did not end within the timeout.
    """
    from lakehouse.secrets import Secrets
    from stack.airflow.client import AirflowClient
    from stack.paths import StackConfig
    from stack.web_uis import WEB_UIS

    config = StackConfig()
    login = WEB_UIS["airflow"](config, Secrets(config.stack.secrets_path))
    with AirflowClient(config.airflow, user=login.user, password=login.password) as client:
        client.log_in()
        run = client.trigger(dag)
        err_console.print(f"{dag}: {client.page(dag, run)}", soft_wrap=True)
        with _Watch() as watch:
            for state in client.follow(dag, run, timeout_seconds=timeout_seconds):
                watch.show(state)
    return state


def require_success(state: "RunState") -> None:
    """Check that a run has succeeded.

    Raises:
        StopPipelineError: it has not; the message names the failed tasks.
    """
    if state.state == "success":
        return
    message = (
        f"Run {state.run} of {state.dag} is {state.state}: {', '.join(state.failed)}. The log of "
        "the task says what to do; find it in the web UI: ./pipeline open airflow"
    )
    raise StopPipelineError(message)


class _Watch:
    """Progress of tasks: a redrawn table on a terminal, otherwise a line per state change."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._told: dict[str, str | None] = {}
        self._live = Live(console=err_console, transient=True) if err_console.is_terminal else None

    def __enter__(self) -> "_Watch":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: "RunState") -> None:
        if self._live:
            self._live.update(_table(state.tasks))
            return
        for task in state.tasks:
            if task.state is not None and self._told.get(task.task) != task.state:
                self._told[task.task] = task.state
                seconds = monotonic() - self._began
                err_console.print(f"{seconds:6.1f} s  {task.task}: {task.state}", soft_wrap=True)


def _table(tasks: "Sequence[TaskState]") -> Table:
    table = Table("task", "state", "tries", "seconds", box=None, header_style="dim")
    for task in tasks:
        name = task.state or "waiting"
        shown = ("" if task.seconds is None else f"{task.seconds:.1f}", str(task.tries or ""))
        table.add_row(task.task, f"[{_STYLES.get(name, 'dim')}]{name}[/]", shown[1], shown[0])
    return table


def _row(task: "TaskState") -> dict[str, object]:
    return {"task": task.task, "state": task.state, "tries": task.tries, "seconds": task.seconds}
