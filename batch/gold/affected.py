"""Affected orders and days: those that changed rows of silver belong to, or belonged to."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from batch.gold.silver import KEY_TYPES, SIGN, Silver, SilverTable
from batch.gold.task import Since, Task, cached
from lakehouse.contracts.gold import SALES_KPI, month_of

_INTERVAL = pl.Schema(
    {
        "product_id": KEY_TYPES["product_id"],
        "valid_from_at": pl.Datetime("us", "UTC"),
        "valid_to_at": pl.Datetime("us", "UTC"),
    }
)
_ORDER = ("order_id", "placed_date", "customer_id")
_VERSION = ("product_id", "_epoch", "_offset")
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def changed_days(table: SilverTable, since: int, column: str) -> set[date]:
    """Return the days in `column` of changed rows, before and after the change.

    Raises:
        MissingFeedError: the changes are unknown.
    """
    return set(_distinct(table, since, [column])[column].drop_nulls())


def affected_orders(task: Task, since: Since) -> pl.DataFrame:
    """Return orders that changed, or whose lines, payments or products did.

    Some orders may be among them whose lines have the same values as before.

    Returns:
        `order_id`, `placed_date` and `customer_id`, with both their old and their new values.

    Raises:
        MissingFeedError: the changes are unknown.
    """
    versions = (v for name in SALES_KPI.inputs for v in (since[name], task.silver[name].version))
    path = task.scratch / f"orders_{'-'.join(str(version) for version in versions)}.parquet"
    return cached(path, lambda: _orders(task.silver, since)).collect()


def _orders(silver: Silver, since: Since) -> pl.DataFrame:
    sales = silver["cleaned_sales"]
    changed = _distinct(sales, since[sales.name], _ORDER)
    of_parts = [
        _distinct(silver[name], since[name], ["order_id"])
        for name in ("cleaned_sale_lines", "cleaned_payments")
    ]
    intervals = _changed_intervals(silver["products_history"], since["products_history"])
    ids = pl.concat([*of_parts, _with_first_versions(silver, intervals)]).drop_nulls().unique()
    found = sales.matching("order_id", ids["order_id"]).select(_ORDER).collect()
    placed = [_placed_within(sales, *span) for span in _spans(intervals)]
    return pl.concat([changed, found, *placed], how="vertical_relaxed").unique()


def _distinct(table: SilverTable, since: int, columns: Sequence[str]) -> pl.DataFrame:
    """Return the distinct values of changed rows, before and after the change."""
    batches = [batch.select(columns).unique() for batch in table.changes(since, columns)]
    empty = table.rows().select(columns).head(0).collect()
    return pl.concat([empty, *batches], how="vertical_relaxed").unique()


def _changed_intervals(history: SilverTable, since: int) -> pl.DataFrame:
    """Return the intervals in which another version of a product is valid than before.

    If only the end of a version changed, that is the interval between both ends; if a version was
    added, removed or changed otherwise, its whole interval, open to the past if it may be the
    first.

    Returns:
        `product_id`, `valid_from_at` (null: without a start), `valid_to_at` (null: without an end).
    """
    columns = [*_VERSION, "valid_from_at", "valid_to_at", "cost_cents", "category", "_deleted_at"]
    batches = list(history.changes(since, columns))
    if not batches:
        return pl.DataFrame(schema=_INTERVAL)
    rows = pl.concat(batches).filter(pl.col("_deleted_at").is_null()).drop("_deleted_at")
    same = ("valid_from_at", "cost_cents", "category")
    old, new = rows.filter(pl.col(SIGN) < 0), rows.filter(pl.col(SIGN) > 0)
    ended = old.join(new, on=[*_VERSION, "_commit_version", *same], nulls_equal=True)
    others = rows.join(ended, on=[*_VERSION, "_commit_version"], how="anti")
    return pl.concat([_between_ends(ended), _whole(others, history)]).unique()


def _between_ends(ended: pl.DataFrame) -> pl.DataFrame:
    """Return the intervals between the old and the new end of versions."""
    old, new = pl.col("valid_to_at"), pl.col("valid_to_at_right")
    latest = pl.when(old.is_not_null() & new.is_not_null()).then(pl.max_horizontal(old, new))
    return ended.filter(old.ne_missing(new)).select(
        "product_id",
        valid_from_at=pl.min_horizontal(old, new),
        valid_to_at=latest,
    )


def _whole(others: pl.DataFrame, history: SilverTable) -> pl.DataFrame:
    """Return the intervals of versions, open to the past if they may be the first."""
    versions = history.matching("product_id", others["product_id"].unique())
    first = versions.group_by("product_id").agg(first_at=pl.col("valid_from_at").min())
    known = others.join(first.collect(), on="product_id", how="left")
    # A removed version may have been the first.
    is_first = (pl.col("valid_from_at") <= pl.col("first_at")).fill_null(value=True)
    is_early = is_first | (pl.col(SIGN) < 0)
    return known.select(
        "product_id",
        valid_from_at=pl.when(~is_early).then(pl.col("valid_from_at")),
        valid_to_at="valid_to_at",
    )


def _with_first_versions(silver: Silver, intervals: pl.DataFrame) -> pl.DataFrame:
    """Return the orders of products with an interval that is open to the past.

    Most are new products with the highest ids, so the scan skips files of earlier lines.
    """
    products = intervals.filter(pl.col("valid_from_at").is_null())["product_id"].unique()
    lines = silver["cleaned_sale_lines"].matching("product_id", products)
    return lines.select("order_id").unique().collect()


def _spans(intervals: pl.DataFrame) -> Iterable[tuple[datetime, datetime]]:
    """Return start and stop of bounded intervals, with overlapping ones merged."""
    bounded = intervals.drop_nulls("valid_from_at").sort("valid_from_at")
    last = pl.col("valid_to_at").fill_null(pl.lit(_NEVER)).cum_max()
    begins = (pl.col("valid_from_at") > last.shift(1)).fill_null(value=True).cum_sum()
    ranges = bounded.group_by(begins.alias("span")).agg(
        start=pl.col("valid_from_at").min(),
        stop=pl.col("valid_to_at").fill_null(pl.lit(_NEVER)).max(),
    )
    return ranges.select("start", "stop").iter_rows()


def _placed_within(sales: SilverTable, start: datetime, stop: datetime) -> pl.DataFrame:
    """Return orders placed from `start` to before `stop`."""
    # A month is that of the shop's time zone, which is less than a day away from UTC.
    first_month = month_of(start - timedelta(days=1))
    placed = pl.col("placed_at")
    orders = sales.current().filter(
        pl.col("placed_month") >= first_month, placed >= pl.lit(start), placed < pl.lit(stop)
    )
    return orders.select(_ORDER).collect()
