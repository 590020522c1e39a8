"""The nightly maintenance of the lake."""

from airflow.sdk import dag, task
from orchestration.defaults import dag_defaults
from orchestration.record import recording, warehouse
from orchestration.steps import step, tell
from orchestration.task_log import log_table


@dag(
    description="Compacts and vacuums the lake's tables, every night.",
    schedule="30 3 * * *",
    **dag_defaults("daily"),
)
def lake_maintenance() -> None:
    """Compacts small files, vacuums expired ones, writes checkpoints, deletes old run records.

    Runs concurrently with the lander, consolidations and readers; a table on which it would
    conflict with a writer is skipped, and the task's log says so. Versions that a layer above has
    not read yet are kept.

    `./pipeline maintain` does the same.
    """
    for name in ("bronze", "silver", "gold"):
        maintain.override(task_id=f"maintain_{name}")(name)
    forget_runs()


@task
@step
def maintain(layer: str) -> list[dict[str, object]]:
    """Maintain the tables of one layer, one after the other."""
    from batch.catalogue import lake_tables
    from batch.maintenance import limits_of_settings, maintain_tables, needs_of_readers
    from lakehouse.connections import secrets

    passwords = secrets()
    limits = limits_of_settings(passwords)
    tables = lake_tables(limits[layer].lake, [layer])
    needs = needs_of_readers(limits, passwords) if layer == "silver" else []
    # Maintenance of the lake must be possible while the warehouse is down.
    with recording("maintenance", is_required=False) as run:
        maintenance = maintain_tables(tables, limits, needs, on_progress=tell)
        done = [dict(one.to_json()) for one in maintenance]
        run.note(details={"tables": done})
    log_table([{name: value for name, value in one.items() if name != "kept"} for one in done])
    return done


@task
@step
def forget_runs() -> dict[str, object]:
    """Delete records of runs older than 90 days."""
    from batch.runs import forget_old

    with recording("maintenance", is_required=False) as run:
        metrics: dict[str, object] = {"forgotten": forget_old(warehouse())}
        run.note(details=metrics)
    return metrics


lake_maintenance()
