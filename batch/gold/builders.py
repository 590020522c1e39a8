"""Builders: for each gold table, what changes of silver affect, and how rows are computed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, Generic, TypeVar

import narwhals as nw
import polars as pl
import structlog

from batch.gold.affected import affected_orders, changed_days
from batch.gold.customers import (
    affected_customers,
    all_customers,
    compute_customers,
    customers_of_month,
    months_of_sales,
)
from batch.gold.silver import KEY_TYPES, SIGN, MissingFeedError
from batch.gold.task import Batch, Replacement, Since, Task, height, lines_of_month
from batch.gold.transforms import Frame
from batch.gold.transforms.behaviour import customer_behaviour
from batch.gold.transforms.products import product_performance
from batch.gold.transforms.sales import geographic_sales, sales_kpi
from batch.gold.transforms.stock import levels_updated, stock_health, stock_levels
from lakehouse.contracts.gold import (
    CUSTOMER_BEHAVIOUR,
    CUSTOMER_LIFETIME_VALUE,
    DEMAND_DAYS,
    GEOGRAPHIC_SALES,
    PRODUCT_PERFORMANCE,
    SALES_KPI,
    STOCK_HEALTH,
    days_before,
    month_of,
)
from lakehouse.delta import scan
from lakehouse.frames import collected

_VISIT = (
    "interaction_id", "customer_id", "session_id", "product_id", "interaction_type", "device",
    "rating", "occurred_date", "occurred_month",
)  # fmt: skip
_LEVEL = {
    "product_id": KEY_TYPES["product_id"], "warehouse_code": pl.String(), "movements": pl.Int64(),
    "on_hand_units": pl.Int64(),
}  # fmt: skip
_MOVEMENT = ("product_id", "warehouse_code", "quantity", "_deleted_at")
_RECENT = ("product_id", "warehouse_code", "kind", "quantity", "occurred_date")
_MOVEMENTS = "cleaned_stock_movements"
Days = frozenset[date]
Period = tuple[str, list[date] | None]
"""A month, and days in it; None for all of it."""
Affected = TypeVar("Affected")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByMonth:
    """How a table is computed in full. Months do not depend on each other.

    Attributes:
        months: return the months of silver.
        month: return the rows of a month, or what all rows are made from.
        whole: make all rows from what the months give; None if these are the rows.
    """

    months: Callable[[Task], list[str]]
    month: Callable[[Task, str], Batch]
    whole: Callable[[Task, Iterable[Batch]], Replacement] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder(Generic[Affected]):
    """How one gold table is computed.

    Attributes:
        affected: return what changed since versions of silver; raises `MissingFeedError` if that
            is unknown.
        compute: return the rows of what is affected; None computes the table in full.
        full: how it is computed in full, month by month.
    """

    affected: Callable[[Task, Since], Affected]
    compute: Callable[[Task, Affected | None], Replacement]
    full: ByMonth


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One input of a table by day.

    Attributes:
        days: return the days whose rows changed since versions of silver.
        rows: return the rows of a period.
        months: silver table whose months a full run computes; None if other sources have all.
    """

    days: Callable[[Task, Since], Iterable[date]]
    rows: Callable[[Task, Period], pl.LazyFrame]
    months: str | None = None


def _silver(name: str, columns: Iterable[str], day: str, *, has_months: bool = True) -> _Source:
    """Return the source that reads current rows of a silver table."""
    return _Source(
        days=lambda task, since: changed_days(task.silver[name], since[name], day),
        # Collected once: they are counted, and computed from.
        rows=lambda task, period: (
            task.silver[name].of_month(*period).select(*columns).collect().lazy()
        ),
        months=name if has_months else None,
    )


_LINES = _Source(
    days=lambda task, since: affected_orders(task, since)["placed_date"].drop_nulls(),
    rows=lambda task, period: lines_of_month(task, *period),
    months="cleaned_sales",
)
_VISITS = _silver("cleaned_interactions", _VISIT, "occurred_date")
_ORDERS = _silver(
    "cleaned_sales", ("customer_id", "placed_date", "paid_at"), "placed_date", has_months=False
)


def _by_day(transform: Callable[..., Frame], *sources: _Source) -> Builder[Days]:
    """Return the builder of a table whose rows of a day depend on that day of its sources alone."""

    def days_of(task: Task, since: Since) -> Days:
        return Days().union(*(source.days(task, since) for source in sources))

    def batch(task: Task, period: Period) -> Batch:
        inputs = [source.rows(task, period) for source in sources]
        rows = transform(*(nw.from_native(one) for one in inputs))
        return Batch(rows=collected(rows), rows_read=sum(height(one) for one in inputs))

    def months(task: Task) -> list[str]:
        tables = [source.months for source in sources if source.months]
        return sorted({month for name in tables for month in task.silver[name].months()})

    def compute_days(task: Task, days: Days | None) -> Replacement:
        periods = _periods(days) if days is not None else [(one, None) for one in months(task)]
        return Replacement(
            batches=(batch(task, period) for period in periods),
            units=len(periods) if days is None else len(days),
            days=days,
            is_full=days is None,
        )

    full = ByMonth(months=months, month=lambda task, month: batch(task, (month, None)))
    return Builder(affected=days_of, compute=compute_days, full=full)


