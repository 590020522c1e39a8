"""Customers' totals, brought on by what the orders that changed are worth now and were before.

A customer's orders lie all over history, so computing customers anew would read most of it. Sums
are brought on by differences instead. The first and the last day cannot be: where an order at such
an edge went, the next one is looked for, month by month from that edge.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from batch.gold.affected import within
from batch.gold.sale_lines import SaleLineSource
from batch.gold.silver import MissingFeedError, Silver
from batch.gold.transforms.customers import TOTALS, added_up, customer_totals
from batch.gold.transforms.sale_lines import counts
from lakehouse.contracts.gold import DAY
from lakehouse.errors import RetryLaterError

_SUMS = tuple(name for name in TOTALS if not name.endswith("_date") and name != "customer_id")
_FIRST, _LAST = "first_order_date", "last_order_date"
_EMPTY = pl.DataFrame(
    schema={name: pl.Date() if name.endswith("_date") else pl.Int64() for name in TOTALS}
)
_PLACED = {"order_id": pl.Int64(), "customer_id": pl.Int64(), DAY: pl.Date()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What some orders come to.

    Attributes:
        totals: by customer, with the columns `TOTALS`.
        placed: the orders that count, with customer and day.
        lines: how many lines were read.
    """

    totals: pl.DataFrame
    placed: pl.DataFrame
    lines: int


def worth(months: Iterable[pl.LazyFrame]) -> Worth:
    """Add up sale lines that come month by month."""
    totals, placed, count = _EMPTY, [pl.DataFrame(schema=_PLACED)], 0
    for lines in months:
        count += lines.select(pl.len()).collect().item()
        part = pl.DataFrame(customer_totals(nw.from_native(lines)).collect().to_native())
        both = pl.concat([totals, part], how="vertical_relaxed").lazy()
        totals = pl.DataFrame(added_up(nw.from_native(both)).collect().to_native())
        known = lines.filter("counts", pl.col("customer_id").is_not_null())
        placed.append(known.select(*_PLACED).unique().collect())
    return Worth(totals=totals, placed=pl.concat(placed), lines=count)


def worth_before(source: Callable[[], SaleLineSource], orders: pl.Series) -> Worth:
    """The same of orders as they were at versions of silver that gold was made from.

    Raises:
        MissingFeedError: silver does not keep these versions any more.
    """
    try:
        return worth(source().of_orders(orders))
    except (RetryLaterError, OSError, pl.exceptions.PolarsError) as error:
        # Whether the versions or the store are away, reading all of silver tells.
        message = f"silver as it was cannot be read: {error}"
        raise MissingFeedError(message) from error


def updated_totals(stored: pl.DataFrame, new: Worth, old: Worth, silver: Silver) -> pl.DataFrame:
    """Totals of the customers with orders that changed; those without an order left are not in it.

    Args:
        stored: their totals so far.
        new: what the orders come to.
        old: what they came to.
        silver: in which the next order at an edge is looked for.
    """
    minus = old.totals.with_columns(
        *(-pl.col(name) for name in _SUMS),
        *(pl.lit(None, dtype=pl.Date).alias(name) for name in (_FIRST, _LAST)),
    )
    parts = pl.concat([stored.select(TOTALS), new.totals, minus], how="vertical_relaxed").lazy()
    totals = pl.DataFrame(added_up(nw.from_native(parts)).collect().to_native())
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
    """The first day, or the last, on which each customer placed an order that counts."""
    found = [pl.DataFrame(schema={"customer_id": pl.Int64(), DAY: pl.Date()})]
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
    """Orders of customers in a month that count and have a line."""
    live = silver["cleaned_sales"].live().filter(pl.col("placed_month") == month)
    orders = (
        nw.from_native(live)
        .filter(counts())
        .to_native()
        .join(pl.DataFrame({"customer_id": customers}).lazy(), on="customer_id", how="semi")
        .select("order_id", "customer_id", pl.col("placed_date").alias(DAY))
        .collect()
    )
    lines = silver["cleaned_sale_lines"].live().filter(within("order_id", orders["order_id"]))
    return orders.lazy().join(lines.select("order_id"), on="order_id", how="semi").collect()
