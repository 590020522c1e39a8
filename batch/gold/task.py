"""A gold table's input and output, and the order lines that most tables are computed from.

Order lines are computed month by month, so memory holds one month at a time. They are cached as
files that the tables of a run share.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import narwhals as nw
import polars as pl
from deltalake import DeltaTable

from batch.gold.silver import Silver
from batch.gold.transforms.sale_lines import sale_lines
from lakehouse.contracts.gold import GoldTable
from lakehouse.frames import collected
from lakehouse.lake import Lake

Since = Mapping[str, int]
"""Versions of silver tables, by name, from which a gold table was computed."""
_ORDER_COLUMNS = (
    "order_id", "customer_id", "channel", "status", "exchange_rate_e8", "subtotal_cents",
    "discount_cents", "shipping_cents", "tax_cents", "total_cents", "base_total_cents",
    "ship_country", "ship_region", "ship_region_code", "placed_at", "paid_at", "returned_at",
    "placed_date", "placed_month",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One gold table to compute.

    Attributes:
        table: its contract.
        gold: the table at the version whose rows are replaced.
        silver: at the versions to compute from.
        since: the versions that `gold` was computed from; None recomputes it in full.
        lake: to open older versions of silver.
        scratch: directory of `cached` results, shared by the tables of a run.
    """

    table: GoldTable
    gold: DeltaTable
    silver: Silver
    since: Since | None
    lake: Lake
    scratch: Path

    @property
    def watermarks(self) -> dict[str, int]:
        """Versions of silver to commit with the rows, by app id."""
        tables = [self.silver[name] for name in self.table.inputs]
        return {one.app_id: one.version for one in tables if one.app_id is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Computed rows, and how many rows of silver were read for them."""

    rows: pl.DataFrame
    rows_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """New rows of a gold table, and which rows they replace: with neither days nor keys, all.

    Attributes:
        batches: may be computed one by one as they are written.
        units: how many days, months, customers or product/warehouse pairs were recomputed.
        days: the rows of these days are replaced.
        keys: the rows of these keys are replaced, in a table with one key column.
        is_full: whether all of silver was read.
    """

    batches: Iterable[Batch]
    units: int
    days: frozenset[date] | None = None
    keys: pl.Series | None = None
    is_full: bool


def cached(path: Path, compute: Callable[[], pl.DataFrame]) -> pl.LazyFrame:
    """Scan a file of `Task.scratch`, computed and written first if it does not exist."""
    if not path.exists():
        part = path.with_suffix(".part")
        compute().write_parquet(part, compression="lz4", statistics=False)
        part.rename(path)
    return pl.scan_parquet(path)


def height(frame: pl.LazyFrame) -> int:
    """Return the number of rows."""
    return int(frame.select(pl.len()).collect().item())


def lines_of_month(task: Task, month: str, days: Sequence[date] | None = None) -> pl.LazyFrame:
    """Return all lines of the orders placed on some days of a month, or in all of it."""
    name = "all" if days is None else "-".join(f"{day:%d}" for day in sorted(days))
    versions = "-".join(str(table.version) for table in task.silver.tables.values())
    orders = task.silver["cleaned_sales"].of_month(month, days).select(_ORDER_COLUMNS)
    return cached(
        task.scratch / f"lines_{month}_{name}_{versions}.parquet",
        lambda: _lines(task.silver, orders.collect()),
    )


def lines_of_orders(silver: Silver, orders: pl.Series) -> Iterator[pl.LazyFrame]:
    """Yield all lines of these orders, month by month."""
    found = silver["cleaned_sales"].matching("order_id", orders).select(_ORDER_COLUMNS).collect()
    for _, chosen in found.group_by("placed_month"):
        yield _lines(silver, chosen).lazy()


def _lines(silver: Silver, orders: pl.DataFrame) -> pl.DataFrame:
    lines, payments = (
        silver[name].matching("order_id", orders["order_id"])
        for name in ("cleaned_sale_lines", "cleaned_payments")
    )
    inputs = (orders.lazy(), lines, payments, silver["products_history"].rows())
    return collected(sale_lines(*(nw.from_native(one) for one in inputs)))
