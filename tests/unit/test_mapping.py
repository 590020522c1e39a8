"""A mapping: read, refused with file and line, and computed for rows of a foreign shop."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
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


def _bronze(*rows: tuple[str, dict[str, object]]) -> pa.Table:
    records = _records(*rows)
    missing = [name for name in BRONZE_SCHEMA.names if name not in records.columns]
    return records.with_columns(pl.lit(None).alias(name) for name in missing).to_arrow()


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


@pytest.mark.parametrize("column", ["currency_code", "postcode", "state", "tax_minor", "note"])
@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_a_change_that_lacks_a_column_is_quarantined(tmp_path: Path, column: str, op: str) -> None:
    text = MAPPING.replace("    channel:", "    coupon_code: note\n    channel:")
    orders = read_text(tmp_path, text).entities["orders"]
    assert isinstance(orders, MappedEntity)
    lacking = {name: value for name, value in _PURCHASE.items() if name != column}
    whole = {**_PURCHASE, "note": None}
    found = _validated(orders, ("c", whole), (op, lacking), ("d", {"id": _ID})).to_dicts()
    assert [found[0][BROKEN], found[2][BROKEN]] == [None, None]
    reads_it = next(
        one.name
        for one, made in zip(orders.columns, orders.expressions, strict=True)
        if column in made.columns
    )
    assert f"{reads_it}_unreadable" in found[1][BROKEN].split(",")
    reader = ChangeReader(validator=Validator(entity=orders, calendar=Calendar(time_zone=_ZONE)))
    assert reader.read(_bronze(("c", whole), (op, lacking))).quarantined == 1


def test_a_large_value_is_not_filled_from_a_change_that_lacks_it(orders: MappedEntity) -> None:
    lacking = {name: value for name, value in _PURCHASE.items() if name != "town"}
    later = {**_PURCHASE, "town": PLACEHOLDER}
    found = _validated(orders, ("c", lacking), ("u", later))
    assert [one.split(",")[0] for one in found[BROKEN]] == ["ship_city_unreadable"] * 2


def test_what_to_do_about_a_removed_column_is_the_mappings_choice(tmp_path: Path) -> None:
    lacking = {name: value for name, value in _PURCHASE.items() if name != "currency_code"}
    evolve, stop = (
        read_text(
            tmp_path, MAPPING.replace("key: text\n", f"key: text\n  on_removed: {policy}\n", 1)
        ).entities["orders"]
        for policy in ("evolve", "stop")
    )
    assert isinstance(evolve, MappedEntity)
    assert isinstance(stop, MappedEntity)
    row = _validated(evolve, ("c", lacking)).to_dicts()[0]
    assert (row[BROKEN], row["currency"]) == (None, "EUR")
    assert _validated(stop, ("c", _PURCHASE))[BROKEN].to_list() == [None]
    with pytest.raises(StopPipelineError, match="purchase lacks currency_code in 1 changes"):
        _validated(stop, ("c", lacking))


def test_live_reads_a_mapped_table_as_silver_does(orders: MappedEntity) -> None:
    assert not reads(orders)
    reader = ChangeReader(validator=Validator(entity=orders, calendar=Calendar(time_zone=_ZONE)))
    rows = reader.read(_bronze(("c", _PURCHASE), ("u", {**_PURCHASE, "state": 9})))
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


@example(gross=-105, percent=Decimal(100))
@example(gross=105, percent=Decimal(100))
@settings(max_examples=settings.default.max_examples * 3 // 5)
@given(
    gross=st.integers(1 - 10**12, 10**12 - 1),
    percent=st.decimals(0, 100, places=2, allow_nan=False, allow_infinity=False),
)
def test_net_and_tax_add_up_and_net_is_rounded_half_away_from_zero(
    gross: int, percent: Decimal
) -> None:
    cells = {"gross": str(gross), "percent": str(percent)}
    net, tax = (
        _text({part: {"minor": "gross"}, "tax_percent": "percent"}, _CENTS, **cells)
        for part in ("net", "tax")
    )
    assert net is not None
    assert tax is not None
    assert Decimal(net) + Decimal(tax) == Decimal(gross) / 100
    rate = _text(
        {"net": {"minor": "gross"}, "tax_rate": "rate"}, _CENTS,
        gross=str(gross), rate=str(percent.scaleb(-2)),
    )  # fmt: skip
    assert rate == net
    exact = Decimal(gross) / (1 + percent / 100) / 100
    assert Decimal(net) == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("tax", "rate", "net"),
    [
        ("tax_rate", "0.19", "100.00"), ("tax_rate", "1", "59.50"),
        ("tax_rate", "19", "net of 11900 19"), ("tax_rate", "1.000001", "net of 11900 1.000001"),
        ("tax_percent", "100", "59.50"), ("tax_percent", "1900", "net of 11900 1900"),
        ("tax_rate", "-0.19", "net of 11900 -0.19"), ("tax_percent", "-19", "net of 11900 -19"),
    ],
)  # fmt: skip
def test_a_rate_beyond_the_limits_of_constants_gives_no_amount(
    tax: str, rate: str, net: str
) -> None:
    """Such as a percentage in a column of fractions: it is quarantined, not a wrong amount."""
    expression = {"net": {"minor": "gross"}, tax: "rate"}
    assert _text(expression, _CENTS, gross="11900", rate=rate) == net


@settings(max_examples=settings.default.max_examples * 3 // 5)
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
@settings(max_examples=settings.default.max_examples * 3 // 5)
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
    "micros",
    [9223372036825200000, -9223372036832400000, 2**63 - 1, -(2**63), 2**63, 253402300799999999],
)
def test_a_local_time_beyond_what_can_be_held_is_unreadable(
    orders: MappedEntity, micros: int
) -> None:
    found = _text({"local_time": "at_local"}, _INSTANT, at_local=str(micros))
    assert found == f"local_time of {micros}"
    row = _validated(orders, ("c", {**_PURCHASE, "ordered_on": micros})).to_dicts()[0]
    assert "placed_at_unreadable" in row[BROKEN].split(",")


@pytest.mark.parametrize("micros", [9223372036825200000, -(2**63), 2**63 - 1])
def test_a_commit_time_beyond_what_can_be_held_is_null(micros: int) -> None:
    read = Reader().read({"commit_time": True}, _INSTANT, ("here",))
    frame = pl.DataFrame({"at": [micros]})
    assert frame.select(text_of(read, pl.col, pl.col("at"))).item() is None


@pytest.mark.parametrize(
    ("expression", "cells", "text"),
    [
        ({"coalesce": ["a", "b"]}, {"a": None, "b": "x"}, "x"),
        ({"concat": ["a", "b"], "separator": ", "}, {"a": None, "b": "x"}, "x"),
        ({"concat": ["a", "b"], "separator": ", "}, {"a": None, "b": None}, None),
        ({"case": "a", "values": {"1": "x"}, "otherwise": {"constant": "y"}}, {"a": "2"}, "y"),
        ({"case": "a", "values": {"1": "x"}}, {"a": None}, None),
        ({"case": "a", "values": {"P": "x"}}, {"a": "P  "}, "x"),
        ({"case": "a", "values": {"P ": "x"}}, {"a": "P"}, "x"),
        ({"case": "a", "values": {"P": "x"}}, {"a": " P"}, " P"),
        ({"values": {"1": "x"}, "otherwise": "b", "case": "a"}, {"a": "2", "b": "y"}, "y"),
        ({"separator": "-", "concat": ["a", "b"]}, {"a": "x", "b": "y"}, "x-y"),
        ({"column": "a"}, {"a": "x"}, "x"),
    ],
)
def test_texts(expression: object, cells: dict[str, str | None], text: str | None) -> None:
    assert _text(expression, Column(name="t", type=Type.TEXT, description=""), **cells) == text


def _constant(column: str, value: str) -> str:
    """Return the mapping with another constant."""
    return re.sub(rf"( {column}): .*", rf"\1: {{constant: {value}}}", MAPPING)


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
        r":8: .*placed_date is computed from placed_at\. Remove it",
    ),
    "twice": (MAPPING.replace("    tax_cents:", "    total_cents:"), "total_cents is given twice"),
    "status": (MAPPING.replace("paid", "sent"), r":9: .*'sent' is no status"),
    "operator": (MAPPING.replace("{minor: tax", "{minr: tax"), "Did you mean minor"),
    "two": (MAPPING.replace("purchase_item", "purchase"), "purchase is the table of order_lines"),
    "left": (MAPPING.replace("suppliers, ", ""), r":1: absent: nothing is said about suppliers"),
    "both": (MAPPING.replace("absent: [", "absent: [orders, "), "orders is mapped, too"),
    "needed": (
        MAPPING.replace("absent: [", "absent: [order_lines, ").partition("order_lines:")[0]
        + "products:" + MAPPING.partition("products:")[2],
        r":1: absent.0: no warehouse is without order_lines"),
    "products": (MAPPING.partition("products:")[0].replace("absent: [", "absent: [products, "),
        r":1: absent.0: no warehouse is without products"),
    "unknown": (MAPPING.replace("orders:", "order:"), r":3: order: .*Did you mean orders"),
    "zone": (MAPPING.replace("Berlin", "Berln"), r":2: .*Did you mean Europe/Berlin"),
    "key": (MAPPING.replace("order_id: id", "order_id: {constant: x}"), "must be a column as it"),
    "type": (MAPPING.replace("ordered_on}", "ordered_on}").replace(
        "order_id: id", "order_id: {concat: [id]}"), "must be a column as it is"),
    "no number": (MAPPING.replace("discount_cents: {constant: 0}", "discount_cents: {constant: a}"),
        r"'a' cannot be the discount_cents\. discount_cents needs an amount in units of the "),
    "tax": (MAPPING.replace(", tax_percent: vat_percent}\n", "}\n"), "net needs tax_percent"),
    "two taxes": (
        MAPPING.replace("tax_percent: vat_percent}\n", "tax_percent: 19, tax_rate: 0.19}\n"),
        r":33: .*net needs tax_percent or tax_rate"),
    "rate of seven digits": (MAPPING.replace("tax_percent: vat_percent", "tax_rate: 0.1912345", 1),
        r":33: .*0.1912345 has more than 6 digits"),
    "hundredths of percent": (MAPPING.replace("vat_percent", "1900", 1),
        r":33: .*constant: 1900: tax_percent is at most 100\. tax_percent needs a number"),
    "percent as a rate": (MAPPING.replace("tax_percent: vat_percent", "tax_rate: 19", 1),
        r":33: .*constant: 19: tax_rate is at most 1\. tax_rate needs a number, from 0 to 1"),
    "absent twice": (MAPPING.replace("[suppliers", "[suppliers, suppliers"),
        r":1: absent.1: suppliers is absent, too"),
    "not a number": (_constant("shipping_cents", ".nan"), r":14: .*nan cannot be the shipping_c"),
    "infinite": (_constant("shipping_cents", ".inf"), r":14: .*inf cannot be the shipping_cents"),
    "long": (_constant("shipping_cents", "1.0e+30"), r":14: .*1e\+30 cannot be the shipping_cents"),
    "part of a cent": (_constant("shipping_cents", "4.999"), r":14: .*more than 2 digits after"),
    "negative": (_constant("shipping_cents", "-0.01"), r":14: .*shipping_cents is at least 0"),
    "too much": (_constant("shipping_cents", "1000000000000"), r":14: .*is at most 9999999999.99"),
    "rate of zero": (_constant("exchange_rate_e8", "0"), r":11: .*at least 0.00000001"),
    "no pieces": (MAPPING.replace("quantity: pieces", "quantity: {constant: 0}"),
        r":32: .*0: quantity is at least 1"),
    "nothing": (_constant("ship_region", "' '"), r":19: .*' ' cannot be the ship_region"),
    "long text": (_constant("ship_region", "x" * 3000), r":19: .*needs a text of at most"),
    "text of a number": (_constant("ship_region", ".inf"), r":19: .*inf cannot be the ship_region"),
    "tax of five digits": (MAPPING.replace("vat_percent", "19.12345", 1),
        r":33: .*constant: 19.12345 has more than 4 digits"),
    "negative tax": (MAPPING.replace("vat_percent", "-200", 1), r":33: .*_percent is at least 0"),
    "commit time": (MAPPING.replace("created_at: {local_time: ordered_on}",
        "created_at: {commit_time: false}"), r":22: .*commit_time is true, found False"),
    "separator": (MAPPING.replace('separator: " "', "separator: null"),
        r":18: .*separator: a separator is a text, found None\. Write it in quotes"),
    "value twice": (MAPPING.replace('"2": paid', '"1 ": paid'), r":9: .*'1 ' is given twice"),
    "entities": (MAPPING.replace("orders:", "order:"), r"Entities: "),
    "zones": (MAPPING.replace("Europe/Berlin", "[Europe/Berlin]"),
        r":2: time_zone: there is no time zone \['Europe/Berlin'\]"),
    "no zone": (MAPPING.replace("Europe/Berlin", ""), r":2: .*no time zone None"),
    "zone of one": (MAPPING.replace("{local_time: ordered_on}", "{local_time: a, time_zone: 1}"),
        r":\d+: .*there is no time zone 1"),
    "list in absent": (MAPPING.replace("[suppliers", "[[suppliers]"),
        r":1: absent.0: there is no entity \['suppliers'\]"),
    "number in absent": (MAPPING.replace("[suppliers", "[1, suppliers"), r":1: .*no entity 1\."),
    "list as key": (MAPPING.replace("key: text", "key: [text]"), r":5: .*found \['text'\]"),
    "policies": (MAPPING.replace("  key: text\n", "  key: text\n  on_removed: [stop]\n", 1),
        r":6: .*no policy \['stop'\]\. Policies: evolve, ignore, stop"),
    "keys": (MAPPING.replace("  key: text\n", "  kind: text\n", 1), r":5: .*Keys: table, key"),
    "policy": (MAPPING.replace("  key: text\n", "  key: text\n  on_removed: evolv\n", 1),
        r":6: .*no policy 'evolv'\. Did you mean evolve"),
    "key type": (MAPPING.replace("key: text", "key: uuid"), "a key is integer or text"),
    "required": (without("orders", "ship_city"), "orders needs an expression for ship_city"),
    "constant key": (MAPPING.replace("exchange_rate_e8: {constant: 1}",
        "exchange_rate_e8: {constant: 1, of: 2}"), "constant has no 'of'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), _WRONG.values(), ids=_WRONG)
def test_a_wrong_mapping_is_refused_with_file_and_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(StopPipelineError, match=rf"mapping\.yaml(?s:.*){problem}") as told:
        read_text(tmp_path, text)
    # One cause, one message: nothing is told that follows from it.
    assert str(told.value).count("mapping.yaml:") == 1


_MANY = {
    "time_zone: Europe/Berlin": ("time_zone: Europe/Berln", 2, "no time zone 'Europe/Berln'"),
    "    order_id: id": ("    order_id: {constant: x}", 7, "order_id identifies a row"),
    "    channel: {constant: web}": ("    channels: {constant: web}", 8, "no column 'channels'"),
    '"1": placed, "2": paid': ('"1": plced, "2": pid', 9, "'plced' is no status"),
    "{minor: total_minor}, {minor: tax_minor}]": (
        "{minr: total_minor}, {miner: tax_minor}]", 12, "no expression 'minr'"
    ),
    "    ship_city: {": ("    coupon_code:\n    ship_city: {", 18, "no expression is given"),
    "  table: article": ("  tble: article", 38, "no key 'tble'"),
    "category: {constant: Books}": ("category: {constant: Bks}", 44, "'Bks' is no category"),
}  # fmt: skip


def test_all_faults_of_a_mapping_are_told_at_once(tmp_path):
    """In the order of their lines; what follows from another fault is not told."""
    text = MAPPING
    for old, (new, _, _) in _MANY.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with pytest.raises(StopPipelineError) as told:
        read_text(tmp_path, text)
    lines = str(told.value).split("\n")
    found = [int(line.partition("mapping.yaml:")[2].partition(":")[0]) for line in lines]
    assert found == sorted(found)
    assert found == [2, 7, 8, 9, 9, 12, 12, 18, 38, 44]
    for _, line, problem in _MANY.values():
        assert any(f":{line}: " in one and problem in one for one in lines), problem


def test_one_cause_is_told_once_with_all_of_its_lines(tmp_path):
    text = MAPPING.replace("time_zone: Europe/Berlin\n", "")
    with pytest.raises(StopPipelineError) as told:
        read_text(tmp_path, text)
    (line,) = str(told.value).split("\n")
    assert re.search(r":20: orders.columns.placed_at: local_time needs a time_zone", line)
    assert "(also in line 21, line 34, line 49)" in line


def test_required_columns_that_lack_are_told_with_what_they_need(tmp_path):
    text = MAPPING.partition("    sku:")[0]
    with pytest.raises(StopPipelineError, match=r":38: products.columns: products needs") as told:
        read_text(tmp_path, text)
    assert (
        "cost_cents: an amount in units of the base currency, such as 12.50, from 0.01 to "
        "10,000,000 (Purchase price of one unit)"
    ) in str(told.value)
    assert "updated_at" not in str(told.value)


def test_keys_of_a_file_that_are_wrong_are_told_at_once(tmp_path):
    text = MAPPING.replace('"1": placed', "1: placed").replace("    sku:", "    name:")
    with pytest.raises(StopPipelineError) as told:
        read_text(tmp_path, text)
    first, second = str(told.value).split("\n")
    assert 'mapping.yaml:9: a key is no text. Write it in quotes: "1".' in first
    assert "the key name is given twice, first in line 41. Remove one of the two." in second


def test_limits_of_a_sum_are_not_those_of_its_parts() -> None:
    least = replace(_CENTS, minimum=0)
    assert _text({"sum": [{"minor": "a"}, {"constant": -1.5}]}, least, a="250") == "1.00"
    assert _text({"constant": 4.9}, least) == "4.9"


def test_without_a_mapping_contracts_stay_as_they_are(tmp_path: Path) -> None:
    ours = read_contracts()
    assert with_mapping(ours, tmp_path / "mapping.yaml") == ours


def test_absent_entities_have_no_table(tmp_path: Path) -> None:
    found = read_text(tmp_path)
    assert [one.table for one in found.mapped] == ["order_lines", "orders", "products"]
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
        "bronze": {
            "purchase_item": "raw_purchase_item",
            "purchase": "raw_purchase",
            "article": "raw_article",
        },
        "live": ["purchase_item", "purchase", "article"],
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
    text = MAPPING.replace("suppliers", "{suppliers: {key: text}}", 1)
    found = read_text(tmp_path, text).entities
    assert found["suppliers"].is_absent
    types = {one.name: one.type for one in found["products"].columns}
    assert types["supplier_id"] is Type.TEXT
    without_it = read_text(tmp_path).entities["products"].columns
    assert {one.name: one.type for one in without_it}["supplier_id"] is Type.INTEGER


@pytest.mark.parametrize("wrong", ["{}", "{suppliers: {key: date}}", "{suppliers: text}",
                                   "{suppliers: {key: text}, payments: {key: text}}"])  # fmt: skip
def test_key_of_an_absent_entity_is_refused_with_its_line(wrong, tmp_path):
    with pytest.raises(StopPipelineError, match=r"mapping.yaml:1: .*expected a name"):
        read_text(tmp_path, MAPPING.replace("suppliers", wrong, 1))
