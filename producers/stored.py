"""Stored state of a shop, as far as the simulator needs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

T = TypeVar("T")

_SQL = Path(__file__).with_name("state")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSupplier:
    """A row of `state/suppliers.sql`."""

    supplier_id: int
    lead_time_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProduct:
    """A row of `state/products.sql`."""

    product_id: int
    supplier_id: int
    price_amount: str
    cost_amount: str
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStock:
    """A row of `state/stock.sql`."""

    product_id: int
    warehouse_code: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCustomer:
    """A row of `state/customers.sql`."""

    customer_id: int
    country: str
    city: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """A row of `state/orders.sql`."""

    order_id: int
    customer_id: int | None
    status: str
    currency: str
    exchange_rate: str
    shipping_amount: str
    ship_country: str
    discount_percent: int
    payment_id: int
    payment_kind: str
    payment_method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A row of `state/order_lines.sql`."""

    order_id: int
    order_line_id: int
    product_id: int
    warehouse_code: str
    quantity: int
    unit_price_amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRate:
    """A row of `state/rates.sql`."""

    currency: str
    exchange_rate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The stored state of a shop."""

    suppliers: list[StoredSupplier]
    products: list[StoredProduct]
    stock: list[StoredStock]
    customers: list[StoredCustomer]
    orders: list[StoredOrder]
    order_lines: list[StoredLine]
    rates: list[StoredRate]


def read_stored(connection: psycopg.Connection) -> Stored:
    """Read the whole state in one snapshot; the transaction must have just begun."""
    connection.execute("set transaction isolation level repeatable read")
    return Stored(
        suppliers=_read(connection, "suppliers", StoredSupplier),
        products=_read(connection, "products", StoredProduct),
        stock=_read(connection, "stock", StoredStock),
        customers=_read(connection, "customers", StoredCustomer),
        orders=_read(connection, "orders", StoredOrder),
        order_lines=_read(connection, "order_lines", StoredLine),
        rates=_read(connection, "rates", StoredRate),
    )


def _read(connection: psycopg.Connection, name: str, shape: type[T]) -> list[T]:
    with connection.cursor(row_factory=class_row(shape)) as cursor:
        return cursor.execute((_SQL / f"{name}.sql").read_bytes()).fetchall()
