"""The data model's document says what the warehouse and the contracts say."""

import pytest

from batch.data_model import data_model, read_catalogue
from lakehouse.postgres import warehouse_dsn
from lakehouse.settings import ROOT

pytestmark = pytest.mark.integration


def test_data_model_is_up_to_date(stack):
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="batch")
    written = (ROOT / "docs" / "DATA_MODEL.md").read_text(encoding="utf-8")
    assert written == data_model(read_catalogue(dsn)), "run ./pipeline docs"


def test_every_table_and_column_of_the_warehouse_is_explained(stack):
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="batch")
    rows = read_catalogue(dsn)
    assert {row.schema_name for row in rows} == {"entity", "mart", "etl"}
    unexplained = [r for r in rows if not r.table_comment or not r.column_comment]
    assert not unexplained
