"""How each table of gold is made anew: all of it, or what changes since its watermarks touch."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import narwhals as nw
import polars as pl
from deltalake import DeltaTable

from batch.gold.commit import Replacement
from batch.gold.customers import brought_on, worth, worth_before
from batch.gold.sale_lines import SaleLineSource
from batch.gold.silver import SIGN, Silver, SilverTable
from batch.gold.touched import Since, Touched, distinct, touched_orders
from batch.gold.transforms import Frame
from batch.gold.transforms.behaviour import customer_behaviour
from batch.gold.transforms.customers import (
    TOTALS,
    customer_lifetime_value,
)
from batch.gold.transforms.products import product_performance
from batch.gold.transforms.sales import geographic_sales, sales_kpi
from batch.gold.transforms.stock import levels_brought_on, stock_health, stock_levels
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
Part = tuple[str, list[date] | None]
"""A month, and days in it; None for all of it."""


@dataclass(kw_only=True)
class Work:
    """One table to be brought up to date.

    Attributes:
        silver: at the versions that are wanted.
        silver_at: opens it at others.
        lines: of the same silver.
        gold: the table as it stands.
        since: versions from which it was made; None if all has to be read anew.
        known: orders touched since versions, shared by the tables of a run.
        rows_read: of silver, so far.
    """

    silver: Silver
    silver_at: Callable[[Since], Silver]
    lines: SaleLineSource
    gold: DeltaTable
    since: Since | None
    known: dict[tuple[int, ...], Touched] = field(default_factory=dict)
    rows_read: int = 0

    def touched(self, since: Since) -> Touched:
        """Orders touched since versions."""
        key = tuple(since[name] for name in SALES_KPI.inputs) + tuple(
            self.silver[name].version for name in SALES_KPI.inputs
        )
        if key not in self.known:
            self.known[key] = touched_orders(self.silver, since)
        return self.known[key]

    def lines_before(self, since: Since) -> SaleLineSource:
        """Sale lines as they were at versions of silver."""
        then = self.silver_at(since)
        return SaleLineSource(silver=then, aside=self.lines.aside)

    def sale_lines(self, part: Part) -> Frame:
        """Lines of the orders placed in a part of the calendar."""
        lines = self.lines.of_month(*part)
        self.rows_read += lines.select(pl.len()).collect().item()
        return nw.from_native(lines)

    def of(self, name: str, part: Part, columns: Iterable[str], *, day: str) -> Frame:
        """Live rows of a silver table of a part of the calendar."""
        month, days = part
        rows = self.silver[name].live().filter(pl.col(day.replace("_date", "_month")) == month)
        chosen = rows if days is None else rows.filter(pl.col(day).is_in(days))
        read = chosen.select(*columns).collect()
        self.rows_read += read.height
        return nw.from_native(read.lazy())

    def visits(self, part: Part) -> Frame:
        """Interactions of a part of the calendar."""
        return self.of("cleaned_interactions", part, _VISIT, day="occurred_date")


Recipe = Callable[[Work], Replacement]


def _rows(frame: Frame) -> pl.DataFrame:
    return pl.DataFrame(frame.collect().to_native())


def _by_day(
    work: Work,
    touched: Callable[[Since], set[date]],
    months: Iterable[str],
    make: Callable[[Part], Frame],
) -> Replacement:
    """Rows of whole days: of those that are touched, or of all months."""
    days = None if work.since is None else frozenset(touched(work.since))
    parts = [(month, None) for month in sorted(set(months))] if days is None else _parts(days)
    return Replacement(
        rows=(_rows(make(part)) for part in parts),
        units=len(parts) if days is None else len(days),
        days=days,
        is_full=days is None,
        rows_read=lambda: work.rows_read,
    )


def _parts(days: Iterable[date]) -> list[Part]:
    by_month: dict[str, list[date]] = {}
    for day in sorted(days):
        by_month.setdefault(month_of(day), []).append(day)
    return list(by_month.items())


def _sales_kpi(work: Work) -> Replacement:
    months = work.silver["cleaned_sales"].months()
    return _by_day(
        work,
        lambda since: work.touched(since).days,
        months,
        lambda part: sales_kpi(work.sale_lines(part)),
    )


def _geographic_sales(work: Work) -> Replacement:
    months = work.silver["cleaned_sales"].months()
    return _by_day(
        work,
        lambda since: work.touched(since).days,
        months,
        lambda part: geographic_sales(work.sale_lines(part)),
    )


def _visited(work: Work, since: Since) -> set[date]:
    """Days on which interactions are now, or were, that changed."""
    name = "cleaned_interactions"
    changed = distinct(work.silver[name], since[name], ["occurred_date"])
    return set(changed["occurred_date"].drop_nulls())


def _product_performance(work: Work) -> Replacement:
    both = ("cleaned_sales", "cleaned_interactions")
    return _by_day(
        work,
        lambda since: work.touched(since).days | _visited(work, since),
        (month for name in both for month in work.silver[name].months()),
        lambda part: product_performance(work.sale_lines(part), work.visits(part)),
    )


def _customer_behaviour(work: Work) -> Replacement:
    orders = ("customer_id", "placed_date", "paid_at")

    def ordered(since: Since) -> set[date]:
        changed = distinct(work.silver["cleaned_sales"], since["cleaned_sales"], orders)
        return set(changed["placed_date"].drop_nulls())

    return _by_day(
        work,
        lambda since: ordered(since) | _visited(work, since),
        work.silver["cleaned_interactions"].months(),
        lambda part: customer_behaviour(
            work.visits(part), work.of("cleaned_sales", part, orders, day="placed_date")
        ),
    )


def _customer_lifetime_value(work: Work) -> Replacement:
    as_of_date = _end_of_month(_newest(work.silver["cleaned_sales"], "placed"))
    stored = scan(work.gold)
    is_same_month = stored.filter(pl.col("as_of_date") != as_of_date).head(1).collect().is_empty()
    customers, totals = _all_totals(work) if work.since is None else _totals(work, work.since)
    if customers is not None and not is_same_month:
        kept = stored.filter(~pl.col("customer_id").is_in(customers.implode())).select(TOTALS)
        totals = pl.concat([kept.collect(), totals], how="vertical_relaxed")
    scored = _rows(customer_lifetime_value(nw.from_native(totals.lazy()), as_of_date))
    return Replacement(
        rows=[scored],
        units=scored.height if customers is None else max(len(customers), not is_same_month),
        keys=customers if is_same_month else None,
        is_full=customers is None,
        rows_read=lambda: work.rows_read,
    )


def _all_totals(work: Work) -> tuple[None, pl.DataFrame]:
    """Totals of all customers."""
    months = work.silver["cleaned_sales"].months()
    found = worth(work.lines.of_month(month, None) for month in months)
    work.rows_read += found.lines
    return None, found.totals


def _totals(work: Work, since: Since) -> tuple[pl.Series, pl.DataFrame]:
    """Customers with orders that changed, and the totals of those who still have one."""
    orders = work.touched(since).ids
    new = worth(work.lines.of_orders(orders))
    old = worth_before(lambda: work.lines_before(since), orders)
    work.rows_read += new.lines + old.lines
    customers = pl.concat([new.totals, old.totals])["customer_id"].unique()
    stored = scan(work.gold).filter(pl.col("customer_id").is_in(customers.implode()))
    return customers, brought_on(stored.collect(), new, old, work.silver)


def _stock_health(work: Work) -> Replacement:
    movements = work.silver["cleaned_stock_movements"]
    since = None if work.since is None else work.since[movements.name]
    changed = _all_movements(work, movements) if since is None else _moved(work, movements, since)
    if since is not None:
        stored = scan(work.gold).select(_LEVEL).collect()
        levels = levels_brought_on(nw.from_native(stored.lazy()), nw.from_native(changed.lazy()))
    else:
        levels = nw.from_native(changed.lazy())
    as_of_date = _newest(movements, "occurred")
    recent = _recent(movements, as_of_date).collect()
    work.rows_read += recent.height
    return Replacement(
        rows=[_rows(stock_health(levels, nw.from_native(recent.lazy()), as_of_date))],
        units=changed.height,
        is_full=since is None,
        rows_read=lambda: work.rows_read,
    )


def _all_movements(work: Work, movements: SilverTable) -> pl.DataFrame:
    """Levels from all movements that there are, month by month."""
    parts = []
    for month in movements.months():
        rows = movements.live().filter(pl.col("occurred_month") == month)
        signed = rows.select(*_MOVEMENT[:3], pl.lit(1, dtype=pl.Int64).alias(SIGN)).collect()
        work.rows_read += signed.height
        parts.append(signed)
    return _level_differences(parts)


def _moved(work: Work, movements: SilverTable, since: int) -> pl.DataFrame:
    """By how much levels are other than at a version: new images minus old ones."""
    parts = []
    for piece in movements.changes(since, _MOVEMENT):
        work.rows_read += piece.height
        live = piece.filter(pl.col("_deleted_at").is_null())
        parts.append(live.select(*_MOVEMENT[:3], SIGN))
    return _level_differences(parts)


def _level_differences(pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
    schema = dict(
        zip((*_MOVEMENT[:3], SIGN), (pl.Int64, pl.String, pl.Int64, pl.Int64), strict=True)
    )
    summed = [
        _rows(stock_levels(nw.from_native(piece.lazy())))
        for piece in (pl.DataFrame(schema=schema), *pieces)
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


RECIPES: Mapping[str, Recipe] = {
    SALES_KPI.name: _sales_kpi,
    GEOGRAPHIC_SALES.name: _geographic_sales,
    PRODUCT_PERFORMANCE.name: _product_performance,
    CUSTOMER_BEHAVIOUR.name: _customer_behaviour,
    CUSTOMER_LIFETIME_VALUE.name: _customer_lifetime_value,
    STOCK_HEALTH.name: _stock_health,
}
"""By table."""
