"""Metric dictionary: the definition of each metric and its day. Charts and tables use it.

An order *counts* unless it was cancelled before it was paid. All metrics of an order count on the
day on which it was placed, including its refund: a day shows what its orders were worth in the
end. Order-level amounts are allocated to the lines by largest remainder, to the cent; evenly if
all weights are zero. The share of missing lines (delayed, quarantined, never written) is in no
metric; `reconcile` and the check `order_totals_are_in_facts` report how much that is.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. `formula` is in terms of contract columns and of other metrics."""

    name: str
    title: str
    unit: str
    formula: str
    recognised: str


_BASE = "cents of the base currency"
_WHEN_PLACED = "the day the order was placed, while the order counts"

METRICS: tuple[Metric, ...] = (
    Metric(
        name="orders", title="Orders", unit="orders",
        formula="number of orders that count", recognised=_WHEN_PLACED,
    ),
    Metric(
        name="units", title="Units sold", unit="units",
        formula="sum of the lines' quantity", recognised=_WHEN_PLACED,
    ),
    Metric(
        name="gross_revenue_cents", title="Gross revenue", unit=_BASE,
        formula="net_revenue_cents + discount_cents", recognised=_WHEN_PLACED,
    ),
    Metric(
        name="discount_cents", title="Discounts", unit=_BASE,
        formula="the line's share of the order's discount, at the order's rate",
        recognised=_WHEN_PLACED,
    ),
    Metric(
        name="net_revenue_cents", title="Net revenue", unit=_BASE,
        formula="line total minus discount, without shipping and tax: its part of base_total_cents",
        recognised=_WHEN_PLACED,
    ),
    Metric(
        name="shipping_cents", title="Shipping charged", unit=_BASE,
        formula="the line's share of shipping: its part of base_total_cents",
        recognised=_WHEN_PLACED,
    ),
    Metric(
        name="tax_cents", title="Tax charged", unit=_BASE,
        formula="the line's share of tax: its part of base_total_cents", recognised=_WHEN_PLACED,
    ),
    Metric(
        name="total_cents", title="Total charged", unit=_BASE,
        formula="net_revenue_cents + shipping_cents + tax_cents; all lines: base_total_cents",
        recognised=_WHEN_PLACED,
    ),
    Metric(
        name="refund_cents", title="Refunds", unit=_BASE,
        formula="captured refunds at the order's rate, spread over the lines like total_cents",
        recognised="the day the order was placed, once the refund is captured",
    ),
    Metric(
        name="cost_cents", title="Cost of goods", unit=_BASE,
        formula="quantity * the product's cost as it was when the order was placed",
        recognised=_WHEN_PLACED,
    ),
    Metric(
        name="margin_cents", title="Margin", unit=_BASE,
        formula="net_revenue_cents - cost_cents", recognised=_WHEN_PLACED,
    ),
)  # fmt: skip
"""In the order of an income statement."""

_SESSION = "sessions"
SHARE = "parts of one"
_VISITED = "the day of the visit; over midnight, on both"
VISITS: tuple[Metric, ...] = (
    Metric(
        name="sessions", title="Visits", unit=_SESSION,
        formula="visits that viewed a product or got further; a review alone does not count",
        recognised=_VISITED,
    ),
    Metric(
        name="cart_sessions", title="Visits with a cart", unit=_SESSION,
        formula="visits that reached the cart or further", recognised=_VISITED,
    ),
    Metric(
        name="checkout_sessions", title="Visits at the checkout", unit=_SESSION,
        formula="visits that reached the checkout or further", recognised=_VISITED,
    ),
    Metric(
        name="purchase_sessions", title="Visits with a purchase", unit=_SESSION,
        formula="visits with a purchase", recognised=_VISITED,
    ),
    Metric(
        name="conversion", title="Visits that bought", unit=SHARE,
        formula="purchase_sessions / sessions", recognised=_VISITED,
    ),
    Metric(
        name="cart_abandonment", title="Abandoned carts", unit=SHARE,
        formula="(cart_sessions - purchase_sessions) / cart_sessions", recognised=_VISITED,
    ),
    Metric(
        name="checkout_abandonment", title="Abandoned checkouts", unit=SHARE,
        formula="(checkout_sessions - purchase_sessions) / checkout_sessions",
        recognised=_VISITED,
    ),
)  # fmt: skip
"""Visits by furthest step of the day; a visit also counts for all steps before it."""

BY_NAME = {metric.name: metric for metric in (*METRICS, *VISITS)}
