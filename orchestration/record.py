"""A task's part in the record of its DAG's run: they share one row of `etl.runs`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from batch.runs import Run


@contextmanager
def recording(kind: str, *, is_required: bool = True) -> Iterator["Run"]:
    """Record the task that runs now as a step; the run has succeeded when all its tasks have.

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
    """How tasks reach it."""
    from lakehouse.connections import warehouse as dsn  # noqa: PLC0415 - imports psycopg

    return dsn("batch")
