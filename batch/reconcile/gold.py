"""Compare gold's totals with the warehouse's: two implementations, the same versions of silver."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic

import polars as pl
import psycopg
from deltalake import DeltaTable
from psycopg import sql

from batch.gold.run import has_formulas, read_versions
from batch.gold.silver import KEY_TYPES, pin
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerReport, compare_frames
from batch.reconcile.warehouse import published_versions
from batch.reconcile.warehouse_rows import ColumnType, read_rows
from lakehouse.contracts.gold import GOLD_TABLES, MONEY, GoldTable
from lakehouse.delta import scan
from lakehouse.lake import Lake
from lakehouse.postgres import explained
from lakehouse.trouble import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Sums that a gold table and the warehouse must both have.

    Attributes:
        keys: key columns of gold, each with its type and the warehouse's expression for it.
        sums: columns of gold, each with the warehouse's expression.
        source: the warehouse's rows that are summed up.
        where: condition for rows of gold that have any of the sums.
    """

    keys: Mapping[str, tuple[ColumnType, str]]
    sums: Mapping[str, str]
    source: str
    where: pl.Expr


_SALES = {
    "orders": "count(distinct f.order_id)",
    **{name: f"sum(f.{name})" for name in ("units", *MONEY)},
}
_SOLD = "mart.fact_transactions as f where f.counts"
_SOLD_PRODUCTS = (
    "mart.fact_transactions as f inner join mart.dim_products as p "
    "on f.product_key = p.product_key where f.counts"
)
_STEPS = {"sessions": "view", **{f"{s}_sessions": s for s in ("cart", "checkout", "purchase")}}
_SESSIONS = {
    name: "count(distinct f.session_id) filter (where f.interaction_type in ({}))".format(
        ", ".join(f"'{step}'" for step in list(_STEPS.values())[number:])
    )
    for number, name in enumerate(_STEPS)
}
"""Number of visits by day and device that reached a step or further."""
_HAS_SALES = pl.col("orders") > 0
_DAY = {"business_date": (pl.Date, "f.date_key")}
_COUNTRY = {"country": (pl.String, "f.ship_country")}
TOTALS: Mapping[str, Total] = {
    "sales_kpi": Total(
        keys={**_DAY, **_COUNTRY, "channel": (pl.String, "f.channel"),
              "category": (pl.String, "p.category")},
        sums=_SALES, source=_SOLD_PRODUCTS, where=_HAS_SALES,
    ),
    "geographic_sales": Total(
        keys={**_DAY, **_COUNTRY, "region": (pl.String, "f.ship_region")},
        sums=_SALES, source=_SOLD, where=_HAS_SALES,
    ),
    "product_performance": Total(
        keys={**_DAY, "product_id": (KEY_TYPES["product_id"], "f.product_id")},
        sums=_SALES, source=_SOLD, where=_HAS_SALES,
    ),
    "customer_lifetime_value": Total(
        keys={"customer_id": (KEY_TYPES["customer_id"], "f.customer_id")},
        sums=_SALES, source=f"{_SOLD} and f.customer_id is not null", where=_HAS_SALES,
    ),
    "customer_behaviour": Total(
        keys={**_DAY, "device": (pl.String, "f.device")},
        sums=_SESSIONS | {
            column: f"count(*) filter (where f.interaction_type = '{kind}')"
            for column, kind in (("views", "view"), ("carts", "cart"), ("checkouts", "checkout"),
                                 ("purchases", "purchase"), ("reviews", "review"))
        },
        source="mart.fact_user_interactions as f where true",
        where=pl.lit(value=True),
    ),
    "stock_health": Total(
        keys={"product_id": (KEY_TYPES["product_id"], "f.product_id"),
              "warehouse_code": (pl.String, "f.warehouse_code")},
        sums={"on_hand_units":
              "sum(f.received_units - f.sold_units + f.returned_units + f.adjusted_units)"},
        source="mart.fact_stocks as f where true",
        where=pl.lit(value=True),
    ),
}  # fmt: skip
"""Compared sums by gold table."""


def compare_gold(lake: Lake, dsn: str, examples: Examples) -> Iterator[LayerReport]:
    """Compare sums of each gold table with the warehouse's.

    A table that does not exist, or was built from other versions of silver than the warehouse, is
    reported as not compared.

    Raises:
        RetryLaterError: the warehouse or the object store does not answer.
    """
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute("set transaction isolation level repeatable read read only")
            published = published_versions(connection)
            of_warehouse = partial(_of_warehouse, connection)
            yield from compare_totals(lake, published, of_warehouse, examples)
    except psycopg.Error as error:
        raise explained(error, Service.WAREHOUSE, "The warehouse's sums cannot be read") from error


def compare_totals(
    lake: Lake,
    published: Mapping[str, int],
    of_warehouse: Callable[[Total], pl.DataFrame],
    examples: Examples,
) -> Iterator[LayerReport]:
    """Compare each gold table.

    Args:
        lake: addresses and options.
        published: versions of silver that the warehouse was built from.
        of_warehouse: returns the warehouse's sums.
        examples: number of keys to report.
    """
    for name, total in TOTALS.items():
        started = monotonic()
        table = GOLD_TABLES[name]
        delta = lake.open("gold", name)
        why = _why_not(lake, delta, published, table)
        if delta is None or why:
            yield LayerReport.not_compared("gold", name, why)
            continue
        keys = list(total.keys)
        found = (
            scan(delta)
            .filter(total.where)
            .group_by(keys)
            .agg(pl.col(name).sum().cast(pl.Int64) for name in total.sums)
            .collect()
        )
        findings = compare_frames(of_warehouse(total), found, keys, examples)
        seconds = monotonic() - started
        yield LayerReport(layer="gold", table=name, findings=findings, seconds=seconds)


def _why_not(
    lake: Lake, delta: DeltaTable | None, published: Mapping[str, int], table: GoldTable
) -> str:
    """Return why a table cannot be compared, or None."""
    if delta is None:
        return "not built yet"
    if not has_formulas(delta, table):
        return "built by other formulas than those of this version"
    made_of = read_versions(delta, pin(lake, table.inputs, {}), table)
    if made_of != {name: published.get(name, 0) for name in table.inputs}:
        return "built from other versions of silver than the warehouse"
    return ""


def _of_warehouse(connection: psycopg.Connection, total: Total) -> pl.DataFrame:
    keys = ", ".join(f"{expression} as {name}" for name, (_, expression) in total.keys.items())
    sums = ", ".join(f"coalesce({e}, 0)::bigint as {name}" for name, e in total.sums.items())
    ordinals = ", ".join(str(number + 1) for number in range(len(total.keys)))
    query = f"(select {keys}, {sums} from {total.source} group by {ordinals}) as totals"  # noqa: S608
    schema: dict[str, ColumnType] = {name: kind for name, (kind, _) in total.keys.items()}
    schema |= dict.fromkeys(total.sums, pl.Int64)
    return read_rows(connection, sql.SQL(query), schema)
