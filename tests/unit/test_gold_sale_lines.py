"""Amounts of order lines, to the cent. Expected values are computed by hand or with fractions."""

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from math import floor

import narwhals as nw
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.gold.transforms.arithmetic import Spread, at_rate, basis_points, divided_product
from batch.gold.transforms.sale_lines import sale_lines
from lakehouse.contracts.model import MOST_FOREIGN_CENTS
from tests.unit.gold_shop import NOON, Row, frame, line, order, refund, rows, version


def valued(
    orders: Sequence[Row],
    lines: Sequence[Row],
    payments: Sequence[Row] = (),
    history: Sequence[Row] = (),
) -> list[Row]:
    made = sale_lines(
        frame("cleaned_sales", *orders),
        frame("cleaned_sale_lines", *lines),
        frame("cleaned_payments", *payments),
        frame("products_history", *history),
    )
    return rows(made, "order_line_id")


def of(lines: Sequence[Row], name: str) -> list[object]:
    return [one[name] for one in lines]


def spread(amount: int, weights: Sequence[int], whole: int) -> list[int]:
    given_rows = pl.DataFrame(
        {
            "group": 1,
            "id": range(len(weights)),
            "amount": amount,
            "weight": weights,
            "whole": whole,
        },
        schema_overrides=dict.fromkeys(("amount", "weight", "whole"), pl.Int64),
    )
    spreading = Spread(
        amount="amount", weight="weight", whole="whole", share="share", group="group", ties=["id"]
    )
    return [one["share"] for one in rows(spreading.over(nw.from_native(given_rows.lazy())), "id")]


def exact_shares(amount: int, weights: Sequence[int], whole: int) -> list[Fraction]:
    """Exact shares as fractions, the rest last; equal shares if all weights are 0."""
    divisor = max(whole, sum(weights))
    if divisor == 0:
        return [*(Fraction(amount, len(weights)) for _ in weights), Fraction(0)]
    return [Fraction(amount * weight, divisor) for weight in (*weights, divisor - sum(weights))]


def largest_remainder(amount: int, weights: Sequence[int], whole: int) -> list[int]:
    """The shares of the rows and, last, of the rest."""
    exact = exact_shares(amount, weights, whole)
    shares = [floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda n: (shares[n] - exact[n], n))
    for n in by_remainder[: amount - sum(shares)]:
        shares[n] += 1
    return shares


AMOUNTS = st.integers(0, 10**10)
WEIGHTS = st.lists(st.just(0) | st.integers(0, 10**9), min_size=1, max_size=6)
WHOLES = st.just(0) | st.integers(0, 6 * 10**9)
"""Less than the sum of the weights, more, or 0."""


@settings(deadline=None)  # the machine may be busy
@given(amount=AMOUNTS, weights=WEIGHTS, whole=WHOLES)
def test_shares_add_up_and_are_within_one_of_exact(
    amount: int, weights: list[int], whole: int
) -> None:
    shares = spread(amount, weights, whole)
    *expected, rest = largest_remainder(amount, weights, whole)
    assert shares == expected
    assert sum(shares) + rest == amount
    exact = exact_shares(amount, weights, whole)
    assert all(abs(share - part) < 1 for share, part in zip((*shares, rest), exact, strict=True))
    if whole <= sum(weights):
        assert sum(shares) == amount


def test_where_no_row_has_weight_all_have_the_same_and_the_first_what_is_left_over() -> None:
    assert spread(11, [0, 0, 0], 0) == [4, 4, 3]
    assert spread(1, [0, 0], 0) == [1, 0]
    # The rows with weight are missing: all of it is theirs.
    assert spread(11, [0, 0, 0], 5) == [0, 0, 0]
    # The rows weigh more than the whole: their sum is used.
    assert spread(11, [5, 0, 5], 5) == [6, 0, 5]


@settings(deadline=None)  # the machine may be busy
@given(
    amount=st.integers(0, 2**63 - 1),
    weight=st.integers(0, 2**63 - 1),
    whole=st.integers(1, 2**63 - 1),
)
@example(amount=MOST_FOREIGN_CENTS, weight=MOST_FOREIGN_CENTS, whole=MOST_FOREIGN_CENTS)
@example(amount=2**63 - 2, weight=2**63 - 2, whole=2**63 - 1)
def test_a_product_beyond_64_bits_is_divided_exactly(amount: int, weight: int, whole: int) -> None:
    weight = min(weight, whole)
    numbers = pl.DataFrame({"a": [amount], "w": [weight], "n": [whole]}).lazy()
    quotient, rest = divided_product(nw.col("a"), nw.col("w"), nw.col("n"))
    (found,) = rows(nw.from_native(numbers).select(quotient.alias("q"), rest.alias("r")))
    assert (found["q"], found["r"]) == divmod(amount * weight, whole)


