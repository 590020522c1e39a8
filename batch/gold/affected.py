"""What of gold a change of silver touches: orders and their days. Old images count, too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from batch.gold.silver import SIGN, Silver, SilverTable
from lakehouse.contracts.gold import month_of

Since = Mapping[str, int]
_INTERVAL = pl.Schema(
    {
        "product_id": pl.Int64(),
        "valid_from_at": pl.Datetime("us", "UTC"),
        "valid_to_at": pl.Datetime("us", "UTC"),
    }
)
_ORDER = ("order_id", "placed_date", "customer_id")
_VERSION = ("product_id", "_epoch", "_offset")
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Orders that changed, or whose lines, payments or products did.

    `orders` has `order_id`, `placed_date`, `customer_id`, with their old values too.
    """

    orders: pl.DataFrame

    @property
    def days(self) -> set[date]:
        """Days on which one of them is placed, or was."""
        return set(self.orders["placed_date"].drop_nulls())

    @property
    def ids(self) -> pl.Series:
        """The orders."""
        return self.orders["order_id"].drop_nulls().unique()


def distinct(table: SilverTable, since: int, columns: Sequence[str]) -> pl.DataFrame:
    """The different values that changed rows have or had.

    Raises:
        MissingFeedError: the feed does not tell.
    """
    batches = [batch.select(columns).unique() for batch in table.changes(since, columns)]
    empty = table.rows().select(columns).head(0).collect()
    return pl.concat([empty, *batches], how="vertical_relaxed").unique()


def affected_orders(silver: Silver, since: Since) -> Affected:
    """Orders whose lines are worth something else than at the versions `since`, and some more.

    Raises:
        MissingFeedError: the feed does not tell.
    """
    changed = distinct(silver["cleaned_sales"], since["cleaned_sales"], _ORDER)
    parts = [
        distinct(silver[name], since[name], ["order_id"])
        for name in ("cleaned_sale_lines", "cleaned_payments")
    ]
    intervals = changed_intervals(silver["products_history"], since["products_history"])
    ids = pl.concat([*parts, _ever_of(silver, intervals)]).drop_nulls().unique()
    found = orders_by_id(silver, ids["order_id"], _ORDER).collect()
    placed = [_placed_within(silver, *span) for span in _spans(intervals)]
    return Affected(orders=pl.concat([changed, found, *placed], how="vertical_relaxed").unique())


def orders_by_id(silver: Silver, ids: pl.Series, columns: Sequence[str]) -> pl.LazyFrame:
    """Live orders with these ids."""
    orders = silver["cleaned_sales"].live().filter(within("order_id", ids))
    wanted = pl.DataFrame({"order_id": ids}).lazy()
    return orders.select(columns).join(wanted, on="order_id", how="semi")


def within(column: str, values: pl.Series) -> pl.Expr:
    """A range that holds all values, by whose bounds files can be skipped."""
    if values.is_empty():
        return pl.lit(value=False)
    return pl.col(column).is_between(pl.lit(values.min()), pl.lit(values.max()))


def changed_intervals(history: SilverTable, since: int) -> pl.DataFrame:
    """When, of which product, another version is valid now than before.

    A version that only ended concerns what comes after its end; one that came, went or changed
    concerns all its time, and if it may be the first, all time before it.

    Returns:
        `product_id`, `valid_from_at` (null for ever), `valid_to_at` (null while it lasts).
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
    return pl.concat([_ends(ended), _first_for_ever(others, history)]).unique()


def _ends(ended: pl.DataFrame) -> pl.DataFrame:
    """From the earlier to the later end of versions of which only the end is another."""
    old, new = pl.col("valid_to_at"), pl.col("valid_to_at_right")
    latest = pl.when(old.is_not_null() & new.is_not_null()).then(pl.max_horizontal(old, new))
    return ended.filter(old.ne_missing(new)).select(
        "product_id",
        valid_from_at=pl.min_horizontal(old, new),
        valid_to_at=latest,
    )


def _first_for_ever(others: pl.DataFrame, history: SilverTable) -> pl.DataFrame:
    """The time of versions that came or went, open to the past if they may be the first."""
    ids = others["product_id"].unique()
    first = (
        history.live()
        .filter(pl.col("product_id").is_in(ids.implode()))
        .group_by("product_id")
        .agg(first_at=pl.col("valid_from_at").min())
    )
    known = others.join(first.collect(), on="product_id", how="left")
    # What went may have been the first.
    is_first = (pl.col("valid_from_at") <= pl.col("first_at")).fill_null(value=True)
    is_early = is_first | (pl.col(SIGN) < 0)
    return known.select(
        "product_id",
        valid_from_at=pl.when(~is_early).then(pl.col("valid_from_at")),
        valid_to_at="valid_to_at",
    )


def _ever_of(silver: Silver, intervals: pl.DataFrame) -> pl.DataFrame:
    """Orders with products whose time is open to the past.

    Mostly new products, whose ids are the highest yet: files of earlier lines are skipped.
    """
    products = intervals.filter(pl.col("valid_from_at").is_null())["product_id"].unique()
    lines = silver["cleaned_sale_lines"].live().filter(within("product_id", products))
    wanted = pl.DataFrame({"product_id": products}).lazy()
    return lines.join(wanted, on="product_id", how="semi").select("order_id").unique().collect()


def _spans(intervals: pl.DataFrame) -> Iterable[tuple[datetime, datetime]]:
    """From when to when (None while it lasts); what overlaps is taken together."""
    bounded = intervals.drop_nulls("valid_from_at").sort("valid_from_at")
    last = pl.col("valid_to_at").fill_null(pl.lit(_NEVER)).cum_max()
    begins = (pl.col("valid_from_at") > last.shift(1)).fill_null(value=True).cum_sum()
    ranges = bounded.group_by(begins.alias("span")).agg(
        start=pl.col("valid_from_at").min(),
        stop=pl.col("valid_to_at").fill_null(pl.lit(_NEVER)).max(),
    )
    return ranges.select("start", "stop").iter_rows()


def _placed_within(silver: Silver, start: datetime, stop: datetime) -> pl.DataFrame:
    """Orders placed from `start` to before `stop`."""
    # A day's month is that of the shop's time zone, which is less than a day away from UTC's.
    first_month = month_of(start - timedelta(days=1))
    placed = pl.col("placed_at")
    orders = silver["cleaned_sales"].live().filter(
        pl.col("placed_month") >= first_month, placed >= pl.lit(start), placed < pl.lit(stop)
    )  # fmt: skip
    return orders.select(_ORDER).collect()
