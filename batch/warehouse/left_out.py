"""Revenue that is left out because its orders and lines are in quarantine.

Grain of `etl.quarantined_sale`: one row per order or order line with quarantined changes, as the
newest of them has it, unless the shop has deleted it since; `etl.compute_left_out` finds those that
are nowhere else, and sums them up.
"""

from collections.abc import Mapping
from typing import LiteralString

import polars as pl
import psycopg

from batch.gold.silver import KEY_TYPES
from lakehouse.cleaning.expressed import text_of
from lakehouse.cleaning.transforms.latest import ORDER
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.mapping import MappedEntity

SALES = ("orders", "order_lines")
_INSERT: LiteralString = """
insert into etl.quarantined_sale (
    entity, row_key, rule, order_id, amount, discount, exchange_rate, counts, placed_at
)
values (
    %(entity)s, %(row_key)s, %(rule)s, %(order_id)s, %(amount)s, %(discount)s, %(exchange_rate)s,
    %(counts)s, %(placed_at)s
)"""
_AMOUNT, _RATE = pl.Decimal(20, 2), pl.Decimal(24, 8)
_NOTHING = {
    "discount": pl.lit(0).cast(_AMOUNT),
    "exchange_rate": pl.lit(None, _RATE),
    "counts": pl.lit(value=True),
    "placed_at": pl.lit(None, pl.Datetime("us", "UTC")),
}


def keep_quarantined_sales(
    connection: psycopg.Connection,
    rows: pl.LazyFrame | None,
    deleted: Mapping[str, pl.LazyFrame],
) -> None:
    """Replace `etl.quarantined_sale` by what these rows of quarantine have.

    Args:
        connection: as the role `batch`.
        rows: of quarantine; None if there is none.
        deleted: by entity, what `deleted_rows` returns; nothing for a table that does not exist.
    """
    connection.execute("delete from etl.quarantined_sale")
    if rows is not None:
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, quarantined_sales(rows, deleted).to_dicts())


def deleted_rows(entity: str, silver: pl.LazyFrame) -> pl.LazyFrame:
    """Return the keys that silver knows as deleted, and the coordinates of their deletes."""
    contract = ENTITIES[entity]
    is_deleted = pl.col("_deleted_at").is_not_null()
    if contract.partition:  # is null then: no other files are read
        is_deleted &= pl.col(contract.partition).is_null()
    return silver.filter(is_deleted).select(
        pl.col(contract.key).alias("row_key"), *(pl.col(name).alias(f"to{name}") for name in ORDER)
    )


def quarantined_sales(
    rows: pl.LazyFrame, deleted: Mapping[str, pl.LazyFrame] | None = None
) -> pl.DataFrame:
    """Return the quarantined orders and lines that the shop has not deleted since.

    A value that is no amount is null.
    """
    newest = (
        rows.filter(pl.col("entity").is_in(SALES))
        .sort(*ORDER)
        .group_by("entity", "row_key", maintain_order=True)
        .agg(
            pl.col("rule", *ORDER).last(),
            pl.col("value").last().cast(pl.String, strict=False),
        )
    )
    wanted = ("entity", "row_key", "rule", "order_id", *_NOTHING)
    found = [
        _existing(
            newest.filter(pl.col("entity") == entity).with_columns(_key(entity, "row_key")),
            (deleted or {}).get(entity),
        )
        .with_columns(**{**_NOTHING, **values})
        .filter(pl.col("row_key").is_not_null(), pl.col("order_id").is_not_null())
        .select(*wanted, "amount")
        for entity, values in (("orders", _order()), ("order_lines", _line()))
    ]
    return pl.concat(found, how="vertical_relaxed").collect()


def _existing(newest: pl.LazyFrame, deleted: pl.LazyFrame | None) -> pl.LazyFrame:
    """Leave out the rows that were deleted after the change that is in quarantine."""
    if deleted is None:
        return newest
    joined = newest.join(deleted, on="row_key", how="left")
    epoch, offset = ORDER
    is_later = (pl.col(f"to{epoch}") > pl.col(epoch)) | (
        (pl.col(f"to{epoch}") == pl.col(epoch)) & (pl.col(f"to{offset}") > pl.col(offset))
    )
    return joined.filter(~is_later.fill_null(value=False))


def _key(entity: str, column: str) -> pl.Expr:
    """Return a text as the key of a table; null if it is none."""
    key = ENTITIES[entity].key
    return pl.col(column).cast(KEY_TYPES[key], strict=False)


def _order() -> Mapping[str, pl.Expr]:
    # As cleaning spells it, which did not happen.
    status = _text("orders", "status").str.strip_chars().str.to_lowercase()
    is_cancelled = (status == "cancelled").fill_null(value=False)
    placed = (
        _text("orders", "placed_at")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC")
    )
    return {
        "order_id": pl.col("row_key"),
        "amount": _text("orders", "subtotal_cents").cast(_AMOUNT, strict=False),
        "discount": _text("orders", "discount_cents").cast(_AMOUNT, strict=False),
        "exchange_rate": _text("orders", "exchange_rate_e8").cast(_RATE, strict=False),
        "counts": ~(is_cancelled & _text("orders", "paid_at").is_null()),
        # Python has no other years; without an instant the order is left out of no day.
        "placed_at": pl.when(placed.dt.year().is_between(1, 9999)).then(placed),
    }


def _line() -> Mapping[str, pl.Expr]:
    return {
        "order_id": _text("order_lines", "order_id").cast(KEY_TYPES["order_id"], strict=False),
        "amount": _text("order_lines", "line_total_cents").cast(_AMOUNT, strict=False),
    }


def _text(entity: str, column: str) -> pl.Expr:
    """Return what the shop wrote into the column, or into those that a mapping makes it of."""
    contract = ENTITIES[entity]
    if isinstance(contract, MappedEntity):
        expression = contract.expressions[contract.names.index(column)]
        return text_of(expression, _cell, _cell("ts_us", "source").cast(pl.Int64, strict=False))
    return _cell(contract.column(column).source)


def _cell(name: str, part: str = "after") -> pl.Expr:
    if "\\" in name:  # which a path cannot have
        return pl.lit(None, pl.String)
    quoted = name.replace("'", "\\'")
    return pl.col("value").str.json_path_match(f"$.{part}['{quoted}']")
