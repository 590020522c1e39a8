"""The hourly run: applies new changes to silver, gold and the warehouse, then reconciles."""

from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, chain, dag, task
from lakehouse.contracts import ENTITIES
from orchestration.defaults import dag_defaults
from orchestration.record import recording
from orchestration.steps import step, tell, warn
from orchestration.task_log import log_table, publish

if TYPE_CHECKING:
    from airflow.sdk import XComArg

SILVER = {
    name: Asset(name=f"silver.{entity.silver}", uri=f"shop://silver/{entity.silver}")
    for name, entity in ENTITIES.items()
}
GOLD = Asset(name="gold", uri="shop://gold")
MART = Asset(name="mart", uri="shop://mart")


@dag(
    description="Applies new changes to silver, gold and the warehouse, every hour.",
    schedule="@hourly",
    **dag_defaults("hourly"),
)
def ecommerce_pipeline() -> None:
    """Applies new changes in bronze to silver, gold and the warehouse, then reconciles all layers.

    Every task is a step of `batch.pipeline_run` and idempotent. Its rows and seconds are in its
    log, in its XCom `return_value` and in the events of its assets. Trigger other DAGs by the
    assets `silver.*`, `gold` and `mart`.

    The log of a failed task says what to do; `./pipeline runs` lists the run among all others.
    `./pipeline consolidate` does the same in one process and may be run at any time; the two wait
    for each other.
    """
    cleaned = [silver(name) for name in ENTITIES]
    made = gold()
    loaded = warehouse(made)
    chain(cleaned, made, loaded, views(), trim(), reconcile())
    # Tables without a contract of ours: nothing needs them, and they hold up nothing.
    chain(loaded, derived())


def silver(name: str) -> "XComArg":
    """Return the label of a task that is mapped over tables, which run in parallel."""

    @task(task_id=f"silver_{name}", outlets=[SILVER[name]])
    @step
    def clean() -> dict[str, Any]:
        """Validate new changes of one table; merge them into silver or quarantine them."""
        from batch.pipeline_run import PipelineRun
        from batch.runs.tables import details_of, note_results, offsets_of, result_of_silver

        with recording("consolidation") as run, PipelineRun.of_task(tell) as steps:
            (report,) = steps.silver([name])
            note_results(run, [result_of_silver(report)])
            run.note(scope=offsets_of([report]), details=details_of([report]))
        for unknown in report.unknown:
            warn(unknown.message())
        row = asdict(result_of_silver(report))
        log_table([row])
        publish(SILVER[name], row)
        return row

    return clean()


@task(outlets=[GOLD])
@step
def gold() -> dict[str, Any]:
    """Compute all gold tables from the same versions of silver."""
    from batch.pipeline_run import PipelineRun
    from batch.runs.tables import note_results, result_of_gold

    with recording("consolidation") as run, PipelineRun.of_task(tell) as steps:
        reports, versions = steps.gold()
        done = [result_of_gold(one) for one in reports]
        note_results(run, done, is_first=False)
    rows = [asdict(row) for row in done]
    log_table(rows)
    publish(GOLD, {"tables": rows})
    return {"tables": rows, "silver_versions": versions}


@task(task_id="warehouse_in_one_transaction")
@step
def warehouse(made: dict[str, Any]) -> dict[str, Any]:
    """Load dimensions, facts and aggregates, run checks and publish, in one transaction."""
    from batch.pipeline_run import PipelineRun
    from batch.runs.tables import note_results, results_of_warehouse

    started = monotonic()
    with recording("consolidation") as run, PipelineRun.of_task(tell) as steps:
        report = steps.load_versions(made["silver_versions"])
        done = results_of_warehouse(report, monotonic() - started)
        note_results(run, done, is_first=False)
    rows = [asdict(row) for row in done]
    parts = [{"part": name, "seconds": seconds} for name, seconds in report.parts]
    checks = [
        {"check": one.name, "severity": one.severity, "offending_rows": one.offending_rows}
        for one in report.checks
    ]
    for metrics in (rows, parts, checks):
        log_table(metrics)
    return {"tables": rows, "parts": parts, "checks": checks}


@task(outlets=[MART])
@step
def views() -> list[str]:
    """Refresh the materialized views, which completes the asset `mart`."""
    from batch.pipeline_run import PipelineRun

    with recording("consolidation"), PipelineRun.of_task(tell) as steps:
        refreshed = steps.views()
        steps.measure()
    publish(MART, {"views": refreshed})
    return refreshed


@task
@step
def trim() -> dict[str, Any]:
    """Delete rows of the live schema that the warehouse has loaded by now."""
    from batch.pipeline_run import PipelineRun

    with recording("consolidation"), PipelineRun.of_task(tell) as steps:
        metrics = {"trimmed": steps.trim()}
    log_table([metrics])
    return metrics


@task(trigger_rule="all_done")
@step
def derived() -> list[dict[str, Any]]:
    """Bring all other tables of the shop up to date in silver, by contracts from its catalog."""
    from batch.pipeline_run import PipelineRun
    from batch.runs.tables import details_of, note_results, offsets_of, result_of_silver

    with recording("consolidation") as run, PipelineRun.of_task(tell) as steps:
        reports = steps.derived()
        done = [result_of_silver(one) for one in reports]
        note_results(run, done, is_first=False)
        run.note(scope=offsets_of(reports), details=details_of(reports))
    rows = [asdict(row) for row in done]
    log_table(rows)
    return rows


@task
@step
def reconcile() -> dict[str, Any]:
    """Compare the shop with bronze change by change, then each layer with the one below."""
    from batch.pipeline_run import PipelineRun

    with recording("consolidation") as run, PipelineRun.of_task(tell) as steps:
        report = steps.reconcile(run)
    layers = [
        {"layer": one.layer, "table": one.table, "rows": one.findings.rows, "note": one.note}
        for one in report.layers
    ]
    log_table(layers)
    return {"verdict": report.verdict(), "seconds": report.seconds, "layers": layers}


ecommerce_pipeline()
