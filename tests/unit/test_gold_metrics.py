"""The metrics of gold, on frames small enough to check by hand."""

from datetime import date, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from batch.gold import builders
from batch.gold import run as gold_run
from batch.gold.transforms.behaviour import customer_behaviour
from batch.gold.transforms.customers import (
    TOTALS,
    added_up,
    customer_lifetime_value,
    customer_totals,
)
from batch.gold.transforms.products import product_performance
from batch.gold.transforms.sale_lines import sale_lines
from batch.gold.transforms.sales import geographic_sales, sales_kpi
from batch.gold.transforms.stock import levels_updated, stock_health, stock_levels
from lakehouse.contracts.gold import GOLD_TABLES, month_of
from lakehouse.contracts.metrics import BY_NAME
from lakehouse.contracts.schemas import gold_schema
from tests.unit.gold_shop import (
    NOON,
    Row,
    frame,
    line,
    movement,
    order,
    refund,
    rows,
    version,
    visit,
)

DAY = timedelta(days=1)


def sold(orders: list[Row], lines: list[Row], *payments: Row) -> "nw.LazyFrame[Any]":
    history = [version(1, 1, NOON - DAY), version(2, 2, NOON - DAY, category="Toys")]
    return sale_lines(
        frame("cleaned_sales", *orders),
        frame("cleaned_sale_lines", *lines),
        frame("cleaned_payments", *payments),
        frame("products_history", *history),
    )


def test_sales_are_added_up_by_day_country_channel_and_category() -> None:
    orders = [order(1), order(2), order(3, ship_country="FR")]
    lines = [
        line(1, 1, 4_000), line(2, 1, 6_000, product_id=2), line(3, 2, 10_000, quantity=3),
        line(4, 3, 10_000),
    ]  # fmt: skip
    made = rows(sales_kpi(sold(orders, lines, refund(1, 2, 500))), "country", "category")
    assert [(one["country"], one["category"], one["orders"], one["units"]) for one in made] == [
        ("DE", "Books", 2, 4), ("DE", "Toys", 1, 1), ("FR", "Books", 1, 1),
    ]  # fmt: skip
    assert made[0]["net_revenue_cents"] == 14_000
    assert made[0]["refund_cents"] == 500
    assert (made[0]["cost_cents"], made[0]["margin_cents"]) == (1_600, 12_400)


def test_orders_that_do_not_count_are_in_no_metric() -> None:
    lost = sold([order(1, status="cancelled", paid_at=None)], [line(1, 1, 10_000)])
    assert rows(sales_kpi(lost)) == rows(geographic_sales(lost)) == []
    assert rows(customer_totals(lost)) == []
    assert rows(product_performance(lost, frame("cleaned_interactions"))) == []


def test_lines_of_unknown_cost_are_left_out_of_cost_and_margin_only() -> None:
    lines = [line(1, 1, 4_000), line(2, 1, 6_000, product_id=77)]
    (made,) = rows(geographic_sales(sold([order(1)], lines)))
    assert (made["net_revenue_cents"], made["cost_cents"], made["margin_cents"]) == (
        10_000, 400, 3_600,
    )  # fmt: skip


def test_an_order_of_two_lines_is_one_order_of_its_region() -> None:
    orders = [order(1), order(2, ship_region="Nowhere", ship_region_code=None)]
    lines = [line(1, 1, 4_000), line(2, 1, 6_000), line(3, 2, 10_000)]
    made = rows(geographic_sales(sold(orders, lines)), "region")
    assert [(one["region"], one["region_code"], one["orders"]) for one in made] == [
        ("Berlin", "DE-BE", 1), ("Nowhere", None, 1),
    ]  # fmt: skip


def test_a_products_conversion_is_orders_per_view() -> None:
    visits = [
        visit(1, "view", product_id=1), visit(2, "view", product_id=1),
        visit(3, "view", product_id=1), visit(4, "cart", product_id=1),
        visit(5, "review", product_id=1, rating=4), visit(6, "purchase"),
        visit(7, "view", product_id=5),
    ]  # fmt: skip
    lines = [line(1, 1, 4_000, quantity=2), line(2, 1, 6_000, product_id=2)]
    returned = [order(1, returned_at=NOON + 9 * DAY)]
    made = rows(
        product_performance(sold(returned, lines), frame("cleaned_interactions", *visits)),
        "product_id",
    )
    first, second, third = made
    assert (first["views"], first["carts"], first["reviews"], first["rating_stars"]) == (3, 1, 1, 4)
    assert (first["orders"], first["conversion_basis_points"]) == (1, 3_333)
    assert (first["returned_units"], first["return_basis_points"]) == (2, 10_000)
    assert (second["views"], second["conversion_basis_points"]) == (0, None)
    assert (third["product_id"], third["units"], third["return_basis_points"]) == (5, 0, None)