def _periods(days: Iterable[date]) -> list[Period]:
    return [(month, list(found)) for month, found in groupby(sorted(days), month_of)]


def _affected_levels(task: Task, since: Since) -> Batch:
    """Return the affected product/warehouse pairs and by how much their levels changed."""
    return _levels(task.silver[_MOVEMENTS].changes(since[_MOVEMENTS], _MOVEMENT))


def _compute_stock(task: Task, affected: Batch | None) -> Replacement:
    """Return all product/warehouse pairs: the newest day may change the risk of any."""
    if affected is None:
        return _all_stock(task, (_levels_of_month(task, one) for one in _months_of_stock(task)))
    stored = scan(task.gold).select(*_LEVEL).collect().lazy()
    levels = levels_updated(nw.from_native(stored), nw.from_native(affected.rows.lazy()))
    return _stock(task, affected, levels, is_full=False)


def _months_of_stock(task: Task) -> list[str]:
    return task.silver[_MOVEMENTS].months()


def _levels_of_month(task: Task, month: str) -> Batch:
    """Return what the movements of a month add up to."""
    sign = pl.lit(1, dtype=pl.Int64).alias(SIGN)
    return _levels([task.silver[_MOVEMENTS].of_month(month).select(*_MOVEMENT, sign).collect()])


def _all_stock(task: Task, months: Iterable[Batch]) -> Replacement:
    """Return all pairs from the sums of each month."""
    changed = _added_up(months)
    return _stock(task, changed, nw.from_native(changed.rows.lazy()), is_full=True)


def _stock(task: Task, changed: Batch, levels: Frame, *, is_full: bool) -> Replacement:
    movements = task.silver[_MOVEMENTS]
    as_of_date = movements.newest_day()
    first_month = month_of(days_before(as_of_date, DEMAND_DAYS))
    since = pl.col("occurred_month") >= first_month
    recent = movements.current().filter(since).select(*_RECENT).collect()
    rows = collected(stock_health(levels, nw.from_native(recent.lazy()), as_of_date))
    return Replacement(
        batches=[Batch(rows=rows, rows_read=changed.rows_read + recent.height)],
        units=changed.rows.height,
        is_full=is_full,
    )


def _levels(movements: Iterable[pl.DataFrame]) -> Batch:
    """Sum signed movements by product/warehouse pair."""
    current = (
        (one.height, one.lazy().filter(pl.col("_deleted_at").is_null())) for one in movements
    )
    return _added_up(
        Batch(rows=collected(stock_levels(nw.from_native(rows))), rows_read=rows_read)
        for rows_read, rows in current
    )


def _added_up(levels: Iterable[Batch]) -> Batch:
    sums, rows_read = [pl.DataFrame(schema=_LEVEL)], 0
    for batch in levels:
        rows_read += batch.rows_read
        sums.append(batch.rows)
    by_pair = pl.concat(sums, how="vertical_relaxed").group_by("product_id", "warehouse_code")
    rows = by_pair.agg(pl.col("movements").sum(), pl.col("on_hand_units").sum()).select(*_LEVEL)
    return Batch(rows=rows, rows_read=rows_read)


BUILDERS: Mapping[str, Builder[Any]] = {
    SALES_KPI.name: _by_day(sales_kpi, _LINES),
    GEOGRAPHIC_SALES.name: _by_day(geographic_sales, _LINES),
    PRODUCT_PERFORMANCE.name: _by_day(product_performance, _LINES, _VISITS),
    CUSTOMER_BEHAVIOUR.name: _by_day(customer_behaviour, _VISITS, _ORDERS),
    CUSTOMER_LIFETIME_VALUE.name: Builder(
        affected=affected_customers,
        compute=compute_customers,
        full=ByMonth(months=months_of_sales, month=customers_of_month, whole=all_customers),
    ),
    STOCK_HEALTH.name: Builder(
        affected=_affected_levels,
        compute=_compute_stock,
        full=ByMonth(months=_months_of_stock, month=_levels_of_month, whole=_all_stock),
    ),
}
"""Builders by gold table."""


def affected(task: Task) -> Any | None:  # noqa: ANN401 - each builder has its own type
    """Return the days, customers or pairs to recompute; None recomputes the table in full."""
    if task.since is None:
        return None
    try:
        return BUILDERS[task.table.name].affected(task, task.since)
    except MissingFeedError as error:
        _log.info("gold_recomputed_in_full", table=task.table.name, why=str(error))
        return None


def compute(task: Task, affected: Any | None) -> Replacement:  # noqa: ANN401
    """Return the rows of what is `affected`, and what they replace."""
    return BUILDERS[task.table.name].compute(task, affected)
