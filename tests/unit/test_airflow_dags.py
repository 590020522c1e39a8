"""The DAG files, read by Airflow itself: complete, quick to read; and which errors it retries."""

import json
import subprocess

import pytest

from lakehouse.contracts import ENTITIES
from lakehouse.environment import process_environment
from lakehouse.settings import ROOT, StackSettings, default_uv
from replay.bronze import _COMPACTION_SECONDS, _LEASE_SECONDS
from stack.cache import ensure
from stack.environment import install_environment
from stack.paths import LOCKS, Cache
from stack.tools import Tools

SCHEDULES = {"ecommerce_pipeline": "@hourly", "lake_maintenance": "30 3 * * *",
             "recommendations": "30 4 * * *", "forecast": "45 4 * * *"}  # fmt: skip
BY_HAND = ("extract", "replay")
SILVER = {f"silver_{name}" for name in ENTITIES}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What Airflow says of the DAG files."""
    cache = Cache(root=StackSettings().cache_dir)
    lock = LOCKS / "airflow.txt"
    ensure(
        cache.airflow, lambda _, result: install_environment(Tools(), default_uv(), lock, result)
    )
    home = tmp_path_factory.mktemp("airflow")
    result = subprocess.run(
        [cache.airflow / "bin" / "python", "-P", ROOT / "tests/unit/airflow_report.py", "dags"],
        env=process_environment() | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_every_dag_can_be_read(found):
    assert found["errors"] == {}
    assert set(found["dags"]) == {*SCHEDULES, *BY_HAND}


def test_tasks_of_the_hourly_run_compute_where_the_environment_says(found):
    tasks = ("silver_orders", "gold", "derived", "reconcile")
    where = {"spark": "yarn", "local": "here"}
    assert found["clusters"] == {
        f"{name} {engine}": place for engine, place in where.items() for name in tasks
    }


def test_reading_them_imports_nothing_heavy(found):
    assert found["heavy"] == []


def test_what_tasks_are_forked_from_starts_no_pool_of_threads(found):
    """A fork has none of its parent's threads, and would wait for them for ever."""
    assert found["working"] == []


def test_every_dag_says_whose_it_is_and_what_it_does(found):
    for dag in found["dags"].values():
        assert dag["doc"]
        assert dag["description"]
        assert "shop" in dag["tags"]
        for task in dag["tasks"].values():
            assert task["owner"] == "shop"
            assert task["doc"]


def test_dags_are_active_never_catch_up_and_never_overlap(found):
    for dag in found["dags"].values():
        assert dag["is_paused"] is False
        assert dag["catchup"] is False
        assert dag["max_active_runs"] == 1
        assert dag["is_late_after"] == [1800]
        for task in dag["tasks"].values():
            assert task["retries"] > 0
            assert task["backs_off"]
            assert task["is_stopped_after"] in (6 * 3600, 12 * 3600)
            assert task["tells"] == 1
    schedules = {name: dag["schedule"] for name, dag in found["dags"].items()}
    assert schedules == {**SCHEDULES, **dict.fromkeys(BY_HAND, "None")}


def test_replay_into_bronze_is_tried_until_the_lease_of_a_machine_that_is_gone_has_expired(found):
    """Only that machine has the note by which a replay takes over its own lease."""
    task = found["dags"]["replay"]["tasks"]["apply_again"]
    first, longest = task["pauses"]
    pauses = sum(min(first * 2**number, longest) for number in range(task["retries"]))
    assert pauses + (task["retries"] + 1) * _COMPACTION_SECONDS > _LEASE_SECONDS


def test_forms_star_only_what_has_to_be_filled_in(found):
    """Airflow stars each field whose type excludes null."""
    for name in BY_HAND:
        for field, schema in found["dags"][name]["params"].items():
            assert "type" not in schema or "null" in schema["type"], field


def test_form_of_a_replay_changes_nothing_unless_told_to(found):
    params = found["dags"]["replay"]["params"]
    assert params["dry_run"]["value"] is True
    assert not params["entities"]["value"]
    assert params["all_tables"]["value"] is False


def test_form_of_a_replay_refuses_what_makes_no_sense(found):
    params = found["dags"]["replay"]["params"]
    assert params["into"]["enum"] == ["bronze", "silver", "gold", "warehouse", "live"]
    assert params["from_offsets"]["items"]["pattern"] == "^[0-9]+:[0-9]+$"
    tasks = found["dags"]["replay"]["tasks"]
    assert tasks["resolve_range"]["downstream"] == ["apply_again"]


def test_hourly_run_goes_layer_by_layer_and_silver_side_by_side(found):
    tasks = found["dags"]["ecommerce_pipeline"]["tasks"]
    for name in SILVER:
        assert not any(name in task["downstream"] for task in tasks.values())
        assert "gold" in tasks[name]["downstream"]
    assert "warehouse_in_one_transaction" in tasks["gold"]["downstream"]
    assert tasks["warehouse_in_one_transaction"]["downstream"] == ["derived", "views"]
    assert tasks["views"]["downstream"] == ["trim"]
    assert tasks["trim"]["downstream"] == ["reconcile"]


def test_other_dags_can_be_triggered_by_each_layer(found):
    tasks = found["dags"]["ecommerce_pipeline"]["tasks"]
    assets = {asset for task in tasks.values() for asset in task["assets"]}
    assert assets == {"gold", "mart", *(f"silver.{entity.silver}" for entity in ENTITIES.values())}


def test_only_what_may_succeed_later_is_tried_again(found):
    assert found["raised"] == [
        ["RetryLaterError", "RetryLaterError", "do this"],
        ["BusyError", "BusyError", "do this"],
        ["StopPipelineError", "AirflowFailException", "do this"],
        ["OSError", "AirflowFailException", "do this"],
    ]


def test_form_of_an_extraction_says_how_many_deletes_it_may_write(found):
    allowed = found["dags"]["extract"]["params"]["allow_deletes"]
    assert (allowed["type"], allowed["minimum"]) == (["null", "integer"], 0)
    whole = ["extract", "orders", "--full"]
    *runs, refused = found["commands"]
    assert runs == [
        whole, [*whole, "--allow-deletes", "0"], [*whole, "--allow-deletes", "866"],
    ]  # fmt: skip
    assert "Only a full extraction writes deletes" in refused


def test_extraction_that_was_stopped_is_not_begun_again(found):
    raised, words, begun = found["stopped"]
    assert raised == "AirflowFailException"
    assert "orders (stopped), payments (SQL_EXCEPTION). Rows" in words
    assert begun == [["extract", "orders", "payments", "products", "--full"]]
