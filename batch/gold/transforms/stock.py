"""Stock health. Grain: one row per product and warehouse.

The current date is `as_of_date`, the day of the newest movement in the shop. When it advances, the
demand window changes for every row, so the table, one row per product and warehouse, is always
rewritten. The stock itself, which depends on all of history, is stored and updated by differences.
"""

from datetime import date

import narwhals as nw

from batch.gold.transforms import Frame
from lakehouse.contracts.gold import (
    CRITICAL_DAYS,
    DEMAND_DAYS,
    LOW_DAYS,
    OVERSTOCKED_DAYS,
    STOCK_HEALTH,
    days_before,
)

_BY = ("product_id", "warehouse_code")


def stock_levels(movements: Frame) -> Frame:
    """Count and sum up movements. Grain: one row per product and warehouse.

    Args:
        movements: with `sign`, 1 for a new row and -1 for a row that is no longer valid.
    """
    moved = movements.with_columns((nw.col("quantity") * nw.col("sign")).alias("moved"))
    return moved.group_by(*_BY).agg(
        nw.col("sign").sum().alias("movements"), nw.col("moved").sum().alias("on_hand_units")
    )


def levels_updated(levels: Frame, differences: Frame) -> Frame:
    """Apply differences to levels. Grain: one row per product and warehouse with a movement."""
    both = nw.concat([levels, differences]).group_by(*_BY)
    after = both.agg(nw.col("movements").sum(), nw.col("on_hand_units").sum())
    return after.filter(nw.col("movements") != 0)


def stock_health(levels: Frame, recent: Frame, as_of_date: date) -> Frame:
    """Compute days of cover and the risk of running out.

    Days of cover = stock on hand / average daily demand (Silver, Pyke and Thomas, "Inventory and
    Production Management in Supply Chains"), rounded down to whole days. Demand is units sold in
    the last `DEMAND_DAYS` days, including `as_of_date`, without deducting returns. Null if
    nothing was sold.

    Risk: `out_of_stock` without stock; `idle` with stock and no sale; `critical`, `low` and
    `overstocked` by the contract's limits on the days of cover; else `healthy`.

    Args:
        levels: result of `stock_levels` or `levels_updated`.
        recent: current movements, at least those of the demand window.
        as_of_date: day of the newest movement.
    """
    since = days_before(as_of_date, DEMAND_DAYS)
    sales = recent.filter(
        (nw.col("kind") == "sale")
        & (nw.col("occurred_date") > nw.lit(since))
        & (nw.col("occurred_date") <= nw.lit(as_of_date))
    )
    sold = sales.group_by(*_BY).agg((nw.col("quantity") * -1).sum().alias("units_sold"))
    return (
        levels.join(sold, on=list(_BY), how="left")
        .with_columns(nw.col("units_sold").fill_null(0), nw.lit(as_of_date).alias("as_of_date"))
        .with_columns(_days_of_cover().alias("days_of_cover"))
        .with_columns(_risk().alias("risk"))
        .select(*STOCK_HEALTH.names)
    )


def _days_of_cover() -> nw.Expr:
    stock, sold = nw.max_horizontal(nw.col("on_hand_units"), nw.lit(0)), nw.col("units_sold")
    return nw.when(sold > 0).then(stock * DEMAND_DAYS // sold)


def _risk() -> nw.Expr:
    cover = nw.col("days_of_cover")
    rules = {
        "out_of_stock": nw.col("on_hand_units") <= 0,
        "idle": cover.is_null(),
        "critical": cover < CRITICAL_DAYS,
        "low": cover < LOW_DAYS,
        "overstocked": cover >= OVERSTOCKED_DAYS,
    }
    risk = nw.lit("healthy")
    for name, applies in reversed(rules.items()):
        risk = nw.when(applies).then(nw.lit(name)).otherwise(risk)
    return risk
