"""The simulated shop behaves like one: when people buy, what, and what becomes of their orders."""

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby, pairwise

import pytest

from producers.geography import countries, places
from producers.lifecycle import _CONDITIONS, _REASONS, NEXT_STATUSES
from producers.shop import TASTES, taste_of
from tests.shops import DAYS, ORDERS, ZONE, three_weeks

STAGES = ("placed_at", "paid_at", "packed_at", "shipped_at", "delivered_at", "returned_at")


@pytest.fixture(scope="module")
def shop():
    return three_weeks()


@pytest.fixture(scope="module")
def lines_of(shop):
    return by_order(shop, "order_lines")


def by_order(shop, table):
    found = defaultdict(list)
    for row in shop.current[table].values():
        found[row["order_id"]].append(row)
    return found


def statuses(versions):
    """The statuses that an order had, one after the other."""
    found = [row["status"] for row in versions]
    return [s for s, before in zip(found, [None, *found], strict=False) if s != before]


def payments_of(shop, kind):
    """Captured amounts by order."""
    return {
        row["order_id"]: row["amount"]
        for row in shop.current["payments"].values()
        if row["kind"] == kind and row["status"] == "captured"
    }


def test_exactly_the_orders_asked_for_are_placed(shop):
    assert len(shop.current["orders"]) == ORDERS


def test_evenings_are_busy_and_nights_are_quiet(shop):
    hours = Counter(
        row["placed_at"].astimezone(ZONE).hour for row in shop.current["orders"].values()
    )
    assert hours.most_common(1)[0][0] in {19, 20, 21}
    assert sum(hours[h] for h in (19, 20, 21)) > 8 * sum(hours[h] for h in (2, 3, 4))


def test_weekends_sell_more_than_the_middle_of_the_week(shop):
    days = Counter(
        row["placed_at"].astimezone(ZONE).weekday() for row in shop.current["orders"].values()
    )
    assert min(days[5], days[6]) > 1.15 * max(days[1], days[2])


def test_orders_fill_the_whole_time(shop):
    dates = {row["placed_at"].astimezone(ZONE).date() for row in shop.current["orders"].values()}
    assert len(dates) >= DAYS


