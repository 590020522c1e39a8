"""The nightly training of recommendations."""

from airflow.sdk import dag, task
from orchestration.defaults import dag_defaults
from orchestration.record import recording, warehouse
from orchestration.steps import step, tell
from orchestration.task_log import log_table


@dag(
    description="Trains what customers buy again and what is new to them, every night.",
    schedule="30 4 * * *",
    **dag_defaults("daily"),
)
def recommendations() -> None:
    """Trains what customers buy again and what is new to them, from silver.

    Each model is tested on the newest purchases, and published to gold and the mart only if it
    exceeds its baseline; the task's log has the table of quality and the verdict. A customer who
    deleted the account is in no list from this run on.

    `./pipeline recommend train` does the same.
    """
    train()


@task
@step
def train() -> dict[str, object]:
    """Train, test and publish the lists."""
    from batch.recommendations.store import note_training, train_and_publish
    from lakehouse.connections import writing_lake
    from lakehouse.settings import ConsolidationSettings

    with recording("training") as run:
        training = train_and_publish(
            writing_lake(),
            warehouse(),
            retention_hours=ConsolidationSettings().retention_hours,
            on_progress=tell,
        )
        details = note_training(run, training)
    log_table(details["quality"])
    for verdict in details["verdicts"]:
        tell(verdict)
    return details


recommendations()
