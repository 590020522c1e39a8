"""Product version that was valid when an order was placed."""

import narwhals as nw

from batch.gold.transforms import Frame

_BY_AGE = ("valid_from_at", "_epoch", "_offset")


def product_versions(products_history: Frame) -> Frame:
    """Return cost and category of each product over time, from the beginning of time.

    A product's first version is extended to the past without limit. Rows of deletes and versions
    with an empty validity are left out.

    Returns:
        `product_id`, `valid_from_at` (inclusive, null: no limit), `valid_to_at` (exclusive, null:
        current version), `category`, `unit_cost_cents`. Grain: one row per version.
    """
    numbered = products_history.filter(nw.col("_deleted_at").is_null()).with_columns(
        nw.col("product_id").cum_count().over("product_id", order_by=_BY_AGE).alias("number")
    )
    since = nw.when(nw.col("number") > 1).then(nw.col("valid_from_at"))
    lasts = nw.col("valid_from_at").is_null() | nw.col("valid_to_at").is_null()
    return (
        numbered.with_columns(since.alias("valid_from_at"))
        .filter(lasts | (nw.col("valid_from_at") < nw.col("valid_to_at")))
        .select(
            "product_id", "valid_from_at", "valid_to_at", "category",
            nw.col("cost_cents").alias("unit_cost_cents"),
        )
    )  # fmt: skip


def valid_version(lines: Frame, products_history: Frame) -> Frame:
    """Return cost and category at the `placed_at` of each line.

    Returns:
        `order_line_id`, `category`, `unit_cost_cents`. Grain: one row per line whose product had
        a valid version.
    """
    wanted = lines.select("order_line_id", "product_id", "placed_at")
    # A join with all versions would multiply the lines of products whose price often changes.
    around = wanted.select(
        nw.col("placed_at").min().alias("earliest_at"), nw.col("placed_at").max().alias("latest_at")
    )
    versions = product_versions(products_history).join(around, how="cross")
    near = versions.filter(_is_valid("latest_at", "earliest_at"))
    matched = wanted.join(near, on="product_id").filter(_is_valid("placed_at", "placed_at"))
    return matched.select("order_line_id", "category", "unit_cost_cents")


def _is_valid(begun_by: str, after: str) -> nw.Expr:
    has_begun = nw.col("valid_from_at").is_null() | (nw.col("valid_from_at") <= nw.col(begun_by))
    is_lasting = nw.col("valid_to_at").is_null() | (nw.col("valid_to_at") > nw.col(after))
    return has_begun & is_lasting
