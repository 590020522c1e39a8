"""Amounts of each order line in the base currency. Grain: one row per `order_line_id`.

Formulas are those of the metric dictionary (`lakehouse.contracts.metrics`); `amounts` rounds.
"""

import narwhals as nw

from batch.gold.transforms import Frame
from batch.gold.transforms.arithmetic import Spread, at_rate
from batch.gold.transforms.versions import valid_version
from lakehouse.contracts.gold import DAY, MONEY, MONTH
from lakehouse.contracts.model import MOST_CENTS, RATE_SCALE, UNKNOWN

_COMPONENTS = {"net": "net_revenue_cents", "shipping": "shipping_cents", "tax": "tax_cents"}
"""Components in the order in which they get a leftover cent, and their base-currency columns."""
AMOUNTS = tuple(name for name in MONEY if name not in ("cost_cents", "margin_cents"))
"""Columns of `amounts`."""
_ORDER = (
    "order_id", "customer_id", "channel", "exchange_rate_e8", "subtotal_cents",
    "base_total_cents", "placed_at",
)  # fmt: skip
_LINE = ("order_line_id", "order_id", "product_id", "warehouse_code", "quantity")
COLUMNS = (
    "order_line_id", "order_id", "product_id", "warehouse_code", "customer_id", "placed_at", DAY,
    MONTH, "channel", "country", "region", "region_code", "category", "counts", "is_returned",
    "units", *MONEY,
)  # fmt: skip


def sale_lines(orders: Frame, lines: Frame, payments: Frame, products_history: Frame) -> Frame:
    """Return the lines of the given orders, each with its share of the order's amounts.

    Inputs are the current rows of `cleaned_sales`, `cleaned_sale_lines`, `cleaned_payments` and all
    rows of `products_history`; of each order, all lines and payments must be given.

    `counts` is false for an order that was cancelled before it was paid: its lines have amounts,
    but no table sums them. `category` and cost are those of the product version that was valid when
    the order was placed; without one the category is `unknown`, cost and margin are null, and sums
    leave them out.

    Returns:
        `COLUMNS`. Money in cents of the base currency. Grain: one row per order line.
    """
    sold = lines.select(*_LINE, "line_total_cents").join(_headers(orders), on="order_id")
    valued = amounts(sold.join(refunds(payments, orders), on="order_id", how="left"))
    versions = valid_version(sold, products_history)
    cost = nw.col("quantity") * nw.col("unit_cost_cents")
    return (
        sold.join(valued, on="order_line_id")
        .join(versions, on="order_line_id", how="left")
        .with_columns(
            cost.alias("cost_cents"),
            nw.col("category").fill_null(UNKNOWN),
            nw.col("quantity").alias("units"),
        )
        .with_columns((nw.col("net_revenue_cents") - nw.col("cost_cents")).alias("margin_cents"))
        .select(*COLUMNS)
    )


def counts() -> nw.Expr:
    """Return whether an order counts: all do but those cancelled before they were paid."""
    return ~((nw.col("status") == "cancelled") & nw.col("paid_at").is_null())


def amounts(lines: Frame) -> Frame:
    """Spread amounts of orders over their lines, to the cent, and convert to the base currency.

    1. Discount, shipping and tax, in the order's currency: weight is the line's total, the whole is
       the order's subtotal; ties go to the lower `order_line_id`.
    2. The order's total in the base currency: to net (line total minus discount), shipping and
       tax of all lines, weighted by these; the whole is the order's total; ties go to net before
       shipping before tax, then to the lower `order_line_id`. So the parts of a complete order add
       up to `base_total_cents`.
    3. The discount, converted at the order's rate and rounded half up; gross is net plus discount.
    4. Refunds, each converted at the order's rate and rounded half up, then summed: weight is the
       line's part of the total, the whole is `base_total_cents`.

    Method: largest remainder, see `Spread`. The shares of missing lines are left out. Where all
    weights are 0 (free lines, a total that is or rounds to 0), the amount is spread evenly over the
    present lines.

    Args:
        lines: with the columns of `_headers`, and `refund`, the refunds of the order in the base
            currency.

    Returns:
        `order_line_id` and `AMOUNTS`, in cents of the base currency. Grain: one row per line.
    """
    for part in ("discount", "shipping", "tax"):
        lines = _by_line(f"order_{part}", "line_total_cents", "subtotal_cents", part).over(lines)
    net = nw.col("line_total_cents") - nw.col("discount")
    discount = at_rate(nw.col("discount"), nw.col("exchange_rate_e8"))
    refund = nw.col("refund").fill_null(0)
    shares = lines.select(
        "order_id", "order_line_id", "order_total_cents", "base_total_cents", "shipping", "tax",
        net.alias("net"), discount.alias("discount_cents"), refund.alias("refund"),
    )  # fmt: skip
    total = nw.sum_horizontal("net_revenue_cents", "shipping_cents", "tax_cents")
    priced = _converted(shares).with_columns(
        total.alias("total_cents"),
        (nw.col("net_revenue_cents") + nw.col("discount_cents")).alias("gross_revenue_cents"),
    )
    given_back = _by_line("refund", "total_cents", "base_total_cents", "refund_cents")
    return given_back.over(priced).select("order_line_id", *AMOUNTS)


