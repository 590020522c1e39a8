"""Rows that the simulator inserts: one type per table, fields named and ordered as columns.

Amounts are text made by `money.amount`; `version` is absent, since a trigger sets it.
"""

from datetime import date, datetime
from typing import Any, NamedTuple


class SupplierRow(NamedTuple):
    """A row of `suppliers`."""

    supplier_id: int
    name: str
    contact_name: str
    email: str
    phone: str
    country: str
    city: str
    lead_time_days: int
    created_at: datetime
    updated_at: datetime


class ProductRow(NamedTuple):
    """A row of `products`."""

    product_id: int
    supplier_id: int
    sku: str
    name: str
    category: str
    brand: str
    description: str
    price_amount: str
    cost_amount: str
    weight_grams: int
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CustomerRow(NamedTuple):
    """A row of `customers`."""

    customer_id: int
    first_name: str
    last_name: str
    email: str
    phone: str | None
    birth_date: date | None
    street: str
    postal_code: str
    city: str
    region: str
    country: str
    latitude: str
    longitude: str
    accepts_marketing: bool
    created_at: datetime
    updated_at: datetime


class OrderRow(NamedTuple):
    """A row of `orders`, as it is placed: timestamps of later steps are null."""

    order_id: int
    customer_id: int
    channel: str
    status: str
    currency: str
    exchange_rate: str
    subtotal_amount: str
    discount_amount: str
    shipping_amount: str
    tax_amount: str
    total_amount: str
    base_total_amount: str
    coupon_code: str | None
    ship_city: str
    ship_region: str
    ship_country: str
    placed_at: datetime
    created_at: datetime
    updated_at: datetime


class OrderLineRow(NamedTuple):
    """A row of `order_lines`."""

    order_line_id: int
    order_id: int
    line_number: int
    product_id: int
    warehouse_code: str
    quantity: int
    unit_price_amount: str
    line_total_amount: str
    created_at: datetime
    updated_at: datetime


class PaymentRow(NamedTuple):
    """A row of `payments`."""

    payment_id: int
    order_id: int
    kind: str
    method: str
    status: str
    amount: str
    currency: str
    provider_reference: str
    created_at: datetime
    updated_at: datetime


class StockMovementRow(NamedTuple):
    """A row of `stock_movements`."""

    movement_id: int
    product_id: int
    warehouse_code: str
    kind: str
    quantity: int
    order_id: int | None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime


class InteractionRow(NamedTuple):
    """A row of `interactions`."""

    interaction_id: int
    customer_id: int | None
    session_id: str
    product_id: int | None
    interaction_type: str
    device: str
    referrer: str | None
    rating: int | None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime


class ReturnRow(NamedTuple):
    """A row of `returns`."""

    return_id: int
    order_id: int
    order_line_id: int
    quantity: int
    reason: str
    condition: str
    refund_amount: str
    returned_at: datetime
    created_at: datetime
    updated_at: datetime


Row = tuple[Any, ...]
"""A row of any table: one of the types above."""

TABLE_OF: dict[type[Row], str] = {
    SupplierRow: "suppliers",
    ProductRow: "products",
    CustomerRow: "customers",
    OrderRow: "orders",
    OrderLineRow: "order_lines",
    PaymentRow: "payments",
    StockMovementRow: "stock_movements",
    InteractionRow: "interactions",
    ReturnRow: "returns",
}
"""The shop's tables, in an order in which rows can be inserted: referenced ones come first.

A table is declared here and in `oltp/<table>.sql`; keys, triggers and grants are derived from both.
"""

COLUMNS_OF: dict[str, tuple[str, ...]] = {
    table: tuple(shape.__annotations__) for shape, table in TABLE_OF.items()
}
"""The columns of each table that the simulator fills on insert; the first is the key."""
