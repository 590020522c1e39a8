"""A first load by Airflow whose tasks are given Spark, by BATCH_ENGINE."""

import re

import pytest

from stack.catalog import SPARK
from tests.integration.test_airflow import DAG, WAIT_SECONDS, client_of, end_of
from tests.stacks import free_ports, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def shop():
    """A shop of three days in bronze, workers of Spark, and an Airflow that has done nothing."""
    with tenant(
        LANDING_FLUSH_SECONDS=0.5,
        BATCH_ENGINE="spark",
        SPARK_MASTER=f"spark://127.0.0.1:{free_ports(1)[0]}",
        CONSOLIDATION_CHUNK_ROWS=500,  # a table of one batch is not for Spark
        STACK_START_TIMEOUT_SECONDS=300,
    ) as stack:
        stack.up()
        stack.run("simulate", "--history", 3, "--orders", 400, "--seed", 5, "--dirt", 5)
        settle(stack)
        stack.up(*SPARK)
        stack.run("up", "airflow-dags", "airflow-scheduler", timeout=WAIT_SECONDS)
        yield stack
        for name in reversed(SPARK):
            stack.stop(name)


def programs_on(stack):
    """Ids of all that has run on the master."""
    told = stack.run("logs", SPARK[0], "-n", 10_000).stdout
    return set(re.findall(r"Registered app .* with ID (\S+)", told))


def test_a_first_load_runs_on_spark(shop):
    with client_of(shop) as client:
        client.log_in()
        # Its last task, which compares all layers, fails where they are not exact.
        assert end_of(client, client.trigger(DAG)).state == "success"
    # Tables of more than one batch, gold, and the comparison.
    assert len(programs_on(shop)) >= 4
