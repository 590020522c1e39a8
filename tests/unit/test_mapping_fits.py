"""A mapping against the catalog of the shop: what does not fit is told with the shop's types."""

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from batch.warehouse import left_out
from connectors.mapping import doubtful_rates, faults_of, unknown_values, values_of
from stack.doctor.shop import diagnose_mapping
from stack.findings import Verdict
from tests.unit.foreign_maker import catalog_row, modifier
from tests.unit.other_shop import MAPPING, read_text

_PURCHASE = {
    "id": "uuid", "client_id": "uuid", "state": "int2", "currency_code": "text",
    "total_minor": "int8", "tax_minor": "int8", "postcode": "text", "town": "text",
    "country_code": "bpchar", "ordered_on": "timestamp", "note": "text",
    "changed_at": "timestamptz",
}  # fmt: skip
_ITEM = {
    "id": "uuid", "purchase_id": "uuid", "position": "int4", "article_number": "int8",
    "pieces": "int4", "gross_minor": "int8", "vat_percent": "numeric", "created_on": "timestamp",
}  # fmt: skip


_ARTICLE = {
    "number": "int8", "code": "text", "title": "text", "gross_minor": "int8",
    "created_on": "timestamp",
}  # fmt: skip


def _position(name, key):
    return key.index(name) + 1 if name in key else None


def _rows(purchase=None, *, key=("id",)):
    tables = {"purchase": _PURCHASE | (purchase or {}), "purchase_item": _ITEM, "article": _ARTICLE}
    keys = {"article": ("number",)}
    return [
        catalog_row(
            table, name, kind, key=_position(name, keys.get(table, key)),
            modifier=modifier(5, 2) if kind == "numeric" else -1,
        )
        for table, columns in tables.items()
        for name, kind in columns.items()
        if kind
    ]  # fmt: skip


def _told(folder: Path, text=MAPPING, rows=None, values=None):
    found = read_text(folder, text)
    catalog = {}
    for row in rows or _rows():
        catalog.setdefault(row.table_name, []).append(row)
    faults = [*faults_of(found, catalog, values or {})]
    return str(found.refused(faults)).split("\n") if faults else []


