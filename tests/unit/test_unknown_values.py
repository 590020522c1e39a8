"""Valid codes that lists lack count as unknown, and amounts are limited by what they are worth."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.quarantine import Selection
from batch.reconcile.history import Examples
from batch.reconcile.silver import compare_silver
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import consolidate_silver
from batch.silver.sizes import BatchLimits
from consumers.live.changes import ChangeReader
from lakehouse.cleaning import spelling
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import ENTITIES, Cleaning, Column, OnUnknown, Type
from lakehouse.contracts.model import LISTED, MOST_CENTS, MOST_FOREIGN_CENTS, UNKNOWN
from replay.redrive import redrive
from tests.unit.bronze_maker import RULES, live, new_lake, rows_of, source_of

ORDERS = ENTITIES["orders"]
LISTS = [(entity, column) for entity in ENTITIES.values() for column in entity.columns
         if column.cleaning in LISTED]  # fmt: skip
COUNTED = [pytest.param(e, c, id=f"{e.table}-{c.name}") for e, c in LISTS if c.counts_unknown]
DECIDING = [pytest.param(e, c, id=f"{e.table}-{c.name}") for e, c in LISTS if not c.counts_unknown]


@cache
def validator(table):
    """Made once: to put its expressions together takes longer than to run them."""
    return RULES.validator(ENTITIES[table])


def validated(source):
    records = source.records()
    return (
        validator(source.table).validate(records, lambda _: records).sort("_partition", "_offset")
    )


def before_issue(entity):
    """The contract when everything that no list had was quarantined."""
    columns = [replace(column, on_unknown=OnUnknown.QUARANTINE) if column.counts_unknown else column
               for column in entity.columns]  # fmt: skip
    return replace(entity, columns=tuple(columns))


def test_what_decides_how_money_counts_is_not_guessed_and_all_else_counts():
    deciding = {(e.table, column.name) for e, column in LISTS if not column.counts_unknown}
    assert deciding == {("orders", "status"), ("payments", "kind"), ("payments", "status")}


@pytest.mark.parametrize("cleaning", Cleaning)
def test_a_list_says_what_becomes_of_other_values_and_nothing_else_does(cleaning):
    given_ = {"name": "x", "type": Type.TEXT, "description": "", "cleaning": cleaning}
    policy = None if cleaning in LISTED else OnUnknown.COUNT
    with pytest.raises(ValueError, match="x: on_unknown"):
        Column(**given_, on_unknown=policy)


ODD = ["Ünheard of", "", "  ", "ZZ", "unknown", "9" * 6_000, '"\\\n{']


@pytest.mark.parametrize(("entity", "column"), COUNTED)
def test_value_that_no_list_has_counts_as_unknown_and_is_kept(tmp_path, entity, column):
    source = source_of(new_lake(tmp_path), entity.table, partitions=1).change(99, "c")
    for key, value in enumerate(ODD):
        source.change(key, "c", **{column.source: value})
    known, *odd, deleted = validated(source.change(0, "d")).iter_rows(named=True)
    assert (known["_extra"], deleted["_extra"]) == (None, None)
    assert UNKNOWN not in known.values()
    for row, value in zip(odd, ODD, strict=True):
        assert (row[BROKEN], row[column.name]) == (None, UNKNOWN)
        assert json.loads(row["_extra"]) == {column.source: value}


@pytest.mark.parametrize(("entity", "column"), DECIDING)
def test_value_that_decides_how_money_counts_is_quarantined(tmp_path, entity, column):
    source = source_of(new_lake(tmp_path), entity.table, partitions=1)
    source.change(1, "c").change(1, "u", **{column.source: "on_hold"})
    assert validated(source)[BROKEN].to_list() == [None, f"{column.name}_unknown"]


def test_value_that_is_missing_is_still_missing(tmp_path):
    source = source_of(new_lake(tmp_path), "orders").change(1, "c", ship_country=None)
    assert validated(source)[BROKEN].to_list() == ["ship_country_missing"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("eur", "EUR"), (" NOK ", "NOK"), ("KWD", "KWD"), ("BGN", "BGN"), ("hrk", "HRK"),
     ("XXX", None), ("XTS", None), ("BTC", None),
     ("", None), ("€", None)],
)  # fmt: skip
def test_currency_is_any_of_iso_4217(typed, meant):
    assert spelling.currency(typed) == meant


def test_kosovo_has_numbers_of_its_own_and_no_region_code():
    assert spelling.phone("044 123 456", "XK") == "+38344123456"
    assert spelling.region_code("Kosovo", "Prishtinë") is None


CODES = st.sampled_from(["FR", "XK", "QQ", "", None, "Atlantis", "web"])
EXTRAS = st.sampled_from([{}, {"gift_note": 'say "hi"'}, {"weight": 1.5, "gift_note": None}])


@settings(max_examples=25, deadline=None)
@given(told=st.lists(st.tuples(CODES, CODES, EXTRAS), min_size=1, max_size=8),
       cuts=st.sets(st.integers(1, 7)))  # fmt: skip
@example(told=[("QQ", "tv", {"gift_note": "x"}), ("FR", "web", {})], cuts={1})
def test_what_is_kept_of_a_row_depends_on_no_other_row(tmp_path_factory, told, cuts):
    source = source_of(new_lake(tmp_path_factory.mktemp("lake")), "orders", partitions=1)
    for key, (country, channel, extra) in enumerate(told):
        source.change(key, "c", ship_country=country, channel=channel, **extra)
    records = source.records()
    edges = [0, *sorted(cut for cut in cuts if cut < len(told)), len(told)]
    whole, *parts = (
        validator("orders").validate(records[start:stop], lambda _: records)
        for start, stop in [(0, len(told)), *pairwise(edges)]
    )
    assert pl.concat(parts).select(whole.columns).equals(whole)
    for (country, channel, extra), kept in zip(told, whole["_extra"], strict=True):
        expected = {name: str(value) for name, value in extra.items() if value is not None}
        if country is not None and spelling.country(country) is None:
            expected["ship_country"] = country
        if channel is not None and channel != "web":
            expected["channel"] = channel
        assert json.loads(kept or "{}") == expected


def amounts(total, rate, currency="JPY"):
    base = (total * rate * 2 + 10**8) // (2 * 10**8)
    return {
        "currency": currency, "exchange_rate": f"{rate // 10**8}.{rate % 10**8:08d}",
        "subtotal_amount": f"{total / 100:.2f}", "total_amount": f"{total / 100:.2f}",
        "base_total_amount": f"{base / 100:.2f}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("units", "rate", "currency", "is_right"),
    [
        pytest.param(10_000_000, 612_345, "JPY", True, id="60,000-euros-in-yen"),
        pytest.param(1_600_000_000, 612_345, "JPY", True, id="9.8-million-in-yen"),
        pytest.param(1_700_000_000, 612_345, "JPY", False, id="10.4-million-in-yen"),
        pytest.param(900_000, 305_000_000, "KWD", True, id="2.7-million-in-dinars"),
        pytest.param(4_000_000, 305_000_000, "KWD", False, id="12-million-in-dinars"),
        pytest.param(10_000_000, 10**8, "EUR", True, id="ten-million"),
        pytest.param(10_000_001, 10**8, "EUR", False, id="a-euro-more"),
    ],
)
def test_amounts_of_an_order_are_limited_by_what_they_are_worth(
    tmp_path, units, rate, currency, is_right
):
    source = source_of(new_lake(tmp_path), "orders")
    source.change(1, "c", **amounts(units * 100, rate, currency))
    (broken,) = validated(source)[BROKEN]
    expected = None if is_right else "subtotal_cents_out_of_range,total_cents_out_of_range"
    assert broken == expected


TOTAL, RATE = st.integers(0, MOST_FOREIGN_CENTS), st.integers(1, 10**10)
EDGES = [(MOST_CENTS, 10**8), (MOST_CENTS + 1, 10**8), (MOST_FOREIGN_CENTS, 100_000),
         (MOST_FOREIGN_CENTS, 100_001), (0, 1), (MOST_CENTS * 3, 33_333_333)]  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(orders=st.lists(st.tuples(TOTAL, RATE), min_size=1, max_size=30))
@example(orders=EDGES)
def test_limit_in_the_base_currency_is_exact_at_any_rate(tmp_path_factory, orders):
    source = source_of(new_lake(tmp_path_factory.mktemp("lake")), "orders", partitions=1)
    for key, (total, rate) in enumerate(orders):
        source.change(key, "c", **amounts(total, rate))
    found = validated(source)[BROKEN].fill_null("").str.split(",").to_list()
    is_beyond = ["total_cents_out_of_range" in broken for broken in found]
    assert is_beyond == [total * rate > MOST_CENTS * 10**8 for total, rate in orders]


@pytest.mark.parametrize(
    ("table", "values"),
    [("payments", {"amount": "10000000.01", "currency": "JPY"}),
     ("order_lines", {"unit_price_amount": "1000000000.00", "quantity": 1,
                      "line_total_amount": "1000000000.00"})],
)  # fmt: skip
def test_amounts_without_a_rate_of_their_own_are_right_in_any_currency(tmp_path, table, values):
    source = source_of(new_lake(tmp_path), table).change(1, "c", **values)
    assert validated(source)[BROKEN].to_list() == [None]


def test_run_names_the_values_counts_their_changes_and_calls_them_neither_clean_nor_bad(tmp_path):
    lake = new_lake(tmp_path)
    source = source_of(lake, "orders")
    for key, country in enumerate(["QQ", "France", "QQ", "FR", "Narnia", "XK"]):
        source.change(key, "c", ship_country=country)
    source.change(9, "c", ship_country="QQ", status="gone").land()
    (report,) = consolidate_silver(lake, replace(RULES, batch=BatchLimits(records=2)), [ORDERS])
    assert (report.read, report.cleaned, report.quarantined, report.merged) == (7, 1, 1, 6)
    (unknown,) = report.unknown
    assert (unknown.column, unknown.changes) == ("ship_country", 3)
    says = '("Narnia", "QQ") and count as unknown'
    assert unknown.message().startswith(
        f"orders.ship_country: 3 changes have values in no list {says}"
    )
    counted = {}
    for row in rows_of(lake, "rule_counts"):
        outcome = row["outcome"], row["rule"]
        counted[outcome] = counted.get(outcome, 0) + row["changes"]
    assert counted == {
        ("seen", ""): 7, ("cleaned", "ship_country_cleaned"): 1,
        ("unknown", "ship_country_unknown"): 3, ("quarantined", "status_unknown"): 1,
    }  # fmt: skip


def test_run_with_many_unknown_values_names_five_and_shortens_them(tmp_path):
    lake = new_lake(tmp_path)
    source = source_of(lake, "interactions")
    for key in range(40):
        source.change(key, "c", device=f"{key:02}" + "x" * 5_000)
    source.land()
    (report,) = consolidate_silver(
        lake, replace(RULES, batch=BatchLimits(records=7)), [source.entity]
    )
    (unknown,) = report.unknown
    assert unknown.changes == 40
    assert [value[:4] for value in unknown.values] == ['"00x', '"01x', '"02x', '"03x', '"04x']
    assert len(unknown.message()) < 600


def test_live_counts_as_silver_does(tmp_path):
    lake = new_lake(tmp_path)
    source = source_of(lake, "orders")
    source.change(1, "c", ship_country="QQ").change(2, "c", ship_country="XK", currency="BTC")
    reader = ChangeReader(validator=RULES.validator(ORDERS))
    found = reader.read(source.landing())
    assert found.quarantined == 0
    source.land()
    consolidate_silver(lake, RULES, [ORDERS])
    names = ["order_id", "ship_country", "currency", "base_total_cents"]
    of_silver = [{name: row[name] for name in names} for row in live(lake, "cleaned_sales")]
    shown = [dict(zip(reader.columns, row, strict=True)) for row in found.current]
    of_live = sorted(
        ({name: row[name] for name in names} for row in shown), key=lambda row: row["order_id"]
    )
    assert of_live == sorted(of_silver, key=lambda row: row["order_id"])
    assert [row["ship_country"] for row in of_live] == [UNKNOWN, "XK"]


def of_orders(lake):
    reports = compare_silver(lake, RULES, Examples(limit=3))
    return next(one.findings for one in reports if one.table == "cleaned_sales")


def test_what_an_older_contract_quarantined_comes_back_when_it_is_redriven(tmp_path):
    lake = new_lake(tmp_path)
    source = source_of(lake, "orders")
    source.change(1, "c", ship_country="QQ").change(2, "c").change(2, "u", currency="BTC")
    source.change(3, "c", **amounts(1_000_000_000, 612_345), status="gone").land()
    consolidate_silver(lake, RULES, [before_issue(ORDERS)])
    assert [row["order_id"] for row in live(lake, "cleaned_sales")] == [2]
    assert of_orders(lake).unaccounted.count == 2

    (redriven,) = redrive(lake, RULES, Selection())
    assert (redriven.keys, redriven.accepted, redriven.left) == (3, 2, 1)
    hourly = rows_of(lake, "cleaned_sales")
    assert {row["order_id"]: row["ship_country"] for row in hourly} == {1: UNKNOWN, 2: "FR"}
    assert {row["order_id"]: row["currency"] for row in hourly} == {1: "EUR", 2: UNKNOWN}
    found = of_orders(lake)
    assert (found.is_exact, found.unknown, found.quarantined) == (True, 2, 1)
    rebuild_silver(lake, RULES, [ORDERS])
    assert rows_of(lake, "cleaned_sales") == hourly


def test_value_that_the_contract_learns_is_known_after_a_rebuild(tmp_path, monkeypatch):
    lake = new_lake(tmp_path)
    source_of(lake, "orders").change(1, "c", ship_country="QQ").land()
    consolidate_silver(lake, RULES, [ORDERS])
    monkeypatch.setitem(spelling._countries(), "qq", "QQ")
    (report,) = rebuild_silver(lake, RULES, [ORDERS])
    assert report.unknown == ()
    (row,) = live(lake, "cleaned_sales")
    assert (row["ship_country"], row["_extra"]) == ("QQ", None)