def test_rates_and_basis_points_are_rounded_half_up() -> None:
    numbers = pl.DataFrame({"cents": [1, 1, 3], "rate": [50_000_000, 49_999_999, 10**14]}).lazy()
    found = nw.from_native(numbers).select(
        at_rate(nw.col("cents"), nw.col("rate")).alias("base"),
        basis_points(nw.col("cents"), nw.col("cents") * 16).alias("share"),
        basis_points(nw.col("cents"), nw.col("cents") * 0).alias("of_nothing"),
    )
    made = rows(found, "base")
    assert of(made, "base") == [0, 1, 3_000_000]
    assert of(made, "share") == [625] * 3
    assert of(made, "of_nothing") == [None] * 3


@settings(deadline=None)  # the machine may be busy
@given(cents=st.integers(0, MOST_FOREIGN_CENTS), rate=st.integers(1, 10**14))
@example(cents=MOST_FOREIGN_CENTS, rate=99_999_999)
def test_any_amount_is_converted_exactly_though_the_product_overflows(
    cents: int, rate: int
) -> None:
    numbers = pl.DataFrame({"cents": [cents], "rate": [rate]}).lazy()
    base = at_rate(nw.col("cents"), nw.col("rate")).alias("base")
    (found,) = rows(nw.from_native(numbers).select(base))
    assert found["base"] == (cents * rate * 2 + 10**8) // (2 * 10**8)


def test_a_discount_that_does_not_divide_goes_to_the_largest_remainder() -> None:
    # 100 * 3333/10000 = 33.33, 33.33 and 33.34: the cent goes to the third line.
    lines = [line(1, 1, 3_333), line(2, 1, 3_333), line(3, 1, 3_334)]
    made = valued([order(1, discount_cents=100, total_cents=9_900, base_total_cents=9_900)], lines)
    assert of(made, "discount_cents") == [33, 33, 34]
    assert of(made, "net_revenue_cents") == [3_300, 3_300, 3_300]
    assert of(made, "gross_revenue_cents") == [3_333, 3_333, 3_334]


def test_equal_remainders_go_to_the_lower_line_whatever_order_the_rows_come_in() -> None:
    lines = [line(9, 1, 5_000), line(3, 1, 5_000)]
    made = valued(
        [order(1, shipping_cents=499, total_cents=10_499, base_total_cents=10_499)], lines
    )
    assert of(made, "order_line_id") == [3, 9]
    assert of(made, "shipping_cents") == [250, 249]


def test_a_foreign_order_adds_up_to_its_base_total() -> None:
    # 10 yen at 0.0061 is 6.1 cents: 5 and 5 yen of net; the rest of the total is tax.
    header = order(
        1, exchange_rate_e8=610_000, subtotal_cents=1_000, tax_cents=100, total_cents=1_100,
        base_total_cents=7,
    )  # fmt: skip
    made = valued([header], [line(1, 1, 500), line(2, 1, 500)])
    # 7 * 500/1100 = 3.18, twice; 7 * 50/1100 = 0.32, twice: the cent goes to the first line's tax.
    assert of(made, "net_revenue_cents") == [3, 3]
    assert of(made, "tax_cents") == [1, 0]
    assert sum(one["total_cents"] for one in made) == 7


def test_between_equal_remainders_net_comes_before_shipping_before_tax() -> None:
    header = order(
        1, subtotal_cents=100, shipping_cents=100, tax_cents=100, total_cents=300,
        base_total_cents=2, exchange_rate_e8=500_000,
    )  # fmt: skip
    (made,) = valued([header], [line(1, 1, 100)])
    assert [made[f"{name}_cents"] for name in ("net_revenue", "shipping", "tax")] == [1, 1, 0]


def test_a_line_that_is_missing_keeps_its_part() -> None:
    header = order(1, discount_cents=1_000, total_cents=9_000, base_total_cents=9_000)
    (alone,) = valued([header], [line(1, 1, 4_000)])
    assert (alone["discount_cents"], alone["net_revenue_cents"]) == (400, 3_600)
    complete = valued([header], [line(1, 1, 4_000), line(2, 1, 6_000)])
    assert complete[0] == alone


def test_an_order_worth_nothing_gives_lines_worth_nothing() -> None:
    header = order(1, subtotal_cents=0, total_cents=0, base_total_cents=0)
    (made,) = valued([header], [line(1, 1, 0)])
    assert {made[name] for name in ("total_cents", "discount_cents", "refund_cents")} == {0}


def free(**charges: int) -> Row:
    """An order of free lines with charges."""
    total = sum(charges.values())
    amounts = {f"{name}_cents": cents for name, cents in charges.items()}
    values = {"subtotal_cents": 0, "total_cents": total, "base_total_cents": total} | amounts
    return order(1, **values)


def test_charges_of_an_order_whose_lines_are_free_go_evenly_to_these() -> None:
    (alone,) = valued([free(shipping=490)], [line(1, 1, 0)])
    assert (alone["shipping_cents"], alone["total_cents"]) == (490, 490)
    made = valued([free(shipping=491, tax=1)], [line(3, 1, 0), line(1, 1, 0), line(2, 1, 0)])
    assert of(made, "shipping_cents") == [164, 164, 163]
    assert of(made, "tax_cents") == [1, 0, 0]
    assert of(made, "net_revenue_cents") == of(made, "gross_revenue_cents") == [0, 0, 0]


