"""Gold tables: metrics by day, product, customer and place. Money is defined in `METRICS`.

Amounts are cents of the base currency, shares are whole basis points (hundredths of a percent,
rounded half up), so that every engine computes the same numbers and sums are exact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, TypeAdapter

from lakehouse.contracts.metrics import BY_NAME, METRICS, SHARE, Metric
from lakehouse.contracts.model import DECLARED, FIRST_DAY, Column, Type
from lakehouse.declarations import read_declaration

DAY = "business_date"
MONTH = "business_month"

RECENCY_DAYS = (30, 90, 180, 365)
"""Maximum age in days of the last order, at `as_of_date`, for scores 5, 4, 3, 2; older is 1."""
FREQUENCY_ORDERS = (2, 3, 5, 10)
"""Minimum number of orders for scores 2, 3, 4, 5; below, 1."""
MONETARY_CENTS = (50_00, 150_00, 500_00, 1_500_00)
"""Minimum lifetime value for scores 2, 3, 4, 5; below, 1."""

DEMAND_DAYS = 28
"""Four whole weeks, so that each weekday has the same weight."""
CRITICAL_DAYS = 7
LOW_DAYS = 21
OVERSTOCKED_DAYS = 180


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

    __pydantic_config__: ClassVar = DECLARED
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


def _column(metric: Metric, besides: str = "") -> Column:
    """Return the column of a metric; `besides` is appended to its description."""
    is_share = metric.unit == SHARE
    return Column(
        name=f"{metric.name}_basis_points" if is_share else metric.name,
        type=Type.CENTS if metric.name in MONEY else Type.INTEGER,
        unit="basis points" if is_share else metric.unit,
        required=not is_share,
        description=f"{metric.title}: {metric.formula}{besides}.",
    )


def _columns(given: str | dict[str, Any]) -> Iterator[Column | dict[str, Any]]:
    """Yield the columns that an item of a declaration stands for."""
    if isinstance(given, str):
        yield _column(BY_NAME[given])
    elif "metrics" in given:
        for metric in METRICS:
            yield _column(metric, given.get("besides", "") if metric.name == "orders" else "")
    else:
        yield {**given, "description": given["description"].format(DEMAND_DAYS=DEMAND_DAYS)}


def _named(given: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            **table,
            "name": name,
            "columns": [c for one in table["columns"] for c in _columns(one)],
        }
        for name, table in given.items()
    }


GOLD_TABLES = read_declaration(
    Path(__file__).with_name("gold.yaml"),
    TypeAdapter(Annotated[dict[str, GoldTable], BeforeValidator(_named)]),
)
"""Gold tables by name, in the order in which they are built."""
SALES_KPI = GOLD_TABLES["sales_kpi"]
GEOGRAPHIC_SALES = GOLD_TABLES["geographic_sales"]
PRODUCT_PERFORMANCE = GOLD_TABLES["product_performance"]
CUSTOMER_BEHAVIOUR = GOLD_TABLES["customer_behaviour"]
CUSTOMER_LIFETIME_VALUE = GOLD_TABLES["customer_lifetime_value"]
STOCK_HEALTH = GOLD_TABLES["stock_health"]
