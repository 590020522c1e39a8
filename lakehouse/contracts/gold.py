"""Gold tables: metrics by day, product, customer and place. Money is defined in `METRICS`.

Amounts are cents of the base currency, shares are whole basis points (hundredths of a percent,
rounded half up), so that every engine computes the same numbers and sums are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.contracts.metrics import BY_NAME, METRICS, SHARE
from lakehouse.contracts.model import FIRST_DAY, UNKNOWN, Column, Type

DAY = "business_date"
MONTH = "business_month"

RECENCY_DAYS = (30, 90, 180, 365)
"""Maximum age in days of the last order, at `as_of_date`, for scores 5, 4, 3, 2; older is 1."""
FREQUENCY_ORDERS = (2, 3, 5, 10)
"""Minimum number of orders for scores 2, 3, 4, 5; below, 1."""
MONETARY_CENTS = (50_00, 150_00, 500_00, 1_500_00)
"""Minimum lifetime value for scores 2, 3, 4, 5; below, 1."""
SEGMENTS = ("champion", "loyal", "new", "promising", "needs_attention", "at_risk", "lost")

DEMAND_DAYS = 28
"""Four whole weeks, so that each weekday has the same weight."""
CRITICAL_DAYS = 7
LOW_DAYS = 21
OVERSTOCKED_DAYS = 180
RISKS = ("out_of_stock", "critical", "low", "healthy", "overstocked", "idle")


def month_of(day: date) -> str:
    """Return the month of a day, as silver and gold write it.

    Python's %Y is not zero-padded on Linux, Polars' is: the year 24 would become two months.
    """
    return f"{day.year:04d}-{day.month:02d}"


def days_before(day: date, days: int) -> date:
    """Return the day that many days earlier, or `date.min` if that is out of range."""
    return date.fromordinal(max(FIRST_DAY.toordinal(), day.toordinal() - days))


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldTable:
    """The contract of one gold table.

    Attributes:
        grain: what one row stands for.
        key: columns that identify a row; none of them is null.
        partition: month column that partitions the table; None for small tables.
        inputs: silver tables it is computed from.
        formulas: version of the formulas; a table computed with another version is rebuilt.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    inputs: tuple[str, ...]
    partition: str | None = None
    formulas: int = 1

    @property
    def names(self) -> list[str]:
        """Return the column names, in order."""
        return [column.name for column in self.columns]


MONEY = tuple(metric.name for metric in METRICS if metric.name.endswith("_cents"))
"""The metrics that are amounts, in the order of an income statement."""
ADDITIVE = ("units", *MONEY)
"""The metrics that are sums over order lines."""


def _text(
    name: str, description: str, *, allowed_values: Sequence[str] = (), required: bool = True
) -> Column:
    return Column(
        name=name,
        type=Type.TEXT,
        description=description,
        allowed_values=tuple(allowed_values),
        required=required,
    )


def _number(name: str, unit: str, description: str, *, required: bool = True) -> Column:
    return Column(
        name=name, type=Type.INTEGER, unit=unit, description=description, required=required
    )


def _share(name: str, description: str) -> Column:
    return _number(f"{name}_basis_points", "basis points", description, required=False)


def _visits(name: str) -> Column:
    metric = BY_NAME[name]
    description = f"{metric.title}: {metric.formula}."
    return (
        _share(name, description)
        if metric.unit == SHARE
        else _number(name, metric.unit, description)
    )


def _date(name: str, description: str) -> Column:
    return Column(name=name, type=Type.DATE, description=description, required=True)


def _day(description: str) -> tuple[Column, Column]:
    return (
        _date(DAY, description),
        _text(MONTH, "Month of that day, as 2026-11; the partition column."),
    )


def _metrics(*, besides: str = "") -> tuple[Column, ...]:
    """Return all metrics of the dictionary, in order; `besides` is appended to the order count."""
    more = {"orders": besides}
    return tuple(
        Column(
            name=metric.name,
            type=Type.CENTS if metric.name in MONEY else Type.INTEGER,
            unit=metric.unit,
            required=True,
            description=f"{metric.title}: {metric.formula}{more.get(metric.name, '')}.",
        )
        for metric in METRICS
    )


_SALES = ("cleaned_sales", "cleaned_sale_lines", "cleaned_payments", "products_history")
_MONEY_FORMULAS = 2
"""Columns that determine an order line's amounts, shared by all tables that sum order lines."""
_PLACED = "Day on which the orders were placed."

SALES_KPI = GoldTable(
    name="sales_kpi",
    grain="one row per day, country of delivery, channel and product category",
    key=(DAY, "country", "channel", "category"),
    columns=(
        *_day(_PLACED),
        _text("country", f"Country of delivery, ISO 3166-1 alpha-2, or `{UNKNOWN}`."),
        _text("channel", f"Where the orders were placed, or `{UNKNOWN}`."),
        _text("category", f"Category of the products when they were ordered, or `{UNKNOWN}`."),
        *_metrics(besides=", with a line in the category: does not add up over categories"),
    ),
    inputs=_SALES,
    partition=MONTH,
    formulas=_MONEY_FORMULAS,
)