def test_a_mapping_that_fits_has_no_faults(tmp_path):
    assert _told(tmp_path) == []
    numbers = {("purchase", "state"): ("1", "2", "3", "4")}
    assert _told(tmp_path, values=numbers) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("table: purchase\n", "table: purchas\n",
         r":4: orders.table: the shop has no table purchas. Did you mean purchase?"),
        ("tax_cents: {minor: tax_minor}", "tax_cents: {minor: tx_minor}",
         r": orders.columns.tax_cents.minor: purchase has no column 'tx_minor'. Did you mean"),
        ("tax_cents: {minor: tax_minor}", "tax_cents: tax_minor",
         "purchase.tax_minor is int8; tax_cents needs an amount in units of the order's currency, "
         "such as 12.50, from 0 to 9,999,999,999.99. Write {minor: tax_minor} for hundredths"),
        ("placed_at: {local_time: ordered_on}", "placed_at: ordered_on",
         "or {local_time: …} of one without, not in the future. Write {local_time: ordered_on}"),
        ("placed_at: {local_time: ordered_on}", "placed_at: {local_time: changed_at}",
         "needs a timestamp without time zone. Write changed_at without local_time"),
        ("quantity: pieces", "quantity: id",
         "purchase_item.id is uuid; quantity needs a whole number of units, from 1 to 500. Name a"),
        ("ship_country: country_code", "ship_country: ordered_on",
         "ordered_on is timestamp; ship_country needs a country: its ISO 3166-1 code, or its name"),
        ("tax_cents: {minor: tax_minor}", "tax_cents: {major: tax_minor}", None),
        ("order_id: id", "order_id: client_id", "rows of purchase are identified by id, not by"),
        ("  key: text\n  columns:\n    order_id", "  columns:\n    order_id",
         "is uuid, no whole number. Write `key: text` beside `table` of orders"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_file_and_line(tmp_path, old, new, told):
    assert old in MAPPING
    found = _told(tmp_path, MAPPING.replace(old, new, 1))
    assert bool(found) == (told is not None)
    assert told is None or ("mapping.yaml:" in found[0] and told in found[0])
    assert len(found) <= 1


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
    """What follows from another fault is not told, and one cause once, with all of its lines."""
    rows = _rows({"ordered_on": None, "town": "int4", "country_code": "date"})
    text = MAPPING.replace("  key: text\n", "").replace("table: article", "table: artcl")
    found = _told(tmp_path, text, [one for one in rows if one.column_name != "vat_percent"])
    assert [one.partition("mapping.yaml:")[2].partition(". ")[0] for one in found] == [
        "6: orders.columns.order_id: purchase.id is uuid, no whole number",
        "19: orders.columns.ship_country: purchase.country_code is date; ship_country needs a "
        "country: its ISO 3166-1 code, or its name",
        "20: orders.columns.placed_at.local_time: purchase has no column 'ordered_on' "
        "(also in line 21)",
        "25: order_lines.columns.order_line_id: purchase_item.id is uuid, no whole number",
        "31: order_lines.columns.unit_price_cents.tax_percent: purchase_item has no column "
        "'vat_percent' (also in line 32)",
        "35: products.table: the shop has no table artcl",
    ]


def test_a_column_that_lacks_is_told_beside_the_key_that_it_refers_to(tmp_path):
    text = MAPPING.replace("  key: text\n", "", 1).replace(
        "order_id: purchase_id", "order_id: purchas_id"
    )
    found = _told(tmp_path, text)
    assert [one.partition("mapping.yaml:")[2].partition(". ")[0] for one in found] == [
        "6: orders.columns.order_id: purchase.id is uuid, no whole number",
        "27: order_lines.columns.order_id: purchase_item has no column 'purchas_id'",
    ]


def test_a_value_that_the_catalog_knows_needs_a_result(tmp_path):
    numbers = {("purchase", "state"): ("1", "2", "3", "4", "5")}
    (told,) = _told(tmp_path, values=numbers)
    assert ":9: orders.columns.status: no status for '5'" in told
    given = MAPPING.replace('"4": cancelled}', '"4": cancelled}, otherwise: {constant: placed}')
    assert _told(tmp_path, given, values=numbers) == []
    as_it_is = MAPPING.replace("channel: {constant: web}", "channel: note")
    labels = {("purchase", "note"): ("web", "letter")}
    (told,) = _told(tmp_path, as_it_is, values=labels)
    assert "no channel for 'letter'" in told


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("CHECK ((state = ANY (ARRAY[1, 2])))", ["1", "2"]),
        ("CHECK ((size = ANY (ARRAY['big'::text, 'sm''all'::text])))", ["big", "sm'all"]),
        ("CHECK (((way)::text = ANY ((ARRAY['a'::character varying, 'b'::character "
         "varying])::text[])))", ["a", "b"]),
        ("CHECK (((way)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character "
         "varying)::text])))", ["a", "b"]),
        ("CHECK ((grade = ANY (ARRAY['A'::bpchar, 'B'::bpchar])))", ["A", "B"]),
        ("CHECK (((state = ANY (ARRAY[1, 2])) AND (state <> 2)))", []),
        ("CHECK (((state = ANY (ARRAY[1, 2])) OR (state > 7)))", []),
        ("CHECK ((state = ANY (ARRAY[1, (2 + 1)])))", []),
        ("CHECK ((state = ANY (ARRAY[1, 2]))) NOT VALID", []),
        ("CHECK ((amount = ANY (ARRAY[1.5, 2])))", []),
        ("CHECK ((lower(way) = ANY (ARRAY['a'::text, 'b'::text])))", []),
        ("CHECK (((state >= 1) AND (state <= 5)))", ["1", "2", "3", "4", "5"]),
        ("CHECK (((\"my state\" > '-2'::integer) AND (\"my state\" < 1)))", ["-1", "0"]),
        ("CHECK (((state >= 1) AND (state <= 100)))", [str(one) for one in range(1, 101)]),
        ("CHECK (((state >= 1) AND (state <= 101)))", []),
        ("CHECK (((state >= 1) AND (other <= 5)))", []),
        ("CHECK (((rate >= (1)::numeric) AND (rate <= (5)::numeric)))", []),
        ("CHECK (((abs(state) >= 1) AND (abs(state) <= 5)))", []),
        ("CHECK (((state >= 1) AND (state <= 5))) NOT VALID", []),
        ("CHECK ((state > 0))", []),
    ],
)  # fmt: skip
def test_only_one_list_or_short_range_tells_all_values(condition, values):
    assert values_of(condition) == values


