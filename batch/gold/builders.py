"""How each table of gold is made anew: all of it, or what changes since its watermarks touch."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import narwhals as nw
import polars as pl
from deltalake import DeltaTable

from batch.gold.affected import Affected, Since, affected_orders, distinct
from batch.gold.commit import Replacement
from batch.gold.customers import updated_totals, worth, worth_before
from batch.gold.sale_lines import SaleLineSource
from batch.gold.silver import SIGN, Silver, SilverTable
from batch.gold.transforms import Frame
from batch.gold.transforms.behaviour import customer_behaviour
from batch.gold.transforms.customers import (
    TOTALS,
    customer_lifetime_value,
)
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

_VISIT = (
    "interaction_id", "customer_id", "session_id", "product_id", "interaction_type", "device",
    "rating", "occurred_date", "occurred_month",
)  # fmt: skip
_LEVEL = ("product_id", "warehouse_code", "movements", "on_hand_units")
_MOVEMENT = ("product_id", "warehouse_code", "quantity", "_deleted_at")
Period = tuple[str, list[date] | None]
"""A month, and days in it; None for all of it."""


@dataclass(kw_only=True)
class Task:
    """One table to be brought up to date.

    Attributes:
        silver: at the versions that are wanted.
        silver_at: opens it at others.
        lines: of the same silver.
        gold: the table as it stands.
        since: versions from which it was made; None if all has to be read anew.
        known: orders affected since versions, shared by the tables of a run.
        rows_read: of silver, so far.
    """

    silver: Silver
    silver_at: Callable[[Since], Silver]
    lines: SaleLineSource
    gold: DeltaTable
    since: Since | None
    known: dict[tuple[int, ...], Affected] = field(default_factory=dict)
    rows_read: int = 0

    def affected(self, since: Since) -> Affected:
        """Orders affected since versions."""
        key = tuple(since[name] for name in SALES_KPI.inputs) + tuple(
            self.silver[name].version for name in SALES_KPI.inputs
        )
        if key not in self.known:
            self.known[key] = affected_orders(self.silver, since)
        return self.known[key]

    def lines_before(self, since: Since) -> SaleLineSource:
        """Sale lines as they were at versions of silver."""
        then = self.silver_at(since)
        return SaleLineSource(silver=then, aside=self.lines.aside)

    def sale_lines(self, period: Period) -> Frame:
        """Lines of the orders placed in a period of the calendar."""
        lines = self.lines.of_month(*period)
        self.rows_read += lines.select(pl.len()).collect().item()
        return nw.from_native(lines)

    def of(self, name: str, period: Period, columns: Iterable[str], *, day: str) -> Frame:
        """Live rows of a silver table of a period of the calendar."""
        month, days = period
        rows = self.silver[name].live().filter(pl.col(day.replace("_date", "_month")) == month)
        chosen = rows if days is None else rows.filter(pl.col(day).is_in(days))
        read = chosen.select(*columns).collect()
        self.rows_read += read.height
        return nw.from_native(read.lazy())

    def visits(self, period: Period) -> Frame:
        """Interactions of a period of the calendar."""
        return self.of("cleaned_interactions", period, _VISIT, day="occurred_date")


Builder = Callable[[Task], Replacement]


def _rows(frame: Frame) -> pl.DataFrame:
    return pl.DataFrame(frame.collect().to_native())


def _by_day(
    task: Task,
    affected: Callable[[Since], set[date]],
    months: Iterable[str],
    make: Callable[[Period], Frame],
) -> Replacement:
    """Rows of whole days: of those that are affected, or of all months."""
    days = None if task.since is None else frozenset(affected(task.since))
    periods = [(month, None) for month in sorted(set(months))] if days is None else _periods(days)
    return Replacement(
        rows=(_rows(make(period)) for period in periods),
        units=len(periods) if days is None else len(days),
        days=days,
        is_full=days is None,
        rows_read=lambda: task.rows_read,
    )


def _periods(days: Iterable[date]) -> list[Period]:
    by_month: dict[str, list[date]] = {}
    for day in sorted(days):
        by_month.setdefault(month_of(day), []).append(day)
    return list(by_month.items())


def _sales_kpi(task: Task) -> Replacement:
    months = task.silver["cleaned_sales"].months()
    return _by_day(
        task,
        lambda since: task.affected(since).days,
        months,
        lambda period: sales_kpi(task.sale_lines(period)),
    )


def _geographic_sales(task: Task) -> Replacement:
    months = task.silver["cleaned_sales"].months()
    return _by_day(
        task,
        lambda since: task.affected(since).days,
        months,
        lambda period: geographic_sales(task.sale_lines(period)),
    )


def _visited(task: Task, since: Since) -> set[date]:
    """Days on which interactions are now, or were, that changed."""
    name = "cleaned_interactions"
    changed = distinct(task.silver[name], since[name], ["occurred_date"])
    return set(changed["occurred_date"].drop_nulls())


def _product_performance(task: Task) -> Replacement:
    both = ("cleaned_sales", "cleaned_interactions")
    return _by_day(
        task,
        lambda since: task.affected(since).days | _visited(task, since),
        (month for name in both for month in task.silver[name].months()),
        lambda period: product_performance(task.sale_lines(period), task.visits(period)),
    )


def _customer_behaviour(task: Task) -> Replacement:
    orders = ("customer_id", "placed_date", "paid_at")

    def ordered(since: Since) -> set[date]:
        changed = distinct(task.silver["cleaned_sales"], since["cleaned_sales"], orders)
        return set(changed["placed_date"].drop_nulls())

    return _by_day(
        task,
        lambda since: ordered(since) | _visited(task, since),
        task.silver["cleaned_interactions"].months(),
        lambda period: customer_behaviour(
            task.visits(period), task.of("cleaned_sales", period, orders, day="placed_date")
        ),
    )


def _customer_lifetime_value(task: Task) -> Replacement:
    as_of_date = _end_of_month(_newest(task.silver["cleaned_sales"], "placed"))
    stored = scan(task.gold)
    is_same_month = stored.filter(pl.col("as_of_date") != as_of_date).head(1).collect().is_empty()
    customers, totals = _all_totals(task) if task.since is None else _totals(task, task.since)
    if customers is not None and not is_same_month:
        kept = stored.filter(~pl.col("customer_id").is_in(customers.implode())).select(TOTALS)
        totals = pl.concat([kept.collect(), totals], how="vertical_relaxed")
    scored = _rows(customer_lifetime_value(nw.from_native(totals.lazy()), as_of_date))
    return Replacement(
        rows=[scored],
        units=scored.height if customers is None else max(len(customers), not is_same_month),
        keys=customers if is_same_month else None,
        is_full=customers is None,
        rows_read=lambda: task.rows_read,
    )


def _all_totals(task: Task) -> tuple[None, pl.DataFrame]:
    """Totals of all customers."""
    months = task.silver["cleaned_sales"].months()
    found = worth(task.lines.of_month(month, None) for month in months)
    task.rows_read += found.lines
    return None, found.totals


def _totals(task: Task, since: Since) -> tuple[pl.Series, pl.DataFrame]:
    """Customers with orders that changed, and the totals of those who still have one."""
    orders = task.affected(since).ids
    new = worth(task.lines.of_orders(orders))
    old = worth_before(lambda: task.lines_before(since), orders)
    task.rows_read += new.lines + old.lines
    customers = pl.concat([new.totals, old.totals])["customer_id"].unique()
    stored = scan(task.gold).filter(pl.col("customer_id").is_in(customers.implode()))
    return customers, updated_totals(stored.collect(), new, old, task.silver)


def _stock_health(task: Task) -> Replacement:
    movements = task.silver["cleaned_stock_movements"]
    since = None if task.since is None else task.since[movements.name]
    changed = _all_movements(task, movements) if since is None else _moved(task, movements, since)
    if since is not None:
        stored = scan(task.gold).select(_LEVEL).collect()
        levels = levels_updated(nw.from_native(stored.lazy()), nw.from_native(changed.lazy()))
    else:
        levels = nw.from_native(changed.lazy())
    as_of_date = _newest(movements, "occurred")
    recent = _recent(movements, as_of_date).collect()
    task.rows_read += recent.height
    return Replacement(
        rows=[_rows(stock_health(levels, nw.from_native(recent.lazy()), as_of_date))],
        units=changed.height,
        is_full=since is None,
        rows_read=lambda: task.rows_read,
    )


def _all_movements(task: Task, movements: SilverTable) -> pl.DataFrame:
    """Levels from all movements that there are, month by month."""
    periods = []
    for month in movements.months():
        rows = movements.live().filter(pl.col("occurred_month") == month)
        signed = rows.select(*_MOVEMENT[:3], pl.lit(1, dtype=pl.Int64).alias(SIGN)).collect()
        task.rows_read += signed.height
        periods.append(signed)
    return _level_differences(periods)


def _moved(task: Task, movements: SilverTable, since: int) -> pl.DataFrame:
    """By how much levels are other than at a version: new images minus old ones."""
    periods = []
    for batch in movements.changes(since, _MOVEMENT):
        task.rows_read += batch.height
        live = batch.filter(pl.col("_deleted_at").is_null())
        periods.append(live.select(*_MOVEMENT[:3], SIGN))
    return _level_differences(periods)


def _level_differences(batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
    schema = dict(
        zip((*_MOVEMENT[:3], SIGN), (pl.Int64, pl.String, pl.Int64, pl.Int64), strict=True)
    )
    summed = [
        _rows(stock_levels(nw.from_native(batch.lazy())))
        for batch in (pl.DataFrame(schema=schema), *batches)
    ]
    by_pair = pl.concat(summed, how="vertical_relaxed").group_by("product_id", "warehouse_code")
    return by_pair.agg(pl.col("movements").sum(), pl.col("on_hand_units").sum()).select(_LEVEL)


def _recent(movements: SilverTable, as_of_date: date) -> pl.LazyFrame:
    first_month = month_of(days_before(as_of_date, DEMAND_DAYS))
    recent = movements.live().filter(pl.col("occurred_month") >= first_month)
    return recent.select("product_id", "warehouse_code", "kind", "quantity", "occurred_date")


def _newest(table: SilverTable, what: str) -> date:
    """The newest day of a table; some day if it is empty."""
    for month in reversed(table.months()):
        rows = table.live().filter(pl.col(f"{what}_month") == month)
        newest: date | None = rows.select(pl.col(f"{what}_date").max()).collect().item()
        if newest is not None:
            return newest
    return date(1970, 1, 1)


def _end_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


BUILDERS: Mapping[str, Builder] = {
    SALES_KPI.name: _sales_kpi,
    GEOGRAPHIC_SALES.name: _geographic_sales,
    PRODUCT_PERFORMANCE.name: _product_performance,
    CUSTOMER_BEHAVIOUR.name: _customer_behaviour,
    CUSTOMER_LIFETIME_VALUE.name: _customer_lifetime_value,
    STOCK_HEALTH.name: _stock_health,
}
"""By table."""
