"""The shop of another design, of `examples/other_shop`, through the whole demo to exact layers."""

import subprocess
from contextlib import contextmanager

import psycopg
import pytest

from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.settings import ROOT
from tests.stacks import new_stack

pytestmark = pytest.mark.integration
FOLDER = ROOT / "examples" / "other_shop"
SOLD = "select count(*), sum(p.total_minor) from purchase as p where p.state <> 6"
LOADED = """
select count(distinct f.order_id), sum(f.total_cents)
from mart.fact_transactions as f
where f.counts"""


@contextmanager
def demonstrated(*options):
    with new_stack() as stack:
        command = stack.popen(
            "demo", "--source", FOLDER, "--no-airflow", "--no-superset", "--history", 2,
            "--minutes", 0.5, "--orders-per-second", 3, "--seed", 7, *options,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = command.communicate(timeout=540)
        yield stack, command.returncode, said


@pytest.mark.long
def test_demo_of_a_shop_of_another_design_ends_exact():
    with demonstrated() as (stack, status, said):
        assert status == 0, said[-6000:]
        with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="reconcile")) as shop:
            sold = shop.execute(SOLD).fetchone()
        with psycopg.connect(warehouse_dsn(stack.warehouse, stack.secrets, role="batch")) as mart:
            assert mart.execute(LOADED).fetchone() == sold
            live = mart.execute("select count(distinct s.order_id) from mart.live_sales as s")
            assert live.fetchone()[0] >= sold[0] > 400