def test_values_that_no_catalog_tells_are_named(tmp_path):
    found = read_text(tmp_path, MAPPING.replace("channel: {constant: web}", "channel: note"))
    assert list(unknown_values(found, {})) == [
        "The catalog does not tell all values of purchase.note: those without a result for "
        "orders.channel are counted as unknown.",
        "The catalog does not tell all values of purchase.state: those without a result for "
        "orders.status are quarantined.",
    ]
    known = {("purchase", "state"): ("1",), ("purchase", "note"): ("web",)}
    assert list(unknown_values(found, known)) == []
    given = MAPPING.replace('"4": cancelled}', '"4": cancelled}, otherwise: {constant: placed}')
    assert list(unknown_values(read_text(tmp_path, given), {})) == []


_RATES = "price_cents: {net: {minor: gross_minor}, tax_percent: {case: title, values: {low: 7}}}"
_FLAG = "is_active: {case: title, values: {low: true}}"
_TWICE = """status: {case: {case: state, values: {"1": new}},
      values: {new: placed, "2": paid}}"""
_EITHER = "is_active: {case: {coalesce: [title, {constant: no}]}, values: {low: true}}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("price_cents: {minor: gross_minor}", _RATES,
         ["products.columns.price_cents.tax_percent: no tax_percent for 'none', which the shop's "
          "column can be. List them in `values` of a case, each with a number of percent, from 0"]),
        ("price_cents: {minor: gross_minor}", _RATES.replace("7}", "7}, otherwise: {constant: 0}"),
         []),
        ("is_active: {constant: true}", _FLAG,
         ["products.columns.is_active: no is_active for 'none', which the shop's column can be. "
          "List them in `values` of a case, each with true or false"]),
        ("is_active: {constant: true}", _FLAG.replace("true}", "true, none: false}"), []),
        ("is_active: {constant: true}", _EITHER.replace("no}", "'no'}"),
         ["no is_active for 'none', 'no', which"]),
        ("weight_grams: {constant: 1}", "weight_grams: {case: number, values: {'1': 100}}",
         ["no weight_grams for '0', which"]),
        ("weight_grams: {constant: 1}", "weight_grams: number", []),
        ('status: {case: state, values: {"1": placed, "2": paid, "3": shipped, "4": cancelled}}',
         _TWICE, ["no status for '3', which"]),
        ("ship_country: country_code",
         "ship_country: {case: country_code, values: {QQ: GB}}", ["no ship_country for 'XX'"]),
        ("ship_country: country_code", "ship_country: {coalesce: [country_code, town]}",
         ["no ship_country for 'QQ', 'XX'"]),
    ],
)  # fmt: skip
def test_a_value_needs_a_result_wherever_it_stands(tmp_path, old, new, told):
    known = {
        ("article", "title"): ("low", "none"),
        ("article", "number"): ("0", "1", "2"),
        ("purchase", "country_code"): ("DE", "QQ", "XX"),
        ("purchase", "state"): ("1", "2", "3"),
    }
    if "country" not in old:
        del known["purchase", "country_code"]
    assert old in MAPPING
    found = _told(tmp_path, MAPPING.replace(old, new), values=known)
    assert len(found) == len(told)
    assert all(part in line for part, line in zip(told, found, strict=True))


