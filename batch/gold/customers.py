"""Customer lifetime value, computed from stored totals and affected orders.

A customer's orders are spread over all months, so recomputing customers would read most of silver.
Totals are updated by differences instead: plus what the affected orders add up to now, minus what
they added up to before. First and last day cannot be: where an order on such a day is removed, the
next one is searched month by month from there.
"""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import narwhals as nw
import polars as pl

from batch.gold.affected import affected_orders
from batch.gold.silver import KEY_TYPES, MissingFeedError, Silver, pin
from batch.gold.task import (
    Batch,
    Replacement,
    Since,
    Task,
    height,
    lines_of_month,
    lines_of_orders,
)
from batch.gold.transforms.customers import (
    TOTALS,
    added_up,
    customer_lifetime_value,
    customer_totals,
)
from batch.gold.transforms.sale_lines import counts
from lakehouse.contracts.gold import DAY
from lakehouse.delta import scan
from lakehouse.errors import RetryLaterError
from lakehouse.frames import collected

_SUMS = tuple(name for name in TOTALS if not name.endswith("_date") and name != "customer_id")
_FIRST, _LAST = "first_order_date", "last_order_date"
_EMPTY = pl.DataFrame(
    schema={
        name: KEY_TYPES.get(name, pl.Date() if name.endswith("_date") else pl.Int64())
        for name in TOTALS
    }
)
_CUSTOMER = {"customer_id": KEY_TYPES["customer_id"], DAY: pl.Date()}
_PLACED = {"order_id": KEY_TYPES["order_id"], **_CUSTOMER}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What the lines of some orders add up to.

    Attributes:
        totals: by customer, with the columns `TOTALS`.
        placed: the orders that count, with customer and day.
        lines: how many lines were read.
    """

    totals: pl.DataFrame
    placed: pl.DataFrame
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedCustomers:
    """Customers with an affected order, and what these orders add up to now and did before."""

    ids: pl.Series
    new: _Sums
    old: _Sums


def affected_customers(task: Task, since: Since) -> AffectedCustomers:
    """Return the customers whose orders changed.

    Raises:
        MissingFeedError: the changes of silver are unknown, or it no longer has these versions.
    """
    orders = affected_orders(task, since)["order_id"].drop_nulls().unique()
    new = _summed(lines_of_orders(task.silver, orders))
    try:
        old = _summed(lines_of_orders(pin(task.lake, task.table.inputs, since), orders))
    except (RetryLaterError, OSError, pl.exceptions.PolarsError) as error:
        # A full read also tells whether the versions or the store are unavailable.
        message = f"silver cannot be read at the versions {dict(since)}: {error}"
        raise MissingFeedError(message) from error
    ids = pl.concat([new.totals, old.totals])["customer_id"].unique()
    return AffectedCustomers(ids=ids, new=new, old=old)


def compute_customers(task: Task, affected: AffectedCustomers | None) -> Replacement:
    """Return scored customers: those affected, or all of them in a month not yet scored."""
    if affected is None:
        return all_customers(task, (customers_of_month(task, one) for one in months_of_sales(task)))
    as_of_date = _as_of(task)
    stored = scan(task.gold)
    is_same_month = stored.filter(pl.col("as_of_date") != as_of_date).head(1).collect().is_empty()
    totals = _updated_totals(stored, affected, task.silver)
    if not is_same_month:
        kept = stored.filter(~pl.col("customer_id").is_in(affected.ids.implode()))
        totals = pl.concat([kept.select(TOTALS).collect(), totals], how="vertical_relaxed")
    rows_read = affected.new.lines + affected.old.lines
    return Replacement(
        batches=[Batch(rows=_scored(totals, as_of_date), rows_read=rows_read)],
        units=max(len(affected.ids), not is_same_month),
        keys=affected.ids if is_same_month else None,
        is_full=False,
    )


def months_of_sales(task: Task) -> list[str]:
    """Return the months that have orders."""
    return task.silver["cleaned_sales"].months()


def customers_of_month(task: Task, month: str) -> Batch:
    """Return what the orders of a month add up to, by customer, with the columns `TOTALS`."""
    lines = lines_of_month(task, month)
    return Batch(rows=_totals(lines), rows_read=height(lines))


def all_customers(task: Task, months: Iterable[Batch]) -> Replacement:
    """Return all customers, scored, from the totals of each month."""
    totals, rows_read = _EMPTY, 0
    for month in months:
        totals = _added(totals, month.rows)
        rows_read += month.rows_read
    scored = _scored(totals, _as_of(task))
    batch = Batch(rows=scored, rows_read=rows_read)
    return Replacement(batches=[batch], units=scored.height, is_full=True)


def _as_of(task: Task) -> date:
    """Return the last day of the newest month with an order."""
    newest = task.silver["cleaned_sales"].newest_day()
    return newest.replace(day=monthrange(newest.year, newest.month)[1])


def _scored(totals: pl.DataFrame, as_of_date: date) -> pl.DataFrame:
    return collected(customer_lifetime_value(nw.from_native(totals.lazy()), as_of_date))


def _totals(lines: pl.LazyFrame) -> pl.DataFrame:
    return collected(customer_totals(nw.from_native(lines)))


def _added(totals: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    both = pl.concat([totals, more], how="vertical_relaxed").lazy()
    return collected(added_up(nw.from_native(both)))


def _summed(months: Iterable[pl.LazyFrame]) -> _Sums:
    """Sum sale lines that come month by month."""
    totals, placed, count = _EMPTY, [pl.DataFrame(schema=_PLACED)], 0
    for lines in months:
        count += height(lines)
        totals = _added(totals, _totals(lines))
        known = lines.filter("counts", pl.col("customer_id").is_not_null())
        placed.append(known.select(*_PLACED).unique().collect())
    return _Sums(totals=totals, placed=pl.concat(placed), lines=count)


def _updated_totals(
    stored: pl.LazyFrame, affected: AffectedCustomers, silver: Silver
) -> pl.DataFrame:
    """Return the totals of affected customers who still have an order."""
    new, old = affected.new, affected.old
    before = stored.filter(pl.col("customer_id").is_in(affected.ids.implode())).select(TOTALS)
    minus = old.totals.with_columns(
        *(-pl.col(name) for name in _SUMS),
        *(pl.lit(None, dtype=pl.Date).alias(name) for name in (_FIRST, _LAST)),
    )
    parts = pl.concat([before.collect(), new.totals, minus], how="vertical_relaxed").lazy()
    totals = collected(added_up(nw.from_native(parts)))
    kept = totals.filter(pl.col("orders") > 0)
    gone = old.placed.join(new.placed, on=list(_PLACED), how="anti")
    for edge, is_first in ((_FIRST, True), (_LAST, False)):
        at_edge = gone.join(kept, left_on=["customer_id", DAY], right_on=["customer_id", edge])
        found = _next_orders(silver, at_edge["customer_id"].unique(), is_first=is_first)
        kept = kept.join(found, on="customer_id", how="left").with_columns(
            pl.coalesce(DAY, edge).alias(edge)
        ).drop(DAY)  # fmt: skip
    return kept


def _next_orders(silver: Silver, customers: pl.Series, *, is_first: bool) -> pl.DataFrame:
    """Return the first or the last day on which each customer placed an order that counts."""
    found = [pl.DataFrame(schema=_CUSTOMER)]
    months = silver["cleaned_sales"].months()
    day = pl.col(DAY).min() if is_first else pl.col(DAY).max()
    for month in months if is_first else reversed(months):
        if customers.is_empty():
            break
        placed = _counting(silver, month, customers)
        found.append(placed.group_by("customer_id").agg(day))
        customers = customers.filter(~customers.is_in(found[-1]["customer_id"].implode()))
    return pl.concat(found)


def _counting(silver: Silver, month: str, customers: pl.Series) -> pl.DataFrame:
    """Return the orders of customers in a month that count and have a line."""
    orders = (
        nw.from_native(silver["cleaned_sales"].of_month(month))
        .filter(counts())
        .to_native()
        .join(pl.DataFrame({"customer_id": customers}).lazy(), on="customer_id", how="semi")
        .select("order_id", "customer_id", pl.col("placed_date").alias(DAY))
        .collect()
    )
    lines = silver["cleaned_sale_lines"].matching("order_id", orders["order_id"])
    return orders.lazy().join(lines.select("order_id"), on="order_id", how="semi").collect()
