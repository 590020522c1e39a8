"""Contracts of orders, their lines and their payments. Amounts are in the order's currency."""

import narwhals as nw

from lakehouse.contracts.model import (
    MOST_CENTS,
    MOST_FOREIGN_CENTS,
    MOST_KEY_BYTES,
    RATE_SCALE,
    Cleaning,
    Column,
    Derivation,
    Derived,
    Entity,
    OnUnknown,
    Rule,
    Type,
    day_and_month,
    row_times,
)


def _amount(name: str, description: str, *, rate: str = "") -> Column:
    """Declare an amount, limited by its value in the base currency if the row has a rate."""
    return Column(
        name=f"{name}_cents", source=f"{name}_amount", type=Type.CENTS, description=description,
        unit="cents of the order's currency", required=True, minimum=0, maximum=MOST_FOREIGN_CENTS,
        maximum_in_base=MOST_CENTS if rate else None, rate=rate,
    )  # fmt: skip


def _of_order(name: str, description: str) -> Column:
    return _amount(name, description, rate="exchange_rate_e8")


def _currency() -> Column:
    # Each order has its own rate, so its amounts count even if the currency code is unknown.
    return Column(
        name="currency", type=Type.TEXT, required=True, cleaning=Cleaning.CURRENCY,
        on_unknown=OnUnknown.COUNT, description="ISO 4217 code of the order's currency.",
    )  # fmt: skip


def _step(status: str) -> Column:
    return Column(
        name=f"{status}_at",
        type=Type.TIMESTAMP,
        not_in_future=True,
        description=f"When it was {status}.",
    )