def test_values_that_no_catalog_tells_are_named_wherever_they_stand(tmp_path):
    text = MAPPING.replace("price_cents: {minor: gross_minor}", _RATES)
    text = text.replace("is_active: {constant: true}", _FLAG)
    told = [*unknown_values(read_text(tmp_path, text), {("purchase", "state"): ("1",)})]
    assert told == [
        "The catalog does not tell all values of article.title: those without a result for "
        f"products.{name} are read as they are, or quarantined."
        for name in ("price_cents", "is_active")
    ]
    decided = text.replace("low: 7}", "low: 7}, otherwise: number").replace(
        "low: true}", "low: true}, otherwise: {constant: false}"
    )
    assert not [*unknown_values(read_text(tmp_path, decided), {("purchase", "state"): ("1",)})]


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        ("tax_percent: 0.07", ["0.07"]),
        ("tax_percent: {case: title, values: {a: 0.19, b: 7, c: 0}}", ["0.19"]),
        ("tax_percent: 1", []),
        ("tax_percent: 0", []),
        ("tax_rate: 0.07", []),
    ],
)
def test_a_percentage_below_one_is_asked_about(tmp_path, rate, told):
    net = f"price_cents: {{net: {{minor: gross_minor}}, {rate}}}"
    found = read_text(tmp_path, MAPPING.replace("price_cents: {minor: gross_minor}", net))
    assert [*doubtful_rates(found)] == [
        f"products.price_cents: tax_percent {one} is {one} percent. Of a fraction, write tax_rate."
        for one in told
    ]


_CUSTOMERS = """\
customers:
  table: client
  columns:
    customer_id: id
    first_name: name
    last_name: name
    email: mail
    phone: mobile
    birth_date: born
    street: name
    postal_code: name
    city: name
    region: name
    country: land
    accepts_marketing: newsletter
    created_at: since
"""


@pytest.mark.parametrize(
    ("column", "given", "told"),
    [
        ("email", "{constant: unknown}", "'unknown' cannot be the email. email needs an e-mail"),
        ("email", "{constant: 5}", "'5' cannot be the email"),
        ("email", "{coalesce: [mail, {constant: nobody@example}]}", "'nobody@example' cannot be"),
        ("email", "{constant: nobody@shop.example.com}", None),
        ("email", "{concat: [name, {constant: '@shop.example.com'}]}", None),
        ("email", "newsletter", "newsletter is bool; email needs an e-mail address. Name a column"),
        ("email", "id", "id is int8; email needs an e-mail address"),
        ("email", "token", "token is uuid; email needs an e-mail address"),
        ("country", "{constant: Germoney}", "'Germoney' cannot be the country"),
        ("country", "{case: name, values: {a: Germoney}}", ".values.a: 'Germoney' cannot be the"),
        ("country", "{constant: Germany}", None),
        ("country", "{constant: de}", None),
        ("country", "newsletter", "newsletter is bool; country needs a country"),
        ("phone", "{constant: x}", "'x' cannot be the phone. phone needs a phone number"),
        ("phone", "{constant: +49 30 123456}", None),
        ("phone", "{constant: 030 123456}", None),
        ("phone", "id", None),
        ("birth_date", "{constant: 2999-01-01}", "'2999-01-01' cannot be the birth_date. birth_da"),
        ("birth_date", "{constant: 1990-01-01}", None),
        ("birth_date", "{case: name, values: {a: 2999-01-01}}", ".values.a: '2999-01-01' cannot"),
        ("first_name", "{constant: unknown}", None),
    ],
)  # fmt: skip
def test_a_constant_is_what_cleaning_accepts(tmp_path, column, given, told):
    kinds = {
        "id": "int8", "name": "text", "mail": "text", "mobile": "text", "born": "date",
        "land": "text", "newsletter": "bool", "since": "timestamptz", "token": "uuid",
    }  # fmt: skip
    rows = [catalog_row("client", name, kind, key=_position(name, ("id",)))
            for name, kind in kinds.items()]  # fmt: skip
    line = next(one for one in _CUSTOMERS.split("\n") if one.startswith(f"    {column}: "))
    text = MAPPING.replace(" customers,", "").replace("orders:\n", _CUSTOMERS + "orders:\n", 1)
    text = text.replace(line, f"    {column}: {given}")
    found = _told(tmp_path, text, [*_rows(), *rows])
    assert len(found) == (told is not None), found
    assert told is None or (told in found[0] and f"customers.columns.{column}" in found[0])