GEOGRAPHIC_SALES = GoldTable(
    name="geographic_sales",
    grain="one row per day, country and region of delivery",
    key=(DAY, "country", "region"),
    columns=(
        *_day(_PLACED),
        _text("country", f"Country of delivery, ISO 3166-1 alpha-2, or `{UNKNOWN}`."),
        _text("region", "Region of delivery, by name."),
        _text("region_code", "Region, ISO 3166-2; absent where it is not known.", required=False),
        *_metrics(),
    ),
    inputs=_SALES,
    partition=MONTH,
    formulas=_MONEY_FORMULAS,
)

PRODUCT_PERFORMANCE = GoldTable(
    name="product_performance",
    grain="one row per day and product that was viewed, reviewed or ordered",
    key=(DAY, "product_id"),
    columns=(
        *_day("Day of the visits, and day on which the orders were placed."),
        _number("product_id", "identity", "The product."),
        _number("views", "views", "Views of its page."),
        _number("carts", "times", "Times it was added to a cart, without removals."),
        _number("reviews", "reviews", "Number of reviews."),
        _number("rating_stars", "stars", "Sum of the stars in reviews."),
        *_metrics(besides=" and contain it: does not add up over products"),
        _number("returned_units", "units", "Units of orders that were returned."),
        _share("conversion", "Orders that contain it per view of it."),
        _share("return", "Returned units per unit sold."),
    ),
    inputs=(*_SALES, "cleaned_interactions"),
    partition=MONTH,
    formulas=_MONEY_FORMULAS,
)

CUSTOMER_BEHAVIOUR = GoldTable(
    name="customer_behaviour",
    grain="one row per day and device",
    key=(DAY, "device"),
    columns=(
        *_day("Day of the visits; a visit over midnight counts on both days."),
        _text("device", f"Device of the visitor, or `{UNKNOWN}`."),
        *map(_visits, ("sessions", "cart_sessions", "checkout_sessions", "purchase_sessions")),
        _number("paid_sessions", "sessions", "Signed-in visits with an order paid that day."),
        _number("views", "views", "Product pages viewed."),
        _number("carts", "times", "Products added to carts, without removals."),
        _number("checkouts", "times", "Checkouts begun."),
        _number("purchases", "times", "Purchases."),
        _number("reviews", "reviews", "Reviews."),
        *map(_visits, ("conversion", "cart_abandonment", "checkout_abandonment")),
    ),
    inputs=("cleaned_interactions", "cleaned_sales"),
    partition=MONTH,
)

_CUSTOMER_DATES = (
    _date("first_order_date", "Day of the first order that counts."),
    _date("last_order_date", "Day of the last order that counts."),
)

CUSTOMER_LIFETIME_VALUE = GoldTable(
    name="customer_lifetime_value",
    grain="one row per customer with an order that counts",
    key=("customer_id",),
    columns=(
        _number("customer_id", "identity", "Identifies the customer account."),
        *_CUSTOMER_DATES,
        *_metrics(),
        Column(
            name="lifetime_value_cents", type=Type.CENTS, required=True,
            unit="cents of the base currency",
            description="total_cents - refund_cents.",
        ),
        _number("recency_score", "1 to 5", "Recency of the last order at `as_of_date`."),
        _number("frequency_score", "1 to 5", "Score of the number of orders."),
        _number("monetary_score", "1 to 5", "Score of the lifetime value."),
        _text("segment", "Segment that follows from the scores.", allowed_values=SEGMENTS),
        _date("as_of_date", "Last day of the month of the newest order in the shop."),
    ),
    inputs=_SALES,
    formulas=_MONEY_FORMULAS,
)  # fmt: skip

STOCK_HEALTH = GoldTable(
    name="stock_health",
    grain="one row per product and warehouse with movements",
    key=("product_id", "warehouse_code"),
    columns=(
        _number("product_id", "identity", "The product."),
        _text("warehouse_code", "The warehouse."),
        _number("movements", "movements", "Number of stock movements."),
        _number("on_hand_units", "units", "Sum of units over all movements."),
        _number("units_sold", "units", f"Sold in the {DEMAND_DAYS} days up to `as_of_date`."),
        _number(
            "days_of_cover", "days", "Whole days until sold out; absent if nothing was sold.",
            required=False,
        ),
        _text("risk", "Risk of running out of stock.", allowed_values=RISKS),
        _date("as_of_date", "Day of the newest movement in the shop."),
    ),
    inputs=("cleaned_stock_movements",),
)  # fmt: skip

GOLD_TABLES = {
    table.name: table
    for table in (
        SALES_KPI,
        GEOGRAPHIC_SALES,
        PRODUCT_PERFORMANCE,
        CUSTOMER_BEHAVIOUR,
        CUSTOMER_LIFETIME_VALUE,
        STOCK_HEALTH,
    )
}
"""Gold tables by name, in the order in which they are built."""
