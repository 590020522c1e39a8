"""What `consolidate` tells people besides rows: which checks have warned."""

from types import SimpleNamespace

import pytest

from batch import pipeline_run
from batch.pipeline_run import PipelineRun, consolidate
from batch.warehouse.checks import CheckResult
from batch.warehouse.report import WarehouseReport
from cli.consolidate import show_done
from lakehouse.layers import Layer
from tests.unit.bronze_maker import RULES


def result(name, rows):
    examples = ({"order_line_id": 7, "order_id": 1},) if rows else ()
    file = f"warehouse_sql/mart/{name}/checks.sql"
    return CheckResult(
        name=name, severity="warn", offending_rows=rows, examples=examples, file=file
    )


@pytest.fixture
def done(monkeypatch):
    checks = (result("lines_have_orders", 1200), result("members_are_known", 0))
    monkeypatch.setattr(
        pipeline_run, "load_warehouse", lambda *_, **__: WarehouseReport(checks=checks)
    )
    monkeypatch.setattr(pipeline_run, "silver_sources", lambda *_, **__: {"cleaned_sales": None})
    for name in ("refresh_views", "measure_lake"):
        monkeypatch.setattr(pipeline_run, name, lambda *_, **__: None)
    lake = SimpleNamespace(uri=None, options=None)
    run = PipelineRun(lake=lake, rules=RULES, limit=None, warehouse="")
    return consolidate(run, [Layer.WAREHOUSE])


def test_check_that_warned_is_told_with_an_example_and_where_it_is_explained(done, capsys):
    show_done(done, 1.0)
    told = " ".join(capsys.readouterr().out.split())
    assert "Warning of check lines_have_orders: 1,200 rows, e.g." in told
    assert '{"order_line_id": 7, "order_id": 1}' in told
    assert "See warehouse_sql/mart/lines_have_orders/checks.sql" in told
    assert "members_are_known" not in told