def test_charges_of_free_lines_in_yen_add_up_in_the_base_currency() -> None:
    # 500 yen at 0.0061 are 3.05 cents: 250 and 250 yen of 3 cents are 1.5 each.
    header = free(shipping=500) | {"exchange_rate_e8": 610_000, "base_total_cents": 3}
    assert of(valued([header], [line(1, 1, 0), line(2, 1, 0)]), "shipping_cents") == [2, 1]


def test_a_refund_of_an_order_worth_nothing_goes_evenly_to_its_lines() -> None:
    # Fully discounted, with a refund as compensation.
    header = order(1, discount_cents=10_000, total_cents=0, base_total_cents=0)
    made = valued([header], [line(1, 1, 9_000), line(2, 1, 1_000)], [refund(1, 1, 501)])
    assert of(made, "total_cents") == [0, 0]
    assert of(made, "refund_cents") == [251, 250]


def test_a_refund_is_kept_where_the_order_rounds_to_nothing_in_the_base_currency() -> None:
    # 1 at 0.004 rounds to 0, 200 are 0.8 and round to 1 cent.
    header = order(1, exchange_rate_e8=400_000, subtotal_cents=1, total_cents=1, base_total_cents=0)
    (made,) = valued([header], [line(1, 1, 1)], [refund(1, 1, 200)])
    assert (made["total_cents"], made["refund_cents"]) == (0, 1)


def test_a_refund_larger_than_the_lines_is_spread_like_the_total() -> None:
    made = valued([order(1)], [line(1, 1, 2_500), line(2, 1, 7_500)], [refund(1, 1, 40_001)])
    assert of(made, "refund_cents") == [10_000, 30_001]


def test_lines_worth_more_than_their_order_says_have_no_more_than_it_has() -> None:
    # A line arrived before the order's new subtotal.
    made = valued([order(1, shipping_cents=10, total_cents=10_010, base_total_cents=10_010)],
                  [line(1, 1, 10_000), line(2, 1, 10_000)])  # fmt: skip
    assert of(made, "total_cents") == [5_005, 5_005]


def test_only_captured_refunds_count_and_are_spread_like_the_total() -> None:
    lines = [line(1, 1, 2_500), line(2, 1, 7_500)]
    payments = [
        refund(1, 1, 1_000), refund(2, 1, 1), refund(3, 1, 50, status="pending"),
        refund(4, 1, 70, kind="payment"),
    ]  # fmt: skip
    # 1001 * 1/4 = 250.25 and 750.75.
    assert of(valued([order(1)], lines, payments), "refund_cents") == [250, 751]


def test_refunds_in_foreign_currency_are_taken_at_the_orders_rate() -> None:
    header = order(1, exchange_rate_e8=50_000_000, base_total_cents=5_000)
    (made,) = valued([header], [line(1, 1, 10_000)], [refund(1, 1, 1_001)])
    assert made["refund_cents"] == 501
    # Each is rounded by itself: 501 and 501.
    (made,) = valued([header], [line(1, 1, 10_000)], [refund(1, 1, 1_001), refund(2, 1, 1_001)])
    assert made["refund_cents"] == 1_002


def test_cost_and_category_are_those_of_the_version_valid_when_it_was_placed() -> None:
    hour = timedelta(hours=1)
    history = [
        version(1, 5, NOON - hour, NOON, cost_cents=100),
        version(1, 6, NOON, NOON + hour, cost_cents=300, category="Toys"),
        version(1, 7, NOON + hour, cost_cents=900),
    ]
    (made,) = valued([order(1)], [line(1, 1, 10_000, quantity=2)], history=history)
    assert (made["category"], made["cost_cents"], made["margin_cents"]) == ("Toys", 600, 9_400)


def test_the_first_version_of_a_product_was_valid_for_ever_before() -> None:
    later = NOON + timedelta(days=3)
    history = [version(1, 5, later, later + timedelta(days=1)), version(1, 6, later, cost_cents=1)]
    (made,) = valued([order(1)], [line(1, 1, 10_000)], history=history)
    assert made["cost_cents"] == 400


def test_without_a_valid_version_cost_and_margin_are_unknown() -> None:
    deleted = version(1, 6, NOON - timedelta(hours=1), _deleted_at=NOON)
    history = [version(1, 5, NOON - timedelta(days=2), NOON - timedelta(hours=1)), deleted]
    made = valued([order(1)], [line(1, 1, 10_000), line(2, 1, 0, product_id=8)], history=history)
    assert of(made, "category") == ["unknown", "unknown"]
    assert of(made, "cost_cents") == of(made, "margin_cents") == [None, None]


def test_an_order_counts_unless_it_was_cancelled_before_it_was_paid() -> None:
    orders = [
        order(1),
        order(2, status="cancelled", cancelled_at=NOON, paid_at=None),
        order(3, status="cancelled", cancelled_at=NOON),
        order(4, status="placed", paid_at=None),
    ]
    made = valued(orders, [line(number, number, 10_000) for number in (1, 2, 3, 4)])
    assert of(made, "counts") == [True, False, True, True]


def test_a_line_without_its_order_is_left_out() -> None:
    assert valued([order(1)], [line(1, 99, 10_000)]) == []
