"""Customer lifetime value. Grain: one row per customer with an order that counts.

Recency is counted back from `as_of_date`, the last day of the month of the newest order, so it
depends on the data alone. Counted from the newest order itself, every row would change with every
order; this way all rows change once a month, and only their scores do: the sums are stored.
"""

from collections.abc import Sequence
from datetime import date

import narwhals as nw

from batch.gold.transforms import Frame
from batch.gold.transforms.sales import totals
from lakehouse.contracts.gold import (
    ADDITIVE,
    CUSTOMER_LIFETIME_VALUE,
    DAY,
    FREQUENCY_ORDERS,
    MONETARY_CENTS,
    RECENCY_DAYS,
    days_before,
)

TOTALS = ("customer_id", "first_order_date", "last_order_date", "orders", *ADDITIVE)
"""Columns of a customer before it is scored."""


def customer_totals(lines: Frame) -> Frame:
    """Sum the orders of known customers. Grain: one row per customer."""
    known = lines.filter(nw.col("counts") & ~nw.col("customer_id").is_null())
    days = known.group_by("customer_id").agg(
        nw.col(DAY).min().alias("first_order_date"), nw.col(DAY).max().alias("last_order_date")
    )
    return totals(known, ["customer_id"]).join(days, on="customer_id").select(*TOTALS)


def added_up(parts: Frame) -> Frame:
    """Sum totals of disjoint sets of orders. Grain: one row per customer."""
    return (
        parts.group_by("customer_id")
        .agg(
            nw.col("first_order_date").min(),
            nw.col("last_order_date").max(),
            *(nw.col(name).sum() for name in ("orders", *ADDITIVE)),
        )
        .select(*TOTALS)
    )


def customer_lifetime_value(customers: Frame, as_of_date: date) -> Frame:
    """Score customers by recency, frequency and monetary value, each from 1 to 5.

    The lifetime value is historic, not a forecast: total charged minus refunds (monetary value in
    Hughes, "Strategic Database Marketing", 1994, which also has the three scores). Hughes cuts
    customers into fifths; here the contract fixes thresholds, because fifths would change rows
    without new orders. The segment is the first whose condition on the scores R, F and M applies:

    | segment | scores |
    |---|---|
    | champion | R >= 4, F >= 4, M >= 4 |
    | loyal | R >= 3, F >= 3 |
    | new | R = 5, F = 1 |
    | promising | R >= 4 |
    | needs_attention | R = 3 |
    | at_risk | F >= 3 or M >= 4 |
    | lost | all others |

    Args:
        customers: with the columns `TOTALS`.
        as_of_date: recency is counted back from this day.
    """
    value = nw.col("total_cents") - nw.col("refund_cents")
    limits = [days_before(as_of_date, days) for days in reversed(RECENCY_DAYS)]
    return (
        customers.with_columns(value.alias("lifetime_value_cents"))
        .with_columns(
            _score("last_order_date", limits).alias("recency_score"),
            _score("orders", FREQUENCY_ORDERS).alias("frequency_score"),
            _score("lifetime_value_cents", MONETARY_CENTS).alias("monetary_score"),
            nw.lit(as_of_date).alias("as_of_date"),
        )
        .with_columns(_segment().alias("segment"))
        .select(*CUSTOMER_LIFETIME_VALUE.names)
    )


def _score(name: str, limits: Sequence[date | int]) -> nw.Expr:
    """Return 1 plus the number of limits that are reached."""
    score = nw.lit(1).cast(nw.Int64)
    for limit in limits:
        score = score + (nw.col(name) >= nw.lit(limit)).cast(nw.Int64)
    return score


def _segment() -> nw.Expr:
    recency, frequency, monetary = (
        nw.col(f"{name}_score") for name in ("recency", "frequency", "monetary")
    )
    rules = {
        "champion": (recency >= 4) & (frequency >= 4) & (monetary >= 4),
        "loyal": (recency >= 3) & (frequency >= 3),
        "new": (recency == 5) & (frequency == 1),
        "promising": recency >= 4,
        "needs_attention": recency == 3,
        "at_risk": (frequency >= 3) | (monetary >= 4),
    }
    segment = nw.lit("lost")
    for name, applies in reversed(rules.items()):
        segment = nw.when(applies).then(nw.lit(name)).otherwise(segment)
    return segment