@pytest.mark.parametrize("given", ["EURO", "X", "XXX"])
def test_a_currency_is_one(tmp_path, given):
    (told,) = _told(tmp_path, MAPPING.replace("{constant: EUR}", f"{{constant: {given}}}"))
    assert f"currency.coalesce.1.constant: '{given}' cannot be the currency" in told


def test_spaces_at_the_end_of_a_value_do_not_count(tmp_path):
    states = {("purchase", "state"): ("1 ", "2", "3", "4")}
    assert _told(tmp_path, values=states) == []


def test_a_list_is_no_text(tmp_path):
    rows = [
        *(row for row in _rows() if row.column_name != "town"),
        catalog_row("purchase", "town", "text", is_array=True, declared="text[]"),
    ]
    assert (
        "town is text[]; ship_city needs a text. Name a column of type text"
        in _told(tmp_path, rows=rows)[0]
    )


def test_doctor_tells_what_does_not_fit(tmp_path):
    found = read_text(tmp_path)
    (said,) = diagnose_mapping(found, _rows({"town": None}), {})[:1]
    assert said.verdict is Verdict.WRONG
    assert "purchase has no column 'town'" in said.words
    fits = diagnose_mapping(found, _rows(), {})
    assert [one.verdict for one in fits] == [Verdict.FINE]


def test_amounts_in_quarantine_are_read_as_the_mapping_says(tmp_path, monkeypatch):
    monkeypatch.setattr(left_out, "ENTITIES", read_text(tmp_path).entities)
    after = {"id": "x", "state": 2, "total_minor": 1190, "tax_minor": 190, "ordered_on": 0}
    value = json.dumps({"after": after, "source": {"ts_us": 0}})
    row = pl.DataFrame({"value": [value], "row_key": ["x"]}).select(**left_out._order()).to_dicts()
    assert (str(row[0]["amount"]), str(row[0]["exchange_rate"])) == ("10.00", "1.00000000")
    assert row[0]["counts"]


@pytest.mark.parametrize(
    ("name", "amount"),
    [("tax'minor", "10.00"), ('tax"]', "10.00"), ("'", "10.00"), ("tax\\'", None), ("$", "10.00")],
)
def test_a_column_may_have_any_name(tmp_path, monkeypatch, name, amount):
    text = MAPPING.replace("tax_minor", json.dumps(name))
    monkeypatch.setattr(left_out, "ENTITIES", read_text(tmp_path, text).entities)
    value = json.dumps({"after": {"id": "x", "total_minor": 1190, name: 190}, "source": {}})
    row = pl.DataFrame({"value": [value], "row_key": ["x"]}).select(**left_out._order()).to_dicts()
    assert row[0]["amount"] == (amount and Decimal(amount))


def test_an_endless_time_in_quarantine_is_no_day(tmp_path, monkeypatch):
    monkeypatch.setattr(left_out, "ENTITIES", read_text(tmp_path).entities)
    value = json.dumps({"after": {"id": "x", "ordered_on": 9223372036825200000}, "source": {}})
    row = pl.DataFrame({"value": [value], "row_key": ["x"]}).select(**left_out._order()).to_dicts()
    assert row[0]["placed_at"] is None