def test_a_session_counts_at_the_furthest_step_and_at_all_before() -> None:
    visits = [
        visit(1, "view", session_id="looks"),
        visit(2, "view", session_id="fills"), visit(3, "cart", session_id="fills"),
        visit(4, "checkout", session_id="leaves"),
        visit(5, "cart", session_id="buys", customer_id=1),
        visit(6, "purchase", session_id="buys", customer_id=1),
        visit(7, "purchase", session_id="owes", customer_id=2),
        visit(8, "review", session_id="reviews"),
    ]  # fmt: skip
    orders = [order(1), order(2, customer_id=2, paid_at=None)]
    made = customer_behaviour(
        frame("cleaned_interactions", *visits), frame("cleaned_sales", *orders)
    )
    (only,) = rows(made)
    steps = ("sessions", "cart_sessions", "checkout_sessions", "purchase_sessions", "paid_sessions")
    assert [only[step] for step in steps] == [5, 4, 3, 2, 1]
    assert (only["views"], only["carts"], only["reviews"]) == (2, 2, 1)
    assert only["conversion_basis_points"] == 4_000
    assert only["cart_abandonment_basis_points"] == 5_000
    assert only["checkout_abandonment_basis_points"] == 3_333


def test_a_visit_over_midnight_counts_on_both_days_and_by_device() -> None:
    visits = [
        visit(1, "view"), visit(2, "cart", occurred_at=NOON + DAY),
        visit(3, "view", device="tablet"),
    ]  # fmt: skip
    made = rows(
        customer_behaviour(frame("cleaned_interactions", *visits), frame("cleaned_sales")),
        "business_date", "device",
    )  # fmt: skip
    assert [(one["device"], one["sessions"], one["cart_sessions"]) for one in made] == [
        ("desktop", 1, 0), ("tablet", 1, 0), ("desktop", 1, 1),
    ]  # fmt: skip


def test_a_day_of_reviews_alone_has_no_session() -> None:
    made = customer_behaviour(
        frame("cleaned_interactions", visit(1, "review")), frame("cleaned_sales")
    )
    (only,) = rows(made)
    assert (only["sessions"], only["reviews"], only["conversion_basis_points"]) == (0, 1, None)


def customer(last: date, orders: int, cents: int, refund_cents: int = 0) -> Row:
    """One customer's score, at the end of 2026."""
    totals = dict.fromkeys(TOTALS, 0) | {
        "customer_id": 1, "first_order_date": last, "last_order_date": last, "orders": orders,
        "total_cents": cents, "refund_cents": refund_cents,
    }  # fmt: skip
    made = customer_lifetime_value(
        nw.from_native(pl.DataFrame([totals]).lazy()), date(2026, 12, 31)
    )
    (only,) = rows(made)
    return only


@pytest.mark.parametrize(
    ("last", "score"),
    [
        (date(2026, 12, 1), 5),
        (date(2026, 11, 30), 4),
        (date(2026, 10, 2), 4),
        (date(2026, 10, 1), 3),
        (date(2026, 7, 4), 3),
        (date(2026, 7, 3), 2),
        (date(2025, 12, 31), 2),
        (date(2025, 12, 30), 1),
    ],
)
def test_recency_is_scored_by_days_before_the_end_of_the_month(last: date, score: int) -> None:
    assert customer(last, 1, 1)["recency_score"] == score


@pytest.mark.parametrize(("orders", "score"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (10, 5)])
def test_frequency_is_scored_by_orders(orders: int, score: int) -> None:
    assert customer(date(2026, 12, 1), orders, 1)["frequency_score"] == score


@pytest.mark.parametrize(
    ("cents", "refunded", "score"), [(4_999, 0, 1), (5_000, 0, 2), (150_000, 0, 5), (150_000, 1, 4)]
)
def test_monetary_value_is_what_stayed_after_refunds(cents: int, refunded: int, score: int) -> None:
    made = customer(date(2026, 12, 1), 1, cents, refunded)
    assert made["lifetime_value_cents"] == cents - refunded
    assert made["monetary_score"] == score


