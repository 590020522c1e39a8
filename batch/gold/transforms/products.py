"""Product performance by day. Grain: one row per day and product."""

import narwhals as nw

from batch.gold.transforms import Frame
from batch.gold.transforms.arithmetic import basis_points
from batch.gold.transforms.sales import totals
from lakehouse.contracts.gold import ADDITIVE, DAY, MONTH, PRODUCT_PERFORMANCE

_BY = (DAY, MONTH, "product_id")
_VISITS = ("views", "carts", "reviews", "rating_stars")
_SALES = ("orders", *ADDITIVE, "returned_units")


def product_performance(lines: Frame, interactions: Frame) -> Frame:
    """Compute the metrics of each product on each day.

    Conversion is orders that contain the product per view of its page (the e-commerce conversion
    rate, per product). It compares visits and orders of one day, so it can exceed 100%, because an
    order may follow from a visit the day before. Null without views. The return rate is
    returned units per unit sold, of the orders placed that day.

    Args:
        lines: `sale_lines` of whole days.
        interactions: current rows of `cleaned_interactions` of the same days.
    """
    parts = [
        part.with_columns(*(nw.lit(0).cast(nw.Int64).alias(name) for name in missing))
        .select(*_BY, *_VISITS, *_SALES)
        for part, missing in ((_visits(interactions), _SALES), (_sales(lines), _VISITS))
    ]  # fmt: skip
    sums = [nw.col(name).sum() for name in (*_VISITS, *_SALES)]
    return (
        nw.concat(parts)
        .group_by(*_BY)
        .agg(*sums)
        .with_columns(
            basis_points(nw.col("orders"), nw.col("views")).alias("conversion_basis_points"),
            basis_points(nw.col("returned_units"), nw.col("units")).alias("return_basis_points"),
        )
        .select(*PRODUCT_PERFORMANCE.names)
    )


def _visits(interactions: Frame) -> Frame:
    """Count interactions with each product."""
    kind = nw.col("interaction_type")
    return (
        interactions.filter(~nw.col("product_id").is_null())
        .with_columns(
            nw.col("occurred_date").alias(DAY),
            nw.col("occurred_month").alias(MONTH),
            (kind == "view").cast(nw.Int64).alias("views"),
            (kind == "cart").cast(nw.Int64).alias("carts"),
            (kind == "review").cast(nw.Int64).alias("reviews"),
            nw.when(kind == "review").then(nw.col("rating")).otherwise(0).alias("rating_stars"),
        )
        .group_by(*_BY)
        .agg(*(nw.col(name).sum() for name in _VISITS))
        .filter(nw.col("views") + nw.col("carts") + nw.col("reviews") > 0)
    )


def _sales(lines: Frame) -> Frame:
    """Sum up sales and returns of each product."""
    returned = nw.col("units") * nw.col("is_returned").cast(nw.Int64)
    back = (
        lines.filter(nw.col("counts"))
        .with_columns(returned.alias("returned_units"))
        .group_by(*_BY)
        .agg(nw.col("returned_units").sum())
    )
    return totals(lines, _BY).join(back, on=list(_BY))
