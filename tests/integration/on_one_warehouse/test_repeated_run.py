"""A task of an old run that is cleared in Airflow: silver's versions of then may be gone by now."""

from pathlib import Path

import pytest

from batch.pipeline_run import PipelineRun
from batch.silver.run import chosen_entities, consolidate_silver
from tests.unit.bronze_maker import RULES, customers, new_lake
from tests.warehouse import LIMIT

pytestmark = pytest.mark.integration
SILVER = ("enriched_users", "users_history", "rule_counts")
COUNTRIES = "select customer_id, city from entity.customers order by 1"


@pytest.fixture
def told():
    return []


@pytest.fixture
def pipeline(warehouse, tmp_path, told):
    return PipelineRun(
        lake=new_lake(tmp_path), rules=RULES, limit=LIMIT, warehouse=warehouse.dsn,
        on_progress=told.append,
    )  # fmt: skip


@pytest.fixture
def versions(pipeline):
    """Of a run some time ago; silver has gone on since."""
    source = customers(pipeline.lake)
    chosen = chosen_entities(["customers"])

    def run(*cities):
        for key, city in enumerate(cities, start=1):
            source.change(key, "c" if key not in source.rows else "u", city=city)
        source.land()
        consolidate_silver(pipeline.lake, RULES, chosen)
        return pipeline.pin().versions

    then = run("Lille", "Lyon")
    run("Paris", "Nice")
    run("Rouen", "Reims")
    return then


def newest(pipeline):
    return pipeline.pin().versions


def vacuum(pipeline):
    """As the nightly maintenance does after the retention: files that no newer version has."""
    for name in SILVER:
        table = pipeline.lake.open("silver", name)
        table.optimize.compact()
        table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)


def end_logs(pipeline):
    """And then the log's entries themselves."""
    vacuum(pipeline)
    for name in SILVER:
        table = pipeline.lake.open("silver", name)
        table.create_checkpoint()
        for entry in Path(pipeline.lake.uri("silver", name), "_delta_log").glob("0*.json"):
            if int(entry.stem) < table.version():
                entry.unlink()


@pytest.mark.parametrize("clean", [vacuum, end_logs], ids=["files", "log"])
def test_versions_that_are_gone_mean_loading_what_there_is_now(
    clean, pipeline, versions, warehouse, told
):
    clean(pipeline)
    report = pipeline.load_versions(versions)
    assert report.tables
    assert warehouse.query(COUNTRIES) == [(1, "Rouen"), (2, "Reims")]
    assert any("newest versions" in text for text in told)
    assert not any("MinIO" in text or "does not answer" in text for text in told)


@pytest.mark.parametrize("clean", [vacuum, end_logs], ids=["files", "log"])
def test_warehouse_that_is_further_stays_as_it_is_and_that_is_said(
    clean, pipeline, versions, warehouse, told
):
    pipeline.load_versions(newest(pipeline))
    clean(pipeline)
    report = pipeline.load_versions(versions)
    assert not report.rows_changed
    assert warehouse.query(COUNTRIES) == [(1, "Rouen"), (2, "Reims")]
    assert any("Newer versions are already loaded" in text for text in told)


def test_versions_that_are_there_are_those_that_are_loaded(pipeline, versions, warehouse):
    pipeline.load_versions(versions)
    assert warehouse.query(COUNTRIES) == [(1, "Lille"), (2, "Lyon")]
    pipeline.load_versions(newest(pipeline))
    assert warehouse.query(COUNTRIES) == [(1, "Rouen"), (2, "Reims")]