def _by_line(amount: str, weight: str, whole: str, share: str) -> Spread:
    return Spread(
        amount=amount, weight=weight, whole=whole, share=share,
        group="order_id", ties=("order_line_id",),
    )  # fmt: skip


def _converted(shares: Frame) -> Frame:
    """Convert net, shipping and tax to the base currency. Grain: one row per order line."""
    kept = ("order_line_id", "order_id", "base_total_cents", "discount_cents", "refund")
    parts = shares.unpivot(
        list(_COMPONENTS), index=[*kept, "order_total_cents"], variable_name="part",
        value_name="weight",
    ).with_columns(_number_of_component().alias("component"))  # fmt: skip
    spread = Spread(
        amount="base_total_cents", weight="weight", whole="order_total_cents", share="share",
        group="order_id", ties=("component", "order_line_id"),
    ).over(parts)  # fmt: skip
    of_component = [
        nw.when(nw.col("component") == number).then(nw.col("share")).otherwise(0).alias(name)
        for number, name in enumerate(_COMPONENTS.values())
    ]
    split = spread.with_columns(*of_component).group_by(*kept)
    return split.agg(*(nw.col(name).sum() for name in _COMPONENTS.values()))


def _number_of_component() -> nw.Expr:
    number = nw.lit(0)
    for n, name in enumerate(_COMPONENTS):
        number = nw.when(nw.col("part") == name).then(n).otherwise(number)
    return number


def _headers(orders: Frame) -> Frame:
    """Return the columns of orders that their lines need."""
    return orders.select(
        *_ORDER,
        counts().alias("counts"),
        (~nw.col("returned_at").is_null()).alias("is_returned"),
        nw.col("placed_date").alias(DAY),
        nw.col("placed_month").alias(MONTH),
        nw.col("ship_country").alias("country"),
        nw.col("ship_region").alias("region"),
        nw.col("ship_region_code").alias("region_code"),
        nw.col("total_cents").alias("order_total_cents"),
        nw.col("discount_cents").alias("order_discount"),
        nw.col("shipping_cents").alias("order_shipping"),
        nw.col("tax_cents").alias("order_tax"),
    )


def refunds(payments: Frame, orders: Frame) -> Frame:
    """Sum captured refunds in the base currency, as `refund`. Grain: one row per order with one.

    Each is converted and rounded by itself, as payments are; `payment_worth` tells which are left
    out.
    """
    is_refund = (nw.col("kind") == "refund") & (nw.col("status") == "captured")
    rates = orders.select("order_id", "exchange_rate_e8")
    captured = payments.filter(is_refund).select("order_id", "amount_cents")
    converted = captured.join(rates, on="order_id").with_columns(payment_worth().alias("refund"))
    return converted.group_by("order_id").agg(nw.col("refund").sum())


def payment_worth() -> nw.Expr:
    """Return a payment or refund in cents of the base currency, at its order's rate.

    Null above the maximum of an amount: a payment has no rate of its own, so its contract cannot
    check this, and sums of such amounts would exceed 64 bits.
    """
    amount, rate = nw.col("amount_cents"), nw.col("exchange_rate_e8")
    is_in_range = amount <= nw.lit(MOST_CENTS * RATE_SCALE) // rate
    return nw.when(is_in_range).then(at_rate(amount, rate))
