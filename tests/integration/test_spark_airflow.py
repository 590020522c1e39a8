"""The hourly run and a replay in a real Airflow with BATCH_ENGINE=spark, on a master of Spark."""

import pytest

from stack.airflow.client import AirflowClient
from stack.catalog import SPARK
from tests.stacks import free_ports, new_stack, settle

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(3600)]
DAG = "ecommerce_pipeline"
WAIT_SECONDS = 1800
BATCH = 1000
"""Changes of a batch: only the larger tables have more, and are for Spark."""


@pytest.fixture(scope="module")
def shop():
    """A shop in bronze, Spark, and an Airflow that has not done anything yet."""
    with new_stack(
        BATCH_ENGINE="spark",
        SPARK_MASTER=f"spark://127.0.0.1:{free_ports(1)[0]}",
        CONSOLIDATION_CHUNK_ROWS=BATCH,
        LANDING_FLUSH_SECONDS=0.5,
        STACK_START_TIMEOUT_SECONDS=300,
    ) as stack:
        stack.up()
        stack.up(*SPARK)
        stack.run("simulate", "--history", 10, "--orders", 600, "--seed", 5, "--dirt", 5)
        settle(stack)
        stack.run("up", "airflow-dags", "airflow-scheduler", timeout=WAIT_SECONDS)
        yield stack


def logs(stack, task):
    """What the tries of a task have told."""
    folder = stack.control.data.root
    found = folder.rglob(f"*task_id={task}/*.log")
    return "\n".join(path.read_text() for path in sorted(found))


def run(stack, airflow, dag, **form):
    *_, last = airflow.follow(dag, airflow.trigger(dag, **form), timeout_seconds=WAIT_SECONDS)
    assert last.state == "success", (last, logs(stack, "*"))
    return last


def test_tasks_of_airflow_load_silver_and_gold_on_spark_and_replay_there(shop):
    login = {"user": "admin", "password": shop.secrets["airflow_admin"]}
    with AirflowClient(shop.config.airflow, **login) as airflow:
        airflow.log_in()
        run(shop, airflow, DAG)  # its last task is the reconciliation
        assert "batches on Spark" in logs(shop, "silver_order_lines")
        assert "months of gold on Spark" in logs(shop, "gold")
        form = {"into": "silver", "entities": ["order_lines"], "dry_run": False}
        last = run(shop, airflow, "replay", **form)
        assert "order_lines: on Spark" in logs(shop, "apply_again")
        found = airflow.xcom("replay", last.run, "apply_again")
        assert all(one["is_equal"] for one in found["tables"])
