"""A mapping: read, refused with file and line, and computed for rows of a foreign shop."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumers.live.changes import ChangeReader
from lakehouse.cleaning.expressed import text_of
from lakehouse.cleaning.one_by_one import reads
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.typed import Calendar
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts.bronze import bronze_name
from lakehouse.contracts.declared import read_contracts
from lakehouse.contracts.expressions import Reader
from lakehouse.contracts.files import read_files
from lakehouse.contracts.mapping import MappedEntity, mapping_path, with_mapping
from lakehouse.contracts.model import PLACEHOLDER, Column, Type
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.settings import ROOT, ContractSettings
from tests.unit.other_shop import MAPPING, read_text, without

_CENTS = Column(name="amount", type=Type.CENTS, description="")
_INSTANT = Column(name="at", type=Type.TIMESTAMP, description="")
_ZONE = "Europe/Berlin"
_ID = "0f8e8f3c-aaaa-4bbb-8ccc-000000000001"
_PURCHASE = {
    "id": _ID, "state": 2, "currency_code": None, "total_minor": 1190, "tax_minor": 190,
    "postcode": "10115", "town": "Berlin", "country_code": "de",
    "ordered_on": 1_761_000_000_000_000, "note": "ring twice",
}  # fmt: skip
_EPOCH, _EARLY, _LATE = (datetime(year, 1, 1) for year in (1970, 1980, 2037))  # noqa: DTZ001
_TWICE, _SKIPPED = datetime(2025, 10, 26, 2, 30), datetime(2025, 3, 30, 2, 30)  # noqa: DTZ001
_COMMITTED = 1_764_000_000_000_000

_ASK = """
import json
from consumers.live.changes import PROMPT
from consumers.live.service import change_readers
from lakehouse.contracts.bronze import RAW_NAMES, entity_name
from lakehouse.settings import ShopSettings
tables = [one.entity.shop_table for one in change_readers(ShopSettings()).values()]
names = {table: entity_name(table) for table in ("purchase", "orders", "note")}
print(json.dumps({"names": names, "bronze": RAW_NAMES, "live": tables, "sale": sorted(PROMPT)}))
"""


@pytest.fixture
def orders(tmp_path: Path) -> MappedEntity:
    entity = read_text(tmp_path).entities["orders"]
    assert isinstance(entity, MappedEntity)
    return entity


def _records(*rows: tuple[str, dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "key": json.dumps({"id": row["id"]}).encode(),
                "value": json.dumps({
                    "before": row if op == "d" else None,
                    "after": None if op == "d" else row,
                    "op": op,
                    "source": {"lsn": number, "txId": number, "ts_us": _COMMITTED},
                }).encode(),
                "_topic_id": "t", "_epoch": 0, "_partition": 0, "_offset": number,
            }
            for number, (op, row) in enumerate(rows)
        ]
    )  # fmt: skip


def _validated(entity: MappedEntity, *rows: tuple[str, dict[str, object]]) -> pl.DataFrame:
    validator = Validator(entity=entity, calendar=Calendar(time_zone=_ZONE))
    records = _records(*rows)
    return validator.validate(records, lambda _keys: records)


def _text(expression: object, target: Column, **cells: str | None) -> str | None:
    read = Reader(time_zone=_ZONE).read(expression, target, ("here",))
    frame = pl.DataFrame({name: [cell] for name, cell in cells.items()} | {"at": [_COMMITTED]})
    schema = dict.fromkeys(cells, pl.String)
    found = frame.cast(schema).select(text_of(read, pl.col, pl.col("at")))  # type: ignore[arg-type]
    text: str | None = found.item()
    return text


def test_a_change_of_a_foreign_table_becomes_a_valid_order(orders: MappedEntity) -> None:
    row = _validated(orders, ("c", _PURCHASE)).to_dicts()[0]
    assert row[BROKEN] is None
    assert (row["order_id"], row["status"], row["currency"]) == (_ID, "paid", "EUR")
    assert [row[f"{name}_cents"] for name in ("subtotal", "tax", "total")] == [1000, 190, 1190]
    assert (row["ship_city"], row["ship_country"]) == ("10115 Berlin", "DE")
    assert row["placed_at"] == datetime(2025, 10, 20, 20, 40, tzinfo=UTC)
    assert row["updated_at"] == row["_committed_at"]
    assert (row["exchange_rate_e8"], row["version"], row["coupon_code"]) == (10**8, 1, None)
    assert row["_extra"] == '{"note":"ring twice"}'


def test_a_delete_has_its_key_and_no_constants(orders: MappedEntity) -> None:
    row = _validated(orders, ("d", {"id": _ID})).to_dicts()[0]
    assert row[BROKEN] is None
    assert {row[name] for name in orders.names} == {_ID, None}


def test_a_status_without_a_value_is_quarantined(orders: MappedEntity) -> None:
    row = _validated(orders, ("u", {**_PURCHASE, "state": 9})).to_dicts()[0]
    assert (row[BROKEN], row["raw:status"]) == ("status_unknown", "9")


def test_a_value_that_is_no_amount_is_quarantined(orders: MappedEntity) -> None:
    row = _validated(orders, ("c", {**_PURCHASE, "tax_minor": "much"})).to_dicts()[0]
    assert row[BROKEN].split(",")[0] == "subtotal_cents_unreadable"


def test_a_large_value_that_did_not_change_is_filled_before_it_is_computed(
    orders: MappedEntity,
) -> None:
    later = {**_PURCHASE, "town": PLACEHOLDER, "state": 3}
    found = _validated(orders, ("c", _PURCHASE), ("u", later))
    assert found["ship_city"].to_list() == ["10115 Berlin"] * 2


def test_live_reads_a_mapped_table_as_silver_does(orders: MappedEntity) -> None:
    assert not reads(orders)
    reader = ChangeReader(validator=Validator(entity=orders, calendar=Calendar(time_zone=_ZONE)))
    records = _records(("c", _PURCHASE), ("u", {**_PURCHASE, "state": 9}))
    missing = [name for name in BRONZE_SCHEMA.names if name not in records.columns]
    whole = records.with_columns(pl.lit(None).alias(name) for name in missing)
    rows = reader.read(whole.to_arrow())
    place = reader.columns.index
    assert [(row[place("order_id")], row[place("total_cents")]) for row in rows.current] == [
        (_ID, 1190)
    ]
    assert rows.quarantined == 1


def test_a_line_holds_the_price_including_tax(tmp_path: Path) -> None:
    lines = read_text(tmp_path).entities["order_lines"]
    item = {
        "id": "l1", "purchase_id": _ID, "position": 1, "article_number": 7, "pieces": 3,
        "gross_minor": 999, "vat_percent": "19.00", "created_on": 1_761_000_000_000_000,
    }  # fmt: skip
    assert isinstance(lines, MappedEntity)
    row = _validated(lines, ("c", item)).to_dicts()[0]
    assert (row[BROKEN], row["unit_price_cents"], row["line_total_cents"]) == (None, 839, 2517)
    assert row["order_id"] == _ID


@settings(max_examples=60, deadline=None)
@given(
    gross=st.integers(0, 10**12 - 1),
    percent=st.decimals(0, 100, places=2, allow_nan=False, allow_infinity=False),
)
def test_net_and_tax_add_up_and_net_is_rounded_half_up(gross: int, percent: Decimal) -> None:
    cells = {"gross": str(gross), "percent": str(percent)}
    net, tax = (
        _text({part: {"minor": "gross"}, "tax_percent": "percent"}, _CENTS, **cells)
        for part in ("net", "tax")
    )
    assert net is not None
    assert tax is not None
    assert Decimal(net) + Decimal(tax) == Decimal(gross) / 100
    exact = Decimal(gross) / (1 + percent / 100) / 100
    assert Decimal(net) == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(0, 1_000_000))
def test_amounts_are_computed_exactly(one: int, other: int, pieces: int) -> None:
    cells = {"one": str(one), "other": str(other), "pieces": str(pieces)}
    parts = [{"minor": "one"}, {"minor": "other"}]
    found = {
        "sum": one + other,
        "difference": one - other,
    }
    for op, cents in found.items():
        assert Decimal(_text({op: parts}, _CENTS, **cells) or "") * 100 == cents
    product = _text({"product": ["pieces", {"minor": "one"}]}, _CENTS, **cells)
    assert Decimal(product or "") * 100 == one * pieces
    units = _text({"major": "one"}, _CENTS, **cells)
    assert Decimal(units or "") == one


@example(_TWICE, _ZONE)
@example(_SKIPPED, _ZONE)
@settings(max_examples=60, deadline=None)
@given(
    st.datetimes(_EARLY, _LATE),
    st.sampled_from([_ZONE, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_a_local_time_is_the_instant_that_postgres_makes_of_it(local: datetime, zone: str) -> None:
    micros = (local - _EPOCH) // timedelta(microseconds=1)
    text = _text({"local_time": "at_local", "time_zone": zone}, _INSTANT, at_local=str(micros))
    # `fold=1`: of a time that occurs twice the later, of one that is skipped the offset before.
    zoned = local.replace(tzinfo=ZoneInfo(zone))
    early, late = (zoned.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    assert datetime.fromisoformat(text or "") == max(early, late)


@pytest.mark.parametrize(
    ("expression", "cells", "text"),
    [
        ({"coalesce": ["a", "b"]}, {"a": None, "b": "x"}, "x"),
        ({"concat": ["a", "b"], "separator": ", "}, {"a": None, "b": "x"}, "x"),
        ({"concat": ["a", "b"], "separator": ", "}, {"a": None, "b": None}, None),
        ({"case": "a", "values": {"1": "x"}, "otherwise": {"constant": "y"}}, {"a": "2"}, "y"),
        ({"case": "a", "values": {"1": "x"}}, {"a": None}, None),
        ({"column": "a"}, {"a": "x"}, "x"),
    ],
)
def test_texts(expression: object, cells: dict[str, str | None], text: str | None) -> None:
    assert _text(expression, Column(name="t", type=Type.TEXT, description=""), **cells) == text


_WRONG = {
    "totl_cents": (
        MAPPING.replace("    total_cents:", "    totl_cents:"),
        r":16: .*orders has no column 'totl_cents'\. Did you mean total_cents\?",
    ),
    "name in our shop": (
        MAPPING.replace("    total_cents:", "    total_amount:"), "Did you mean total_cents"
    ),
    "computed": (
        MAPPING.replace("    channel:", "    placed_date: x\n    channel:"),
        r":8: .*placed_date is computed from placed_at: remove it",
    ),
    "twice": (MAPPING.replace("    tax_cents:", "    total_cents:"), "total_cents is given twice"),
    "status": (MAPPING.replace("paid", "sent"), r":9: .*'sent' is no status"),
    "operator": (MAPPING.replace("{minor: tax", "{minr: tax"), "Did you mean minor"),
    "two": (MAPPING.replace("purchase_item", "purchase"), "purchase is the table of order_lines"),
    "left": (MAPPING.replace("suppliers, ", ""), r":1: absent: nothing is said about suppliers"),
    "both": (MAPPING.replace("absent: [", "absent: [orders, "), "orders is mapped, too"),
    "needed": (MAPPING.replace("absent: [", "absent: [order_lines, ").partition("order_lines:")[0],
        r":1: absent.0: orders needs order_lines"),
    "unknown": (MAPPING.replace("orders:", "order:"), r":3: order: .*Did you mean orders"),
    "zone": (MAPPING.replace("Berlin", "Berln"), r":2: .*Did you mean Europe/Berlin"),
    "key": (MAPPING.replace("order_id: id", "order_id: {constant: x}"), "must be a column as it"),
    "type": (MAPPING.replace("ordered_on}", "ordered_on}").replace(
        "order_id: id", "order_id: {concat: [id]}"), "must be a column as it is"),
    "no number": (MAPPING.replace("discount_cents: {constant: 0}", "discount_cents: {constant: a}"),
        "'a' cannot be the cents of discount_cents"),
    "tax": (MAPPING.replace(", tax_percent: vat_percent}\n", "}\n"), "net needs tax_percent"),
    "key type": (MAPPING.replace("key: text", "key: uuid"), "a key is integer or text"),
    "required": (without("orders", "ship_city"), "orders needs an expression for ship_city"),
    "constant key": (MAPPING.replace("exchange_rate_e8: {constant: 1}",
        "exchange_rate_e8: {constant: 1, of: 2}"), "constant has no 'of'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), _WRONG.values(), ids=_WRONG)
def test_a_wrong_mapping_is_refused_with_file_and_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(StopPipelineError, match=rf"mapping\.yaml(?s:.*){problem}"):
        read_text(tmp_path, text)


def test_without_a_mapping_contracts_stay_as_they_are(tmp_path: Path) -> None:
    ours = read_contracts()
    assert with_mapping(ours, tmp_path / "mapping.yaml") == ours


def test_absent_entities_have_no_table(tmp_path: Path) -> None:
    found = read_text(tmp_path)
    assert [one.table for one in found.mapped] == ["order_lines", "orders"]
    suppliers = found.entities["suppliers"]
    assert (suppliers.is_absent, suppliers.shop_table) == (True, "")


def test_all_that_reads_contracts_reads_the_mapping(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    found = subprocess.run(
        [sys.executable, "-c", _ASK], env={**os.environ, "CONTRACTS_DIR": str(tmp_path)},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(found.stdout) == {
        "names": {"purchase": "orders", "orders": "public.orders", "note": "note"},
        "bronze": {"purchase_item": "raw_purchase_item", "purchase": "raw_purchase"},
        "live": ["purchase_item", "purchase"],
        "sale": ["order_lines", "orders"],
    }


def test_the_mapping_is_no_contract_file(tmp_path: Path) -> None:
    read_text(tmp_path)
    assert read_files(tmp_path) == {}


@pytest.mark.parametrize("folder", ["~/other", "other", "./other"])
def test_folder_is_where_the_settings_have_it(folder, tmp_path, monkeypatch):
    """Programs run in other directories than the one in which the variable was set."""
    monkeypatch.chdir(tmp_path)
    with environment_of({"CONTRACTS_DIR": folder, "HOME": str(tmp_path)}):
        assert mapping_path() == tmp_path / "other" / "mapping.yaml"
        assert mapping_path().parent == ContractSettings().dir


def test_folder_of_an_unknown_user_is_left_to_the_settings_to_refuse():
    with environment_of({"CONTRACTS_DIR": "~nobody-here/other"}):
        assert not mapping_path().is_file()


def test_table_stays_in_the_bronze_that_it_had_before_the_mapping(tmp_path):
    """What has landed there is all that there is of it, and the shop does not say it again."""
    for table in ("orders", "sales", "users", "purchase"):
        text = MAPPING.replace("table: purchase\n", f"table: {table}\n")
        assert read_text(tmp_path, text).entities["orders"].bronze == bronze_name(table)
    assert [bronze_name(one) for one in ("orders", "sales")] == ["raw_sales", "raw_public.sales"]


def test_key_of_an_absent_entity_may_be_a_text(tmp_path):
    text = MAPPING.replace("products, payments]", "{products: {key: text}}, payments]")
    found = read_text(tmp_path, text).entities
    assert found["products"].is_absent
    types = {one.name: one.type for one in found["order_lines"].columns}
    assert (types["product_id"], types["warehouse_code"]) == (Type.TEXT, Type.TEXT)
    without_it = read_text(tmp_path).entities["order_lines"].columns
    assert {one.name: one.type for one in without_it}["product_id"] is Type.INTEGER


@pytest.mark.parametrize("wrong", ["{}", "{products: {key: date}}", "{products: text}",
                                   "{products: {key: text}, payments: {key: text}}"])  # fmt: skip
def test_key_of_an_absent_entity_is_refused_with_its_line(wrong, tmp_path):
    with pytest.raises(StopPipelineError, match=r"mapping.yaml:1: .*expected a name"):
        read_text(tmp_path, MAPPING.replace("products, payments]", f"{wrong}, payments]"))
