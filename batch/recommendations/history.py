"""What a training reads of silver, as of an instant. Deleted rows and accounts are left out."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from batch.gold.silver import Silver

MOST_CLICKS = 200
"""A customer with more views and carts on one day is a program: none of that day count."""
_CLICKS = ("view", "cart")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Purchases and interest of current customers in current products, up to an instant.

    Attributes:
        purchases: `customer_id`, `product_id`, `order_id`, `at`, `place`; one row per product of an
            order that counts. The place, null if unknown, is where it was sent, or the branch.
        interest: `customer_id`, `product_id`, `at`; one row per day on which a customer looked at a
            product or put it into a cart.
        products: `product_id`, `category`, `brand`, `is_offered`; sorted by product.
        customers: all accounts, sorted.
        until: the instant, inclusive.
    """

    purchases: pl.DataFrame
    interest: pl.DataFrame
    products: pl.DataFrame
    customers: pl.Series
    until: datetime

    def before(self, instant: datetime) -> "History":
        """Return the history up to an earlier instant, with the same customers and products."""
        return replace(
            self,
            purchases=self.purchases.filter(pl.col("at") <= instant),
            interest=self.interest.filter(pl.col("at") <= instant),
            until=instant,
        )


def read_history(silver: Silver, until: datetime | None = None) -> History | None:
    """Read silver.

    Args:
        silver: with the inputs of `RECOMMENDATIONS`.
        until: read purchases and interactions up to then; by default all purchases, and
            interactions up to the newest one.

    Returns:
        None if there is no purchase.
    """
    customers = silver["enriched_users"].current().select("customer_id")
    products = _products(silver)
    purchases = _purchases(silver).join(customers, on="customer_id", how="semi")
    purchases = purchases.join(products.lazy(), on="product_id", how="semi")
    newest = purchases.select(pl.col("at").max()).collect().item()
    # An instant in the future would hide no purchase from the tested models.
    until = newest if until is None or newest is None else min(until, newest)
    if until is None:
        return None
    bought = (
        purchases.filter(pl.col("at") <= until)
        .unique(["order_id", "product_id"])
        .sort("customer_id", "order_id", "product_id")
        .collect()
    )
    if bought.is_empty():
        return None
    interest = _interest(silver, until).join(customers, on="customer_id", how="semi")
    interest = interest.join(products.lazy(), on="product_id", how="semi")
    return History(
        purchases=bought.select("customer_id", "product_id", "order_id", "at", "place"),
        interest=interest.sort("customer_id", "product_id", "at").collect(),
        products=products,
        customers=customers.collect()["customer_id"].sort(),
        until=until,
    )


def _purchases(silver: Silver) -> pl.LazyFrame:
    # As in every metric, all orders count but those cancelled before they were paid.
    counts = ~((pl.col("status") == "cancelled") & pl.col("paid_at").is_null())
    orders = silver["cleaned_sales"].current().filter(counts, pl.col("customer_id").is_not_null())
    place = pl.concat_str("ship_country", "ship_city", separator="/")
    orders = orders.select("order_id", "customer_id", at="placed_at", place=place)
    lines = silver["cleaned_sale_lines"].current().select("order_id", "product_id")
    return lines.join(orders, on="order_id")


def _interest(silver: Silver, until: datetime) -> pl.LazyFrame:
    clicks = (
        silver["cleaned_interactions"]
        .current()
        .filter(
            pl.col("interaction_type").is_in(_CLICKS),
            pl.col("customer_id").is_not_null() & pl.col("product_id").is_not_null(),
            pl.col("occurred_at") <= until,
        )
    )
    day = ["customer_id", "occurred_date"]
    per_product = clicks.group_by(*day, "product_id").agg(pl.len(), at=pl.col("occurred_at").max())
    is_person = pl.col("len").sum().over(day) <= MOST_CLICKS
    return per_product.filter(is_person).select("customer_id", "product_id", "at")


def _products(silver: Silver) -> pl.DataFrame:
    """Return all current products; offered are those that are active and in stock.

    A shop without any stock movement keeps no stock: there, all active products are offered.
    """
    products = (
        silver["cleaned_products"]
        .current()
        .select("product_id", "category", "brand", "is_active")
        .collect()
    )
    movements = silver["cleaned_stock_movements"].current()
    stock = movements.group_by("product_id").agg(on_hand=pl.col("quantity").sum()).collect()
    in_stock = stock.filter(pl.col("on_hand") > 0)["product_id"]
    is_in_stock = pl.col("product_id").is_in(in_stock.implode()) | pl.lit(stock.is_empty())
    offered = (pl.col("is_active").fill_null(value=False) & is_in_stock).alias("is_offered")
    return products.select("product_id", "category", "brand", offered).sort("product_id")


def test_window(history: History, days: int) -> datetime:
    """Return the instant from which purchases are hidden from tested models.

    The last days, but at most a quarter of the time since the first purchase.
    """
    first = history.purchases["at"].min()
    span = history.until - (first if isinstance(first, datetime) else history.until)
    return history.until - min(timedelta(days=days), span / 4)