def test_few_products_make_half_of_the_sales_and_most_sell_now_and_then(shop):
    sold = Counter()
    for line in shop.current["order_lines"].values():
        sold[line["product_id"]] += line["quantity"]
    by_rank = [units for _, units in sold.most_common()]
    assert sum(by_rank[: len(by_rank) // 10]) > 0.45 * sum(by_rank)
    assert len(sold) > 0.8 * len(shop.current["products"])


def test_customers_mostly_buy_what_is_to_the_taste_of_their_city(shop):
    """So that recommendations have something to learn; by chance it were a third."""
    customers, orders = shop.versions["customers"], shop.current["orders"]
    is_of_taste = [
        line["product_id"] % TASTES == taste_of(customers[customer][0]["city"])
        for line in shop.current["order_lines"].values()
        if (customer := orders[line["order_id"]]["customer_id"]) is not None
    ]
    assert 0.6 < sum(is_of_taste) / len(is_of_taste) < 0.85


def test_a_third_of_orders_and_of_customers_are_of_who_came_back_some_of_them_often(shop):
    bought = Counter(
        row["customer_id"]
        for row in shop.current["orders"].values()
        if row["customer_id"] is not None
    )
    counts = bought.values()
    assert 0.25 < sum(n - 1 for n in counts) / sum(counts) < 0.4
    assert 0.25 < sum(n > 1 for n in counts) / len(counts) < 0.4
    assert sum(n >= 10 for n in counts) > 10


def test_every_order_goes_through_the_statuses_in_order(shop):
    for versions in shop.versions["orders"].values():
        path = statuses(versions)
        assert path[0] == "placed"
        for status, following in pairwise(path):
            assert following in NEXT_STATUSES[status], path


def test_orders_end_in_every_way_there_is(shop):
    ends = Counter(row["status"] for row in shop.current["orders"].values())
    assert set(ends) == set(NEXT_STATUSES)
    assert ends["delivered"] > 0.7 * ORDERS
    assert ends["cancelled"] + ends["refunded"] < 0.12 * ORDERS


def test_instants_of_an_order_come_in_the_order_of_its_life(shop):
    for row in shop.current["orders"].values():
        reached = [row[stage] for stage in STAGES if row.get(stage)]
        ends = [row[end] for end in ("cancelled_at", "refunded_at") if row.get(end)]
        assert reached == sorted(reached)
        assert ends == sorted(ends)
        assert not ends or ends[0] >= row["placed_at"]


def test_every_instant_of_a_row_is_no_earlier_than_the_version_before(shop):
    for table in shop.versions.values():
        for versions in table.values():
            instants = [row["updated_at"] for row in versions if row is not None]
            assert instants == sorted(instants)


def test_lines_add_up_to_every_order_as_it_stands(shop, lines_of):
    for key, order in shop.current["orders"].items():
        subtotal = sum(Decimal(line["line_total_amount"]) for line in lines_of[key])
        assert subtotal == Decimal(order["subtotal_amount"])
        for line in lines_of[key]:
            price, total = Decimal(line["unit_price_amount"]), Decimal(line["line_total_amount"])
            assert price * line["quantity"] == total


def test_amounts_of_every_version_of_every_order_add_up_to_the_cent(shop):
    for versions in shop.versions["orders"].values():
        for row in versions:
            subtotal, discount, shipping, tax, total, base_total = (
                Decimal(row[f"{name}_amount"])
                for name in ("subtotal", "discount", "shipping", "tax", "total", "base_total")
            )
            assert total == subtotal - discount + shipping + tax
            base = total * Decimal(row["exchange_rate"])
            assert base_total == base.quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_orders_in_yen_have_no_fractions_of_a_yen(shop):
    yen = [row for row in shop.current["orders"].values() if row["currency"] == "JPY"]
    assert yen
    for row in yen:
        assert all(
            Decimal(value) % 1 == 0
            for name, value in row.items()
            if name.endswith("_amount") and not name.startswith("base_")
        )


def test_an_order_is_paid_once_and_in_full(shop):
    paid = payments_of(shop, "payment")
    for key, order in shop.current["orders"].items():
        if order.get("paid_at"):
            assert Decimal(paid[key]) == Decimal(order["total_amount"])
        else:
            assert key not in paid


def test_only_what_was_paid_is_refunded_and_then_all_of_it(shop):
    paid, refunded = payments_of(shop, "payment"), payments_of(shop, "refund")
    assert refunded
    assert refunded == {key: paid[key] for key in refunded}
    assert set(refunded) == {
        key for key, row in shop.current["orders"].items() if row["status"] == "refunded"
    }


def test_a_returned_order_has_one_row_for_each_of_its_lines_and_another_order_none(shop, lines_of):
    returns = by_order(shop, "returns")
    returned = {key for key, row in shop.current["orders"].items() if row.get("returned_at")}
    assert len(returned) > 100
    assert set(returns) == returned
    for key in returned:
        wanted = sorted((line["order_line_id"], line["quantity"]) for line in lines_of[key])
        assert sorted((row["order_line_id"], row["quantity"]) for row in returns[key]) == wanted
        instants = {row["returned_at"] for row in returns[key]}
        assert instants == {shop.current["orders"][key]["returned_at"]}


def test_refunds_of_an_order_s_lines_add_up_to_its_refund_to_the_cent(shop):
    refunds = {
        row["order_id"]: Decimal(row["amount"])
        for row in shop.current["payments"].values()
        if row["kind"] == "refund"
    }
    orders = shop.current["orders"]
    compared = 0
    for key, rows in by_order(shop, "returns").items():
        total = sum(Decimal(row["refund_amount"]) for row in rows)
        assert total == Decimal(orders[key]["total_amount"])
        if key in refunds:
            compared += len(rows) > 1
            assert total == refunds[key]
    assert compared > 10


def test_every_reason_and_condition_occurs(shop):
    rows = shop.current["returns"].values()
    assert {row["reason"] for row in rows} == set(_REASONS)
    assert {row["condition"] for row in rows} == set(_CONDITIONS)


def test_stock_is_never_negative_mostly_there_and_runs_out_now_and_then(shop):
    stock, has_run_out, shares = Counter(), 0, []
    movements = shop.current["stock_movements"].values()
    for _, of_day in groupby(movements, lambda movement: movement["occurred_at"].date()):
        for movement in of_day:
            place = movement["product_id"], movement["warehouse_code"]
            stock[place] += movement["quantity"]
            assert stock[place] >= 0, movement
            has_run_out += stock[place] == 0
        shares.append(sum(units > 0 for units in stock.values()) / len(stock))
    assert has_run_out
    assert len(shares) >= DAYS
    assert min(shares) > 0.9


def test_what_is_paid_leaves_the_warehouse_and_what_comes_back_returns_to_it(shop, lines_of):
    moved = Counter()
    for row in shop.current["stock_movements"].values():
        if row["order_id"]:
            moved[row["order_id"], row["product_id"], row["warehouse_code"]] += row["quantity"]
    for key, order in shop.current["orders"].items():
        is_out = order.get("paid_at") and not (
            order.get("returned_at") or order.get("cancelled_at")
        )
        for line in lines_of[key]:
            place = key, line["product_id"], line["warehouse_code"]
            assert moved.pop(place, 0) == (-line["quantity"] if is_out else 0)
    assert not moved


@pytest.fixture(scope="module")
def visits(shop):
    """The stages of each visit, by session, in their order."""
    seen = defaultdict(list)
    for row in shop.current["interactions"].values():
        if row["interaction_type"] != "review":
            seen[row["session_id"]].append((row["occurred_at"], row["interaction_type"]))
    return {session: [kind for _, kind in sorted(steps)] for session, steps in seen.items()}


def test_two_to_four_percent_of_the_visits_buy_and_the_funnel_narrows(visits):
    stages = ("view", "cart", "checkout", "purchase")
    reached = Counter(max(map(stages.index, kinds)) for kinds in visits.values())
    funnel = [sum(reached[n] for n in range(stage, 4)) for stage in range(4)]
    assert all(wide > 1.3 * narrow for wide, narrow in pairwise(funnel)), funnel
    assert 0.02 < funnel[3] / funnel[0] < 0.04


def test_visits_cost_few_rows(shop):
    """A row for each of twenty visits per order would be most of what is captured."""
    assert len(shop.versions["interactions"]) < 6 * ORDERS


def test_who_buys_has_filled_a_cart_and_gone_to_the_checkout_before(visits):
    bought = 0
    for kinds in visits.values():
        if "purchase" in kinds:
            bought += 1
            assert kinds.index("cart") < kinds.index("checkout") < kinds.index("purchase")
    assert bought > 0.08 * ORDERS


def test_accounts_are_deleted_and_the_books_keep_the_orders(shop):
    deleted = [key for key, rows in shop.versions["customers"].items() if rows[-1] is None]
    was_theirs = [
        rows for rows in shop.versions["orders"].values() if rows[0]["customer_id"] in set(deleted)
    ]
    assert deleted
    assert was_theirs
    assert all(rows[-1]["customer_id"] is None for rows in was_theirs)
    assert not any(
        row["customer_id"] in set(deleted) for row in shop.current["interactions"].values()
    )


def test_customers_move_and_prices_and_suppliers_change(shop):
    def changed(table, column):
        return sum(
            len({row[column] for row in rows if row is not None}) > 1
            for rows in shop.versions[table].values()
        )

    assert changed("customers", "street") > 10
    assert changed("products", "price_amount") > 30
    assert changed("products", "supplier_id") > 2
    assert changed("products", "is_active") > 0
    assert changed("suppliers", "lead_time_days") > 0


def test_prices_of_a_line_are_those_of_the_day(shop):
    """In the base currency, so that no rate blurs them."""
    for line in shop.current["order_lines"].values():
        if shop.current["orders"][line["order_id"]]["currency"] == "EUR":
            prices = {row["price_amount"] for row in shop.versions["products"][line["product_id"]]}
            assert line["unit_price_amount"] in prices


def test_addresses_suit_their_country(shop):
    cities = {(place.country.code, place.city, place.region): place
              for of in places().values() for place in of}  # fmt: skip
    for row in shop.current["customers"].values():
        place = cities[row["country"], row["city"], row["region"]]
        assert abs(float(row["latitude"]) - place.latitude) < 0.05
        assert abs(float(row["longitude"]) - place.longitude) < 0.05
        assert len(row["postal_code"]) == len(place.postal)


def test_who_signs_up_has_a_phone_number_of_their_country(shop):
    for versions in shop.versions["customers"].values():
        if versions[0]["phone"]:
            country = countries()[versions[0]["country"]]
            assert versions[0]["phone"].split(" ")[0] == country.phone.split(" ")[0]


def test_orders_go_to_where_the_customer_lived(shop):
    for order in shop.current["orders"].values():
        if order["customer_id"] is not None:
            homes = shop.versions["customers"][order["customer_id"]]
            lived = {(row["country"], row["city"]) for row in homes}
            assert (order["ship_country"], order["ship_city"]) in lived


def test_an_account_is_older_than_what_it_does(shop):
    for row in shop.current["orders"].values():
        if row["customer_id"] is not None:
            customer = shop.current["customers"][row["customer_id"]]
            assert customer["created_at"] <= row["placed_at"]


def test_orders_are_on_their_way_for_days(shop):
    took = sorted(
        row["delivered_at"] - row["placed_at"]
        for row in shop.current["orders"].values()
        if row.get("delivered_at")
    )
    assert timedelta(days=1) < took[len(took) // 2] < timedelta(days=7)
