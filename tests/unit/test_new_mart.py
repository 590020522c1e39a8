"""`./pipeline new mart`: the folder of a fact, from the contract of its entity."""

import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from batch.warehouse import marts, scripts
from batch.warehouse.marts import mart
from batch.warehouse.skeleton import fact_of, new_fact
from cli.__main__ import app
from lakehouse.contracts import ENTITIES, Column, Type
from lakehouse.errors import WrongArgumentError
from lakehouse.settings import ROOT
from tests.unit.test_mart_declarations import folder

__all__ = ["folder"]
WITH_DAYS = ("stock_movements", "orders", "order_lines", "payments", "returns", "interactions")


def test_declaration_is_read_and_compares_all_columns(folder):
    done = CliRunner().invoke(app, ["new", "mart", "fact_visits", "--entity", "interactions"])
    assert (done.exit_code, done.output.count("written")) == (0, 3), done.output
    marts._read.cache_clear()
    (fact,) = (one for one in mart().facts if one.name == "fact_visits")
    assert fact.versions == {"dim_customers": "occurred_at", "dim_products": "occurred_at"}
    assert fact.references == {"dim_dates", "dim_customers", "dim_products"}
    names = set(ENTITIES["interactions"].names) - {"occurred_date", "occurred_month"}
    assert {*fact.reconcile.keys, *fact.reconcile.values} == names | {"date_key"}
    load = (folder.parent / "fact_visits" / "load.sql").read_text()
    assert "when e.customer_id is null then -2" in load
    assert "as of occurred_at" in fact.columns["product_key"].meaning


def test_member_that_each_row_has_is_never_none():
    load = fact_of("fact_x", ENTITIES["order_lines"], mart().dimensions).files["load.sql"]
    assert "coalesce(product.product_key, -1) as product_key" in load
    assert "-2" not in load


def test_dimension_does_not_refer_to_itself():
    assert [one.key for one in fact_of("fact_x", ENTITIES["orders"], mart().dimensions).references]
    own = replace(ENTITIES["customers"], derived=ENTITIES["orders"].derived[:0])
    with pytest.raises(WrongArgumentError, match="customers has no day that every row has"):
        fact_of("fact_x", own, mart().dimensions)


@pytest.mark.parametrize(
    ("name", "entity", "said"),
    [
        ("visits", "interactions", "'visits' cannot be the name of a fact. Begin it with fact_"),
        ("fact_Visits", "interactions", "cannot be the name of a fact"),
        ("fact_returns", "returns", "fact_returns exists. Edit its files"),
        ("fact_visits", "interaction", r"has no contract .* Did you mean interactions\?"),
        ("fact_stock", "suppliers", r"suppliers has no day that every row has\. Add one"),
    ],
)
def test_what_is_taken_or_impossible_is_refused(name, entity, said):
    with pytest.raises(WrongArgumentError, match=said):
        new_fact(name, entity)
    assert not (scripts.FOLDER / "mart" / name).exists() or name == "fact_returns"


def test_sql_passes_the_linter_reserved_words_and_long_texts_as_well(tmp_path):
    columns = [
        Column(name=name, type=Type.TEXT, description=f"Column {name}: " + "long " * 30)
        for name in ("order", "default", "desc", "condition", "a_rather_long_name_of_a_column")
    ]
    entity = ENTITIES["interactions"]
    wide = replace(entity, columns=(*entity.columns, *columns), grain="one row, " * 20)
    for name, text in fact_of("fact_wide", wide, mart().dimensions).files.items():
        (tmp_path / name).write_text(text)
        assert max(map(len, text.splitlines())) <= 100
    done = subprocess.run(
        [sys.executable, "-m", "sqlfluff", "lint", "--processes", "1", "--config",
         ROOT / "pyproject.toml", tmp_path],
        check=False, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