@pytest.mark.parametrize(
    ("last", "orders", "cents", "segment"),
    [
        (date(2026, 12, 1), 5, 50_000, "champion"),
        (date(2026, 12, 1), 3, 100, "loyal"),
        (date(2026, 12, 1), 1, 100, "new"),
        (date(2026, 11, 1), 1, 100, "promising"),
        (date(2026, 8, 1), 1, 100, "needs_attention"),
        (date(2026, 1, 1), 1, 50_000, "at_risk"),
        (date(2026, 1, 1), 1, 100, "lost"),
    ],
)
def test_a_segment_follows_from_the_scores(
    last: date, orders: int, cents: int, segment: str
) -> None:
    assert customer(last, orders, cents)["segment"] == segment


def test_totals_of_months_add_up_to_those_of_the_whole() -> None:
    months = [order(1), order(2, placed_at=NOON + 40 * DAY), order(3, customer_id=None)]
    parts = [
        customer_totals(sold([one], [line(n, one["order_id"], 10_000)]))
        for n, one in enumerate(months)
    ]
    (only,) = rows(added_up(nw.concat(parts)))
    assert (only["customer_id"], only["orders"], only["total_cents"]) == (1, 2, 20_000)
    assert (only["first_order_date"], only["last_order_date"]) == (
        NOON.date(), (NOON + 40 * DAY).date(),
    )  # fmt: skip


def levels(*signed: tuple[Row, int]) -> "nw.LazyFrame[Any]":
    signs = pl.LazyFrame({"sign": [sign for _, sign in signed]}, schema={"sign": pl.Int64})
    moves = frame("cleaned_stock_movements", *(one for one, _ in signed)).to_native()
    return stock_levels(nw.from_native(pl.concat([moves, signs], how="horizontal")))


def health(*movements: Row) -> Row:
    recent = frame("cleaned_stock_movements", *movements)
    (only,) = rows(stock_health(levels(*((one, 1) for one in movements)), recent, NOON.date()))
    return only


def test_cover_is_stock_by_daily_demand_of_four_weeks() -> None:
    # 56 sold in 28 days are 2 a day; 100 left last 50 days.
    made = health(movement(1, "receipt", 156), movement(2, "sale", -56))
    assert (made["on_hand_units"], made["units_sold"], made["days_of_cover"]) == (100, 56, 50)


def test_sales_before_the_window_are_no_demand() -> None:
    inside, outside = NOON - 27 * DAY, NOON - 28 * DAY
    made = health(
        movement(1, "receipt", 100), movement(2, "sale", -5, occurred_at=inside),
        movement(3, "sale", -9, occurred_at=outside),
    )  # fmt: skip
    assert (made["on_hand_units"], made["units_sold"]) == (86, 5)


@pytest.mark.parametrize(
    ("received", "sold_units", "risk"),
    [
        (28, 28, "out_of_stock"),
        (20, 28, "out_of_stock"),
        (28 + 6, 28, "critical"),
        (28 + 7, 28, "low"),
        (28 + 20, 28, "low"),
        (28 + 21, 28, "healthy"),
        (28 + 179, 28, "healthy"),
        (28 + 180, 28, "overstocked"),
        (5, 0, "idle"),
    ],
)
def test_risk_follows_from_days_of_cover(received: int, sold_units: int, risk: str) -> None:
    sale = [movement(2, "sale", -sold_units)] if sold_units else []
    assert health(movement(1, "receipt", received), *sale)["risk"] == risk


def test_levels_are_updated_by_differences_and_end_with_the_last_movement() -> None:
    kept, gone = movement(1, "receipt", 10), movement(2, "receipt", 7, product_id=2)
    differences = levels((kept, -1), (kept | {"quantity": 4}, 1), (gone, -1))
    (only,) = rows(levels_updated(levels((kept, 1), (gone, 1)), differences))
    assert (only["product_id"], only["movements"], only["on_hand_units"]) == (1, 1, 4)


@pytest.mark.parametrize("name", GOLD_TABLES)
def test_a_contract_names_its_keys_and_takes_amounts_from_the_dictionary(name: str) -> None:
    table = GOLD_TABLES[name]
    assert set(table.key) <= set(table.names)
    assert all(not gold_schema(table).field(key).nullable for key in table.key)
    assert table.partition is None or table.partition in table.names
    known = {*BY_NAME, "lifetime_value_cents"}
    assert {column for column in table.names if column.endswith("_cents")} <= known
    assert all(column.description.endswith(".") for column in table.columns)


@pytest.mark.parametrize("day", [date(24, 11, 3), date(999, 1, 31), date(2026, 12, 1)])
def test_month_of_a_day_is_written_as_silver_writes_it(day):
    (written,) = pl.Series([day]).dt.strftime("%Y-%m")
    assert month_of(day) == written
    assert [month for month, _ in builders._periods([day])] == [written]
    assert f"'{written}'" in gold_run._on([day])
