"""Views for the shop's director, where the plain case would hide a wrong rule."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from batch.runs import Kind, recorded
from lakehouse.errors import StopPipelineError
from tests.warehouse import MemorySilver, load_warehouse

pytestmark = pytest.mark.integration


def days_ago(days):
    """Noon of a day before today."""
    return (datetime.now(UTC) - timedelta(days=days)).replace(
        hour=12, minute=0, second=0, microsecond=0
    )


def loaded(warehouse, **tables):
    silver = MemorySilver()
    silver.commit(**tables)
    load_warehouse(warehouse.dsn, silver)
    return silver


def test_stock_that_did_not_exist_was_not_empty(warehouse):
    moved = {"warehouse_code": "A", "quantity": 10, "kind": "receipt"}
    sold = moved | {"quantity": -10, "kind": "sale"}
    loaded(
        warehouse,
        stock_movements=[
            # Begun and sold out a day ago: nothing is known of an empty day.
            moved | {"movement_id": 1, "product_id": 1, "occurred_at": days_ago(1)},
            sold | {"movement_id": 2, "product_id": 1, "occurred_at": days_ago(1)},
            # Begun nine days ago and sold out six days ago: five empty days of nine.
            moved | {"movement_id": 3, "product_id": 2, "occurred_at": days_ago(9)},
            sold | {"movement_id": 4, "product_id": 2, "occurred_at": days_ago(6)},
            # There long before: eight empty days of 28.
            moved | {"movement_id": 5, "product_id": 3, "occurred_at": days_ago(60)},
            sold | {"movement_id": 6, "product_id": 3, "occurred_at": days_ago(9)},
        ],
    )
    found = "select product_id, empty_days, lost_units from mart.lost_sales order by 1"
    assert warehouse.query(found) == [(2, 5, 10 * 5 / 4), (3, 8, 10 * 8 / 20)]


def test_coupon_that_alone_changes_takes_its_orders_along(warehouse):
    order = {"order_id": 1, "placed_at": days_ago(3), "coupon_code": "SUMMER"}
    silver = loaded(warehouse, orders=[order], order_lines=[{"order_line_id": 1, "order_id": 1}])
    coupons = "select coupon, orders from mart.daily_coupons"
    assert warehouse.query(coupons) == [("SUMMER", 1)]
    silver.commit(orders=[order | {"coupon_code": None}])
    load_warehouse(warehouse.dsn, silver)
    assert warehouse.query(coupons) == [("none", 1)]


def test_revenue_is_compared_with_a_target_only_where_each_day_has_one(warehouse):
    day = warehouse.query("select max(last_date) from mart.compared_periods")[0][0]
    warehouse.execute(
        "insert into etl.target (month_start_date, net_revenue_cents) "
        f"values ('{day.replace(day=1)}', 100)"
    )
    periods = dict(warehouse.query("select period, target_cents from mart.compared_periods"))
    assert periods["Month so far"] is not None
    assert (periods["Year so far"] is None) == (day.month > 1)


@pytest.mark.parametrize(
    ("scope", "fails", "moves"),
    [
        ({"layers": ["silver", "gold", "warehouse"], "entities": []}, False, True),
        ({"layers": ["silver", "gold", "warehouse"], "entities": ["orders"]}, False, False),
        ({"layers": ["warehouse"], "entities": []}, False, False),
        ({"layers": ["silver", "gold", "warehouse"], "entities": []}, True, False),
    ],
)
def test_charts_are_as_of_the_last_run_that_read_everything(warehouse, scope, fails, moves):
    as_of = "select as_of_at from mart.freshness"
    assert warehouse.query(as_of) == [(None,)]

    def run():
        with recorded(warehouse.dsn, kind=Kind.CONSOLIDATION, scope=scope):
            loaded(warehouse, orders=[{"order_id": 1}])
            if fails:
                message = "not all"
                raise StopPipelineError(message)

    if fails:
        with pytest.raises(StopPipelineError):
            run()
    else:
        run()
    assert (warehouse.query(as_of)[0][0] is not None) == moves


def test_orders_that_wait_for_payment_are_late_beyond_what_is_usual(warehouse):
    paid = [
        {
            "order_id": n, "placed_at": days_ago(10),
            "paid_at": days_ago(10) + timedelta(minutes=n), "status": "paid",
        }
        for n in range(1, 21)
    ]  # fmt: skip
    waits = {"placed_at": days_ago(5), "paid_at": None, "status": "placed"}
    # Placed when the test runs, not when it was collected: that may be half an hour ago.
    just_placed = waits | {"order_id": 22, "placed_at": datetime.now(UTC)}
    orders = [*paid, waits | {"order_id": 21}, just_placed]
    lines = [
        {"order_line_id": one["order_id"], "order_id": one["order_id"], "warehouse_code": "A"}
        for one in orders
    ]
    loaded(warehouse, orders=orders, order_lines=lines)
    warehouse.execute("refresh materialized view mart.waiting_orders")
    found = "select orders, late_orders from mart.waiting_orders where step = 'paid'"
    assert warehouse.query(found) == [(2, 1)]


def test_usual_durations_are_computed_once_for_all_orders_that_wait(warehouse):
    """Also by the plan for one such order, which is what statistics without any lead to."""
    steps = {f"{step}_at": days_ago(2) for step in ("paid", "packed", "shipped")}
    order = {"status": "shipped", "placed_at": days_ago(3), **steps}
    lines = [{"order_line_id": number, "order_id": number} for number in range(30)]
    loaded(warehouse, orders=[order | {"order_id": n} for n in range(30)], order_lines=lines)
    ways = ("hashjoin", "mergejoin", "material", "memoize")
    options = " ".join(f"-c enable_{way}=off" for way in ways)
    with psycopg.connect(warehouse.dsn, options=options) as connection:
        [(query,)] = connection.execute("select pg_get_viewdef('mart.waiting_orders')").fetchall()
        explain = f"explain (analyze, format json) {query}"
        [([plan],)] = connection.execute(explain.encode()).fetchall()
    by_warehouse = {"p.warehouse_code", "(min(f.warehouse_code))"}
    usual = [one for one in nodes(plan["Plan"]) if by_warehouse & {*one.get("Group Key", ())}]
    assert [node["Actual Loops"] for node in usual] == [1]


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize(
    ("day", "length", "bounds", "is_whole"),
    [
        ("2026-11-09", "P1W", ("2026-11-09", "2026-11-16"), True),
        ("2026-11-15", "P1W", ("2026-11-09", "2026-11-16"), True),
        ("2026-11-15", "P1W", ("2026-11-10", "2026-11-16"), False),
        ("2026-11-09", "P1W", ("2026-11-09", "2026-11-15"), False),
        ("2026-02-28", "P1M", ("2026-02-01", "2026-03-01"), True),
        ("2024-02-29", "P1M", ("2024-02-01", "2024-02-29"), False),
        ("2026-02-28", "P3M", (None, "2026-04-01"), True),
        ("2026-02-28", "P1Y", (None, None), False),
        ("2025-02-28", "P1Y", (None, None), True),
        ("yesterday", "P1D", (None, "infinity"), True),
        ("today", "P1D", (None, "infinity"), False),
    ],
)
def test_period_is_whole_within_its_bounds_and_before_today(
    warehouse, day, length, bounds, is_whole
):
    first, last = ("null" if bound is None else f"'{bound}'" for bound in bounds)
    today = "(now() at time zone 'Pacific/Kiritimati')::date"
    day = {"today": today, "yesterday": f"{today} - 1"}.get(day, f"'{day}'")
    # As charts ask: by their role, whose clock is not the shop's.
    options = "-c timezone=UTC -c shop.time_zone=Pacific/Kiritimati"
    with psycopg.connect(warehouse.reader_dsn, options=options) as connection:
        found = connection.execute(
            f"select mart.is_whole_period({day}, '{length}', {first}, {last})"
        ).fetchone()
    assert found == (is_whole,)
