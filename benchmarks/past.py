"""A shop's past as frames of silver's columns: every value follows from the number of its row.

So a history of ten million order lines needs no shop, and no Kafka. Grain: silver's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from lakehouse.contracts import ENTITIES

PRODUCTS = 600
DAYS = 730
END = datetime(2026, 11, 1, tzinfo=UTC)
"""Of a past of which nothing is compared with now: the same in every run."""
_CITIES = (("Paris", "Île-de-France", "FR", "FR-IDF"), ("Berlin", "Berlin", "DE", "DE-BE"),
           ("Madrid", "Comunidad de Madrid", "ES", "ES-MD"))  # fmt: skip
_CHANNELS = ("web", "mobile_app", "marketplace", "phone")
_CATEGORIES = ENTITIES["products"].column("category").allowed_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A past of so many orders, of two lines each.

    Attributes:
        orders: how many.
        end: when it ends. Orders with higher numbers come after that, at the same pace.
    """

    orders: int
    end: datetime = END

    @property
    def step(self) -> timedelta:
        """From one order to the next."""
        return timedelta(days=DAYS) // self.orders

    @property
    def customers(self) -> int:
        """One for every ten orders."""
        return max(self.orders // 10, 1)

    def rows(self, table: str) -> int:
        """Rows of a table of the shop."""
        per_order = {"orders": 1, "order_lines": 2, "payments": 1, "interactions": 1}
        if table in per_order:
            return per_order[table] * self.orders
        return {
            "suppliers": 30,
            "products": PRODUCTS,
            "customers": self.customers,
            "returns": 0,
            "stock_movements": 2 * self.orders + PRODUCTS,
        }[table]


def _placed(number: pl.Expr, size: Size) -> pl.Expr:
    start = pl.lit(size.end - timedelta(days=DAYS)).cast(pl.Datetime("us", "UTC"))
    return start + pl.duration(microseconds=number * (size.step // timedelta(microseconds=1)))


def price_cents(product: pl.Expr) -> pl.Expr:
    """Of a product, by its id."""
    return 500 + product * 137 % 9_000


def product_of(line: pl.Expr) -> pl.Expr:
    """The product of a line, by its number."""
    return line * 7_919 % PRODUCTS + 1


def _times(at: pl.Expr, version: int = 1) -> dict[str, pl.Expr]:
    return {"created_at": at, "updated_at": at, "version": pl.lit(version, pl.Int64)}


def _pick(number: pl.Expr, values: tuple[str, ...]) -> pl.Expr:
    return (number % len(values)).replace_strict(dict(enumerate(values)), return_dtype=pl.String)


def order_amounts(order: pl.Expr) -> dict[str, pl.Expr]:
    """The amounts of an order, by its number from 0: two lines of one unit each."""
    subtotal = price_cents(product_of(2 * order)) + price_cents(product_of(2 * order + 1))
    discount = pl.when(order % 5 == 0).then(subtotal // 10).otherwise(0)
    tax = (subtotal - discount + 490) // 5
    total = subtotal - discount + 490 + tax
    rate = pl.when(order % 3 == 0).then(92_000_000).otherwise(100_000_000)
    return {
        "exchange_rate_e8": rate,
        "subtotal_cents": subtotal,
        "discount_cents": discount,
        "shipping_cents": pl.lit(490),
        "tax_cents": tax,
        "total_cents": total,
        "base_total_cents": (total * rate + 50_000_000) // 100_000_000,
    }


def _orders(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.col("n"), size)
    names = ("ship_city", "ship_region", "ship_country", "ship_region_code")
    places = {name: tuple(city[i] for city in _CITIES) for i, name in enumerate(names)}
    steps = ("paid", "packed", "shipped", "delivered")
    return frame.with_columns(
        order_id=n + 1,
        customer_id=n * 31 % size.customers + 1,
        channel=_pick(n, _CHANNELS),
        status=pl.lit("delivered"),
        currency=pl.when(n % 3 == 0).then(pl.lit("USD")).otherwise(pl.lit("EUR")),
        **order_amounts(n),
        placed_at=at,
        **{name: _pick(n, values) for name, values in places.items()},
        **{f"{step}_at": at + timedelta(hours=k + 1) for k, step in enumerate(steps)},
        **_times(at, 5),
    )


def _lines(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, product = pl.col("n"), product_of(pl.col("n"))
    return frame.with_columns(
        order_line_id=n + 1,
        order_id=n // 2 + 1,
        line_number=n % 2 + 1,
        product_id=product,
        warehouse_code=pl.lit("FR-LIL"),
        quantity=pl.lit(1),
        unit_price_cents=price_cents(product),
        line_total_cents=price_cents(product),
        **_times(_placed(n // 2, size)),
    )


def _payments(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.col("n"), size)
    return frame.with_columns(
        payment_id=n + 1,
        order_id=n + 1,
        kind=pl.lit("payment"),
        method=pl.lit("card"),
        status=pl.lit("captured"),
        amount_cents=order_amounts(n)["total_cents"],
        currency=pl.when(n % 3 == 0).then(pl.lit("USD")).otherwise(pl.lit("EUR")),
        provider_reference=pl.format("payment-{}", n),
        settled_at=at + timedelta(minutes=2),
        **_times(at, 2),
    )


def _movements(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    """First what comes in for each product, then what is sold."""
    n, sold = pl.col("n"), pl.col("n") - PRODUCTS
    is_receipt = n < PRODUCTS
    at = _placed(pl.when(is_receipt).then(0).otherwise(sold // 2), size)
    return frame.with_columns(
        movement_id=n + 1,
        product_id=pl.when(is_receipt).then(n + 1).otherwise(product_of(sold)),
        warehouse_code=pl.lit("FR-LIL"),
        kind=pl.when(is_receipt).then(pl.lit("receipt")).otherwise(pl.lit("sale")),
        quantity=pl.when(is_receipt).then(500_000).otherwise(-1),
        order_id=pl.when(~is_receipt).then(sold // 2 + 1),
        occurred_at=at,
        **_times(at),
    )


def _interactions(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.col("n"), size)
    return frame.with_columns(
        interaction_id=n + 1,
        customer_id=n * 31 % size.customers + 1,
        session_id=pl.format("session-{}", n // 4),
        product_id=product_of(n),
        interaction_type=_pick(n, ("view", "cart", "checkout", "purchase")),
        device=_pick(n, ("desktop", "mobile", "tablet")),
        occurred_at=at,
        **_times(at),
    )


def _products(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.lit(0), size)
    return frame.with_columns(
        product_id=n + 1,
        supplier_id=n % 30 + 1,
        sku=pl.format("SKU-{}", n),
        name=pl.format("Thing {}", n),
        category=_pick(n, _CATEGORIES),
        brand=pl.lit("Nordwave"),
        description=pl.lit("A thing."),
        price_cents=price_cents(n + 1),
        cost_cents=price_cents(n + 1) // 2,
        weight_grams=pl.lit(500),
        is_active=pl.lit(value=True),
        **_times(at),
    )


def _suppliers(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.lit(0), size)
    return frame.with_columns(
        supplier_id=n + 1,
        name=pl.format("Supplier {}", n),
        contact_name=pl.lit("Ada"),
        email=pl.lit("ada@example.com"),
        phone=pl.lit("+33612345678"),
        country=pl.lit("FR"),
        city=pl.lit("Paris"),
        lead_time_days=pl.lit(3),
        **_times(at),
    )


def _customers(frame: pl.DataFrame, size: Size) -> pl.DataFrame:
    n, at = pl.col("n"), _placed(pl.lit(0), size)
    city, region, country, code = _CITIES[0]
    return frame.with_columns(
        customer_id=n + 1,
        first_name=pl.lit("Ada"),
        last_name=pl.format("Nr {}", n),
        email=pl.format("ada{}@example.com", n),
        street=pl.lit("1 rue Example"),
        postal_code=pl.lit("75001"),
        city=pl.lit(city),
        region=pl.lit(region),
        country=pl.lit(country),
        accepts_marketing=n % 2 == 0,
        region_code=pl.lit(code),
        person_key=pl.format("{}", n),
        **_times(at),
    )


FRAMES: dict[str, Callable[[pl.DataFrame, Size], pl.DataFrame]] = {
    "suppliers": _suppliers, "products": _products, "customers": _customers, "orders": _orders,
    "order_lines": _lines, "payments": _payments, "stock_movements": _movements,
    "interactions": _interactions,
}  # fmt: skip
