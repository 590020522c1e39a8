"""The metric dictionary: what each metric means and when it counts. Charts and tables use these.

An order *counts* unless it was cancelled before it was paid. All that comes of an order counts on
the day on which it was placed, its refund included: a day says what its orders were worth in the
end. Order-level amounts are spread over the lines by largest remainder, to the cent; evenly where
no line weighs anything. Of lines that are not here (on their way, in quarantine, never written) no
metric has the part; `reconcile` and the check `order_totals_are_in_facts` say how much that is.
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
"""In the order in which an income statement has them."""

_SESSION = "sessions"
SHARE = "parts of one"
_VISITED = "the day of the visit; over midnight, on both"
VISITS: tuple[Metric, ...] = (
    Metric(
        name="sessions", title="Visits", unit=_SESSION,
        formula="visits that looked at a product, or got further; a review alone makes none",
        recognised=_VISITED,
    ),
    Metric(
        name="cart_sessions", title="Visits with a cart", unit=_SESSION,
        formula="of these, got as far as the cart or further", recognised=_VISITED,
    ),
    Metric(
        name="checkout_sessions", title="Visits at the checkout", unit=_SESSION,
        formula="of these, got to the checkout or further", recognised=_VISITED,
    ),
    Metric(
        name="purchase_sessions", title="Visits with a purchase", unit=_SESSION,
        formula="of these, bought", recognised=_VISITED,
    ),
    Metric(
        name="conversion", title="Visits that bought", unit=SHARE,
        formula="purchase_sessions / sessions", recognised=_VISITED,
    ),
    Metric(
        name="cart_abandonment", title="Carts given up", unit=SHARE,
        formula="(cart_sessions - purchase_sessions) / cart_sessions", recognised=_VISITED,
    ),
    Metric(
        name="checkout_abandonment", title="Checkouts given up", unit=SHARE,
        formula="(checkout_sessions - purchase_sessions) / checkout_sessions",
        recognised=_VISITED,
    ),
)  # fmt: skip
"""How far visits came: each counts at the furthest step of the day, and at all before it."""

BY_NAME = {metric.name: metric for metric in (*METRICS, *VISITS)}
