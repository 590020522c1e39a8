"""Recording of tasks as steps of their DAG run, which is one row of `etl.runs`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from batch.runs import Run


@contextmanager
def recording(kind: str, *, is_required: bool = True) -> Iterator["Run"]:
    """Record the current task as a step; the run succeeds when all its tasks have succeeded.

    Raises:
        RetryLaterError: the warehouse does not answer, and a record is required.
        StopPipelineError: its schema is older than this code, and a record is required.
    """
    from batch.runs import Kind, StepwiseRun, recorded_step  # noqa: PLC0415 - imports psycopg

    context = get_current_context()
    task = context["ti"]
    whole = StepwiseRun(
        key=f"{task.dag_id}/{task.run_id}",
        kind=Kind(kind),
        scope={"dag": task.dag_id, "airflow_run": task.run_id},
        steps=sorted(context["dag"].task_ids),
    )
    with recorded_step(warehouse(), whole, task.task_id, is_required=is_required) as run:
        yield run


def warehouse() -> str:
    """Return the connection string that tasks use."""
    from lakehouse.connections import warehouse as dsn  # noqa: PLC0415 - imports psycopg

    return dsn("batch")
