"""Damage for each check: it is the one that finds it, and finds nothing without."""

from datetime import timedelta

import pytest

from batch.warehouse import affected
from batch.warehouse.checks import FailedCheckError, all_checks, run_checks
from batch.warehouse.entities import TABLES
from batch.warehouse.marts import mart
from batch.warehouse.session import SESSION
from batch.warehouse.staging import settle, stage
from tests.warehouse import AT, LIMIT, loaded_connection
from tests.warehouse_history import silver_after

pytestmark = pytest.mark.integration

YESTERDAY, LAST_HOUR, NOW = (AT - timedelta(minutes=m) for m in (24 * 60 + 30, 30, 0))
SHOP = {
    # Two orders in the last full hour, two in the same hour of the day before, one of now.
    "orders": [
        {"order_id": number, "placed_at": at, "subtotal_cents": 100, "discount_cents": 0,
         "shipping_cents": 0, "tax_cents": 0, "base_total_cents": 100}
        for number, at in enumerate((YESTERDAY, YESTERDAY, LAST_HOUR, LAST_HOUR, NOW), 1)
    ],
    "order_lines": [
        {"order_line_id": number, "order_id": number, "line_number": 1, "product_id": 1}
        for number in range(1, 6)
    ],
    "products_history": [
        {"product_id": 1, "valid_from_at": AT - timedelta(days=9), "valid_to_at": AT,
         "_offset": 0},
        {"product_id": 1, "valid_from_at": AT, "_offset": 1, "category": "Toys"},
    ],
    "customers_history": [{"customer_id": 1, "valid_from_at": AT - timedelta(days=9)}],
    "payments": [{"payment_id": 1, "order_id": 1, "kind": "payment"}],
    "stock_movements": [
        {"movement_id": number, "kind": "receipt", "quantity": 5, "occurred_at": at}
        for number, at in enumerate((AT - timedelta(days=1), AT), 1)
    ],
}  # fmt: skip
VALIDATED = {
    "quarantine_share": 0.0, "max_quarantine_share": LIMIT.max_share,
    "changes_seen": LIMIT.min_changes, "min_quarantine_changes": LIMIT.min_changes,
}  # fmt: skip
LINE_1 = "update mart.fact_transactions set {} where order_id = 1"
CASES = {
    "codes_are_known": [
        "insert into changed_orders (order_id, ship_country, _is_deleted) "
        "values (1, 'unknown', false)",
    ],
    "every_line_is_a_fact": [
        "delete from mart.fact_transactions where order_line_id = 1",
        "delete from entity.order_lines where order_line_id = 1",
    ],
    "lines_have_orders": [LINE_1.format("placed_at = null")],
    "members_are_known": [
        LINE_1.format("product_key = -1"), LINE_1.format("customer_key = -1")
    ],
    "order_totals_are_equal": [
        LINE_1.format("total_cents = total_cents + 1"),
        LINE_1.format("total_cents = total_cents - 1"),
        LINE_1.format("refund_cents = refund_cents + 1"),
        # Free, and its shipping is on no line.
        "with free as (update entity.orders set subtotal_cents = 0, shipping_cents = 100 "
        "where order_id = 1), line as (update entity.order_lines set line_total_cents = 0 "
        "where order_id = 1) update mart.fact_transactions set total_cents = 0 where order_id = 1",
        # A line is missing, and those that are here have more than their order.
        "with more as (update entity.orders set subtotal_cents = 200 where order_id = 1) "
        + LINE_1.format("total_cents = 101"),
    ],
    "order_totals_are_in_facts": [
        "update entity.orders set subtotal_cents = 200, total_cents = 200, base_total_cents = 200 "
        "where order_id = 1",
        "with gone as (delete from mart.fact_transactions where order_id = 1) "
        "delete from entity.order_lines where order_id = 1",
    ],
    "orders_of_last_hour": [
        "update mart.fact_transactions set placed_at = placed_at - interval '9 hours' "
        "where order_id in (3, 4)",
    ],
    "payments_are_in_range": ["update entity.payments set amount_cents = 1000000001"],
    "stocks_carry_over": [
        "update mart.fact_stocks set opening_units = opening_units + 1, adjusted_units = "
        "adjusted_units - 1 where date_key = '2026-03-10'",
        "update mart.fact_stocks set closing_units = closing_units + 1 "
        "where date_key = '2026-03-10'",
    ],
    "versions_do_not_overlap": [
        "update mart.dim_products set valid_to_at = valid_to_at + interval '1 s' "
        "where valid_to_at is not null",
        "insert into mart.dim_customers select (jsonb_populate_record(d, "
        "'{\"customer_key\": 77, \"valid_from_at\": \"2026-01-01 00:00:00+00\"}')).* "
        "from mart.dim_customers as d where d.customer_id = 1",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(warehouse_server):
    with loaded_connection(warehouse_server, silver_after([SHOP])) as connection:
        yield connection


@pytest.fixture
def load(loaded):
    """In a load's transaction in which everything is affected; it is rolled back."""
    loaded.execute(SESSION)
    for table in TABLES:
        stage(loaded, table)
        settle(loaded, table, is_whole=False)
    for phase in (affected.create, affected.everything, affected.after):
        for statement in phase(mart()):
            loaded.execute(statement)
    yield loaded
    loaded.rollback()


def found_by(connection, **validated):
    try:
        results = run_checks(connection, all_checks(), {**VALIDATED, **validated})
    except FailedCheckError as error:
        results = error.results
    assert {one.name for one in results} == {one.name for one in all_checks()}
    return {one.name: one.offending_rows for one in results if one.offending_rows}


def test_what_is_right_passes_all(load):
    assert found_by(load) == {}


@pytest.mark.parametrize(("check", "damage"), [(c, d) for c, all_ in CASES.items() for d in all_])
def test_damage_is_found_by_its_check_alone(check, damage, load):
    assert load.execute(damage).rowcount
    assert set(found_by(load)) == {check}


@pytest.mark.parametrize(
    ("check", "changes"),
    [("quarantine_share", LIMIT.min_changes), ("quarantine_share_of_few", LIMIT.min_changes - 1)],
)
def test_too_large_a_share_in_quarantine_is_found(check, changes, load):
    found = found_by(load, quarantine_share=LIMIT.max_share + 0.01, changes_seen=changes)
    assert found == {check: 1}


def test_every_check_has_seen_damage():
    assert {*CASES, "quarantine_share", "quarantine_share_of_few"} == {c.name for c in all_checks()}


def test_money_in_no_fact_is_told_order_by_order_and_all_together(load):
    load.execute("delete from entity.order_lines where order_id in (1, 2)")
    load.execute("delete from mart.fact_transactions where order_id in (1, 2)")
    load.execute("update entity.orders set base_total_cents = 250 where order_id = 2")
    (check,) = (one for one in all_checks() if one.name == "order_totals_are_in_facts")
    (told,) = run_checks(load, [check], VALIDATED)
    assert (told.offending_rows, told.stops) == (2, False)
    names = ("order_id", "in_no_fact_cents", "all_in_no_fact_cents")
    told_of = [[one[name] for name in names] for one in told.examples]
    assert told_of == [[2, 250, 350], [1, 100, 350]]
    load.execute("update entity.orders set status = 'cancelled', paid_at = null")
    load.execute("drop table run_input")
    (told,) = run_checks(load, [check], VALIDATED)
    assert told.offending_rows == 0


def test_order_whose_first_line_is_in_quarantine_is_one_of_the_hour(load):
    load.execute("update mart.fact_transactions set line_number = 2 where order_id in (3, 4)")
    assert found_by(load) == {}
