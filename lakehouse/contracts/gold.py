"""Gold tables: metrics by day, product, customer and place. Money is defined in `METRICS`.

Amounts are cents of the base currency, shares are whole basis points (hundredths of a percent,
rounded half up), so that every engine computes the same numbers and sums are exact.
"""

from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, TypeAdapter

from lakehouse.contracts import ENTITIES
from lakehouse.contracts.keys import key_types, of_key_type
from lakehouse.contracts.metrics import BY_NAME, METRICS, SHARE, Metric
from lakehouse.contracts.model import DECLARED, FIRST_DAY, Column, Type
from lakehouse.declarations import Declaration, MisplacedError, read_declaration, require_known

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


_SILVER = {name for one in ENTITIES.values() for name in (one.silver, one.history) if name}
_KEY_TYPES = key_types(ENTITIES.values())
_COLUMN = TypeAdapter(Column)


class _Metrics(Declaration):
    """A column for each metric of sales; `besides` is appended to the description of `orders`."""

    metrics: Literal["sales"]
    besides: str = ""


def _columns(given: object) -> tuple[Column, ...]:
    """Return the columns that an item of a declaration stands for."""
    if isinstance(given, str):
        require_known([given], BY_NAME, "metric")
        return (_column(BY_NAME[given]),)
    if isinstance(given, dict) and "metrics" in given:
        besides = _Metrics.model_validate(given).besides
        return tuple(_column(one, besides if one.name == "orders" else "") for one in METRICS)
    column = _COLUMN.validate_python(given)
    told = column.description.replace("{DEMAND_DAYS}", f"{DEMAND_DAYS}")
    return (of_key_type(replace(column, description=told), _KEY_TYPES),)


_ITEMS = TypeAdapter(tuple[Annotated[tuple[Column, ...], BeforeValidator(_columns)], ...])


def _flat(given: object) -> tuple[Column, ...]:
    return tuple(chain.from_iterable(_ITEMS.validate_python(given)))


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
    columns: Annotated[tuple[Column, ...], BeforeValidator(_flat)]
    inputs: tuple[str, ...]
    partition: str | None = None
    formulas: int = 1

    def __post_init__(self) -> None:
        """Check that it refers to columns and tables that exist."""
        if len({*self.names}) < len(self.names):
            message = "two columns have one name"
            raise MisplacedError(message, "columns")
        require_known(self.key, self.names, "column", "key")
        require_known([self.partition] if self.partition else (), self.names, "column", "partition")
        require_known(self.inputs, _SILVER, "silver table", "inputs")

    @property
    def names(self) -> list[str]:
        """Return the column names, in order."""
        return [column.name for column in self.columns]


def _named(given: object) -> object:
    """Return the tables of a declaration with their names."""
    if not isinstance(given, dict):
        return given
    return {
        name: {**table, "name": name} if isinstance(table, dict) else table
        for name, table in given.items()
    }


def _complete(tables: dict[str, GoldTable]) -> dict[str, GoldTable]:
    require_known(_BUILT, tables, "gold table")
    return tables


_BUILT = (
    "sales_kpi", "geographic_sales", "product_performance", "customer_behaviour",
    "customer_lifetime_value", "stock_health",
)  # fmt: skip
_NAMED = Annotated[dict[str, GoldTable], BeforeValidator(_named)]
_TABLES = TypeAdapter(Annotated[_NAMED, AfterValidator(_complete)])
GOLD_TABLES = read_declaration(Path(__file__).with_name("gold.yaml"), _TABLES)
"""Gold tables by name, in the order in which they are built."""
(
    SALES_KPI, GEOGRAPHIC_SALES, PRODUCT_PERFORMANCE, CUSTOMER_BEHAVIOUR, CUSTOMER_LIFETIME_VALUE,
    STOCK_HEALTH,
) = (GOLD_TABLES[name] for name in _BUILT)  # fmt: skip

_TRAINED: TypeAdapter[dict[str, GoldTable]] = TypeAdapter(_NAMED)
TRAINED_TABLES = read_declaration(Path(__file__).with_name("recommendations.yaml"), _TRAINED)
"""Gold tables that a training writes, not the hourly run: `batch.recommendations`."""
RECOMMENDATIONS, SIMILAR_PRODUCTS, RECOMMENDATION_QUALITY = (
    TRAINED_TABLES[name]
    for name in ("recommendations", "similar_products", "recommendation_quality")
)
