"""The nightly forecast of revenue."""

from airflow.sdk import dag, task
from orchestration.defaults import dag_defaults
from orchestration.record import recording, warehouse
from orchestration.steps import step, tell
from orchestration.task_log import log_table


@dag(
    description="Forecasts net revenue of the next fourteen days, every night.",
    schedule="45 4 * * *",
    **dag_defaults("daily"),
)
def forecast() -> None:
    """Forecasts net revenue of the next fourteen days from the mart's complete days.

    The model is tested on the last fourteen days, and published only if its error is less than that
    of the same weekday of last week; the task's log has both errors and the verdict. A young shop
    has no forecast.

    `./pipeline forecast train` does the same.
    """
    train()


@task
@step
def train() -> dict[str, object]:
    """Test both methods, and publish the better one."""
    from batch.forecast.store import train_and_publish

    with recording("training") as run:
        details = train_and_publish(warehouse(), run, on_progress=tell)
    log_table(details["quality"])
    tell(details["verdict"])
    return details


forecast()