def _is_converted() -> nw.Expr:
    """`base_total = round(total * rate)`, half up, without leaving whole numbers."""
    exact = nw.col("total_cents") * nw.col("exchange_rate_e8")
    rounded = nw.col("base_total_cents") * RATE_SCALE
    return (exact - rounded <= RATE_SCALE // 2) & (rounded - exact <= RATE_SCALE // 2)


ORDERS = Entity(
    table="orders",
    silver="cleaned_sales",
    grain="one row per order",
    key="order_id",
    raw="raw_sales",
    indexed=(("customer_id",),),
    is_sale=True,
    columns=(
        Column(name="order_id", type=Type.INTEGER, required=True, description="Order id."),
        Column(
            name="customer_id", type=Type.INTEGER,
            description="The customer; absent once the account is deleted.",
        ),
        Column(
            name="channel", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT,
            allowed_values=("web", "mobile_app", "marketplace", "phone"),
            description="Sales channel.",
        ),
        Column(
            name="status", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # Decides whether the order counts. Unknown values are quarantined, the last one stays.
            on_unknown=OnUnknown.QUARANTINE,
            allowed_values=(
                "placed", "paid", "packed", "shipped", "delivered", "cancelled", "returned",
                "refunded",
            ),
            description="Status of the order.",
        ),
        _currency(),
        Column(
            name="exchange_rate_e8", source="exchange_rate", type=Type.RATE, required=True,
            minimum=1, maximum=10**14, unit="hundred-millionths of the base currency's unit",
            description="Exchange rate of the currency when the order was placed.",
        ),
        _of_order("subtotal", "Sum of the lines."),
        _of_order("discount", "Deducted from the lines."),
        _of_order("shipping", "Charged for delivery."),
        _of_order("tax", "Charged on lines minus discount plus shipping."),
        _of_order("total", "What the customer pays."),
        Column(
            name="base_total_cents", source="base_total_amount", type=Type.CENTS, required=True,
            unit="cents of the base currency", minimum=0, maximum=MOST_CENTS * 10,
            description="The total at the order's own exchange rate.",
        ),
        Column(
            name="coupon_code", type=Type.TEXT, cleaning=Cleaning.SPACES,
            description="Coupon code of the discount.",
        ),
        Column(
            name="ship_city", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="City of delivery.",
        ),
        Column(
            name="ship_region", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            most_bytes=MOST_KEY_BYTES, description="Region of delivery, by name.",
        ),
        Column(
            name="ship_country", type=Type.TEXT, required=True, cleaning=Cleaning.COUNTRY,
            on_unknown=OnUnknown.COUNT,
            description="Country of delivery, ISO 3166-1 alpha-2, or XK.",
        ),
        Column(
            name="placed_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When the order was placed.",
        ),
        _step("paid"),
        _step("packed"),
        _step("shipped"),
        _step("delivered"),
        _step("cancelled"),
        _step("returned"),
        _step("refunded"),
        *row_times(),
    ),
    derived=(
        *day_and_month("placed", "Day on which the order was placed."),
        Derived(
            name="ship_region_code", type=Type.TEXT, how=Derivation.REGION_CODE,
            inputs=("ship_country", "ship_region"),
            description="Region of delivery, ISO 3166-2; absent if the name is unknown.",
        ),
    ),
    rules=(
        Rule(
            name="total_adds_up",
            description="Subtotal minus discount plus shipping plus tax is the total.",
            holds=lambda: (
                nw.col("subtotal_cents")
                - nw.col("discount_cents")
                + nw.col("shipping_cents")
                + nw.col("tax_cents")
                == nw.col("total_cents")
            ),
        ),
        Rule(
            name="discount_within_subtotal",
            description="The discount is not more than the lines.",
            holds=lambda: nw.col("discount_cents") <= nw.col("subtotal_cents"),
        ),
        Rule(
            name="base_total_is_converted",
            description="The base total is the total at the order's rate, rounded half up.",
            holds=_is_converted,
        ),
    ),
    partition="placed_month",
)  # fmt: skip

ORDER_LINES = Entity(
    table="order_lines",
    silver="cleaned_sale_lines",
    grain="one row per product in an order",
    key="order_line_id",
    raw="raw_sale_lines",
    indexed=(("order_id",),),
    is_sale=True,
    columns=(
        Column(name="order_line_id", type=Type.INTEGER, required=True, description="Line id."),
        Column(name="order_id", type=Type.INTEGER, required=True, description="Its order."),
        Column(
            name="line_number", type=Type.INTEGER, required=True, minimum=1,
            description="Its number within the order, from 1.",
        ),
        Column(name="product_id", type=Type.INTEGER, required=True, description="The product."),
        Column(
            name="warehouse_code", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            most_bytes=MOST_KEY_BYTES, description="The warehouse that ships it.",
        ),
        Column(
            name="quantity", type=Type.INTEGER, required=True, minimum=1, maximum=500,
            unit="units", description="Quantity ordered.",
        ),
        _amount("unit_price", "Price of one unit."),
        _amount("line_total", "Quantity times unit price."),
        *row_times(),
    ),
    derived=(
        *day_and_month("created", "Day on which the line was created."),
    ),
    rules=(
        Rule(
            name="line_total_adds_up",
            description="The line's total is its quantity times its unit price.",
            holds=lambda: (
                nw.col("quantity") * nw.col("unit_price_cents") == nw.col("line_total_cents")
            ),
        ),
    ),
    partition="created_month",
)  # fmt: skip

PAYMENTS = Entity(
    table="payments",
    silver="cleaned_payments",
    grain="one row per attempt to move money: a payment to the shop, or a refund by it",
    key="payment_id",
    indexed=(("order_id",),),
    columns=(
        Column(name="payment_id", type=Type.INTEGER, required=True, description="Payment id."),
        Column(
            name="order_id", type=Type.INTEGER, required=True, description="The order paid for.",
        ),
        Column(
            name="kind", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # A payment must not be counted as a refund, or the reverse.
            on_unknown=OnUnknown.QUARANTINE, allowed_values=("payment", "refund"),
            description="Payment to the shop, or refund by it.",
        ),
        Column(
            name="method", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT,
            allowed_values=(
                "card", "paypal", "bank_transfer", "apple_pay", "google_pay", "invoice",
            ),
            description="Payment method.",
        ),
        Column(
            name="status", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            # Decides whether money counts. Unknown values are quarantined, the last one stays.
            on_unknown=OnUnknown.QUARANTINE, allowed_values=("pending", "captured", "failed"),
            description="Status of the payment.",
        ),
        Column(
            name="amount_cents", source="amount", type=Type.CENTS, required=True,
            unit="cents of the order's currency", minimum=1, maximum=MOST_FOREIGN_CENTS,
            description="Amount, not negative; `kind` has the direction.",
        ),
        _currency(),
        Column(
            name="provider_reference", type=Type.TEXT, required=True, cleaning=Cleaning.SPACES,
            description="The payment provider's reference.",
        ),
        Column(
            name="settled_at", type=Type.TIMESTAMP, not_in_future=True,
            description="When the provider reported success or failure.",
        ),
        *row_times(),
    ),
    derived=(
        *day_and_month("created", "Day of the attempt."),
    ),
    partition="created_month",
)  # fmt: skip

RETURNS = Entity(
    table="returns",
    silver="cleaned_returns",
    grain="one row per order line that came back",
    key="return_id",
    indexed=(("order_id",),),
    columns=(
        Column(name="return_id", type=Type.INTEGER, required=True, description="Return id."),
        Column(name="order_id", type=Type.INTEGER, required=True, description="Its order."),
        Column(
            name="order_line_id", type=Type.INTEGER, required=True,
            description="The line that came back.",
        ),
        Column(
            name="quantity", type=Type.INTEGER, required=True, minimum=1, maximum=500,
            unit="units", description="Units that came back.",
        ),
        Column(
            name="reason", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT,
            allowed_values=(
                "damaged", "wrong_item", "not_as_described", "too_small", "too_large",
                "changed_mind", "arrived_late",
            ),
            description="Why the customer sent it back.",
        ),
        Column(
            name="condition", type=Type.TEXT, required=True, cleaning=Cleaning.CHOICE,
            on_unknown=OnUnknown.COUNT, allowed_values=("unopened", "opened", "damaged"),
            description="In which condition it arrived.",
        ),
        _amount("refund", "The line's share of the order's refund."),
        Column(
            name="returned_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When it came back.",
        ),
        *row_times(),
    ),
    derived=(
        *day_and_month("returned", "Day on which it came back."),
    ),
    partition="returned_month",
)  # fmt: skip
