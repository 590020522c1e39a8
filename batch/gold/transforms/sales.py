"""Sales by day, with the metrics of the metric dictionary, of orders that count."""

from collections.abc import Sequence

import narwhals as nw

from batch.gold.transforms import Frame
from lakehouse.contracts.gold import ADDITIVE, GEOGRAPHIC_SALES, SALES_KPI


def totals(lines: Frame, by: Sequence[str]) -> Frame:
    """Compute all metrics of the lines that count. Grain: one row per `by`.

    `orders` counts orders with a line in the row; an order whose lines fall into several rows
    counts in each. Lines without cost are left out of `cost_cents` and `margin_cents`.
    """
    counting = lines.filter(nw.col("counts"))
    sums = [nw.col(name).sum() for name in ADDITIVE]
    return counting.group_by(*by).agg(
        nw.col("order_id").n_unique().cast(nw.Int64).alias("orders"), *sums
    )


def sales_kpi(lines: Frame) -> Frame:
    """Aggregate sales. Grain: one row per day, country, channel and category."""
    by = ("business_date", "business_month", "country", "channel", "category")
    return totals(lines, by).select(*SALES_KPI.names)


def geographic_sales(lines: Frame) -> Frame:
    """Aggregate sales. Grain: one row per day, country and region, with the region's code."""
    by = ("business_date", "business_month", "country", "region")
    code = lines.filter(nw.col("counts")).group_by(*by).agg(nw.col("region_code").max())
    return totals(lines, by).join(code, on=list(by)).select(*GEOGRAPHIC_SALES.names)
