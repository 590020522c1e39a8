"""`./pipeline new mapping`: a mapping to begin with, from the shop's catalog."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.__main__ import app
from connectors import shop_catalog
from connectors.mapping import faults_of
from connectors.mapping_skeleton import skeleton
from lakehouse.contracts import DECLARED
from lakehouse.contracts.described import HEADING, columns_document, need
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.settings import ROOT
from tests.unit.foreign_maker import catalog_row
from tests.unit.other_shop import read_text

_COLUMNS = {
    "purchase": {
        "id": "uuid", "customer_id": "int8", "Status, now": "text", "total_cents": "int8",
        "tax_cents": "numeric", "subtotal_cents": "text", "placed_at": "timestamp",
        "paid_at": "timestamptz", "currency": "bpchar", "version": "int4",
    },
    "item": {"order_id": "uuid", "line": "int4", "yes": "int4"},
    "article": {"id": "int4", "name": "text", "is_active": "bool", "category": "text"},
}  # fmt: skip
_KEYS = {"purchase": ["id"], "item": ["order_id", "line"], "article": ["id"]}
CATALOG = {
    table: [
        catalog_row(
            table, name, kind,
            key=_KEYS[table].index(name) + 1 if name in _KEYS[table] else None,
        )
        for name, kind in columns.items()
    ]
    for table, columns in _COLUMNS.items()
}  # fmt: skip
_CHOSEN = {"orders": "purchase", "order_lines": "item", "products": "article"}


def _left(folder: Path, text: str) -> list[str]:
    """What is told of a mapping, without file and line."""
    try:
        read_text(folder, text)
    except StopPipelineError as error:
        return [line.partition("mapping.yaml:")[2] for line in str(error).split("\n")]
    return []


def test_columns_of_the_same_name_are_filled_in_where_they_can_be_read():
    found = yaml.safe_load(skeleton(_CHOSEN, CATALOG))
    orders = found["orders"]
    assert (orders["table"], orders["key"]) == ("purchase", "text")
    given = {name: value for name, value in orders["columns"].items() if value is not None}
    assert given == {
        "order_id": "id", "total_cents": {"minor": "total_cents"}, "tax_cents": "tax_cents",
        "placed_at": {"local_time": "placed_at"}, "paid_at": "paid_at", "currency": "currency",
        "customer_id": "customer_id", "version": "version",
    }  # fmt: skip
    assert found["order_lines"]["columns"]["order_id"] == "order_id"
    assert found["order_lines"]["key"] == "integer"
    assert found["products"]["columns"]["product_id"] == "id"
    assert "orders" not in found["absent"]
    assert "customers" in found["absent"]


def test_what_is_filled_in_fits_the_catalog(tmp_path):
    text = skeleton(_CHOSEN, CATALOG).replace("# time_zone", "time_zone")
    # A constant of its type in each of the other lines.
    for line in text.split("\n"):
        if found := re.fullmatch(r"    (\w+):  # required: (.*)", line):
            one_of = re.match(r"one of ([^,.]+)", found[2])
            constant = repr(one_of[1]) if one_of else "1"
            constant = "true" if found[2].startswith("true") else constant
            constant = "DE" if found[2].startswith("a country") else constant
            value = "placed_at" if found[2].startswith("an instant") else ""
            if found[1] == "order_line_id":
                given = "line"
            else:
                given = f"{{local_time: {value}}}" if value else f"{{constant: {constant}}}"
            text = text.replace(line, f"    {found[1]}: {given}  # ", 1)
    assert _left(tmp_path, text) == []
    faults = [str(one) for one in faults_of(read_text(tmp_path, text), CATALOG, {})]
    # The test's own: a line is known by two columns, and items and articles have no `placed_at`.
    assert [one for one in faults if "no column 'placed_at'" not in one] == [
        "rows of item are identified by order_id, line, not by line alone"
    ]


@pytest.mark.parametrize("chosen", [{}, _CHOSEN], ids=["no tables", "tables"])
def test_each_line_that_is_left_is_told_with_what_it_needs(tmp_path, chosen):
    text = skeleton(chosen, CATALOG).replace("# time_zone", "time_zone")
    left = _left(tmp_path, text)
    blank = [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if re.match(r"    \w+:  # |  table:$", line)
    ]
    assert len(blank) > 20
    told = [int(one) for line in left for one in re.findall(r"^\d+|(?<=line )\d+", line)]
    assert sorted(told) == blank
    assert all("is given" in line for line in left)


def test_all_columns_of_all_entities_are_in_it_and_the_tables_of_the_shop():
    text = skeleton(_CHOSEN, CATALOG)
    for name, entity in DECLARED.items():
        block = text.partition(f"\n{name}:" if name in _CHOSEN else f"# {name}:")[2]
        for column in entity.columns:
            assert re.search(rf"{column.name}:.*# {need(column)}", block), (name, column.name)
    assert '#   item: order_id uuid (key), line int4 (key), "yes" int4' in text
    assert '"Status, now" text' in text
    assert max(map(len, text.partition("absent:")[0].split("\n"))) < 100


def test_unknown_entities_and_tables_are_refused():
    with pytest.raises(WrongArgumentError, match=r"no entity 'order'\. Did you mean orders"):
        skeleton({"order": "purchase"}, CATALOG)
    with pytest.raises(WrongArgumentError, match=r"no table of the shop 'purchas'\. Did you mean"):
        skeleton({"orders": "purchas"}, CATALOG)


def test_command_writes_it_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRACTS_DIR", str(tmp_path / "contracts"))
    asked = []
    monkeypatch.setattr(shop_catalog, "catalog_of", lambda dsn: asked.append(dsn) or CATALOG)
    command = ["new", "mapping", "orders=purchase", "--source", "postgresql://db.example/shop"]
    done = CliRunner().invoke(app, command)
    path = tmp_path / "contracts" / "mapping.yaml"
    written, told = done.stdout.split("\n", 1)
    assert (done.exit_code, written) == (0, f"{path} written")
    assert "all commands that read the contracts refuse it, and so does the hourly run" in told
    assert asked == ["postgresql://db.example/shop"]
    assert yaml.safe_load(path.read_text())["orders"]["table"] == "purchase"
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, WrongArgumentError)
    assert f"{path} exists" in str(again.exception)
    path.unlink()
    wrong = CliRunner().invoke(app, ["new", "mapping", "orders"])
    assert "orders names no table. Write orders=TABLE." in str(wrong.exception)
    twice = CliRunner().invoke(app, ["new", "mapping", "orders=a", "products=b", "orders=c"])
    assert "orders is given twice. Write orders=a or orders=c." in str(twice.exception)


def test_list_of_columns_is_current():
    written = (ROOT / "docs" / "MAPPING.md").read_text(encoding="utf-8")
    assert HEADING + written.partition(HEADING)[2] == columns_document(DECLARED), (
        "Run ./pipeline docs."
    )
