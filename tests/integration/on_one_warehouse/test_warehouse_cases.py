"""The warehouse's SQL by cases: rows of silver in, rows of the warehouse out.

A case is a folder of `warehouse_cases/<table>/`. `1.yaml`, `2.yaml`, … are loads, each with rows by
table of the schema `entity` (columns that a row does not name get a value that fits). `expect.yaml`
has, by table, all rows that are to be there, with the columns that the case is about.
"""

from datetime import date, datetime
from pathlib import Path

import pytest
import yaml

from batch.warehouse.views import refresh_views
from tests.warehouse import MemorySilver, load_warehouse, rebuild_warehouse

pytestmark = pytest.mark.integration

CASES = Path(__file__).with_name("warehouse_cases")


def _cases():
    for folder in sorted(CASES.glob("*/*/")):
        yield pytest.param(folder, id=f"{folder.parent.name}-{folder.name}")


def as_json(value):
    return value.isoformat() if isinstance(value, date | datetime) else value


def assert_as_expected(warehouse, expected):
    refresh_views(warehouse.dsn)
    for table, rows in expected.items():
        wanted = [{name: as_json(value) for name, value in row.items()} for row in rows]
        found = warehouse.rows(table, list(wanted[0]) if wanted else None)
        assert sorted(found, key=str) == sorted(wanted, key=str), table


@pytest.mark.parametrize("folder", list(_cases()))
def test_case(folder, warehouse):
    silver = MemorySilver()
    for step in sorted(folder.glob("[0-9].yaml")):
        silver.commit(**yaml.safe_load(step.read_text()))
        load_warehouse(warehouse.dsn, silver)
    expected = yaml.safe_load((folder / "expect.yaml").read_text())
    assert_as_expected(warehouse, expected)
    before = warehouse.contents()
    rebuild_warehouse(warehouse.dsn, silver)
    assert warehouse.contents() == before
