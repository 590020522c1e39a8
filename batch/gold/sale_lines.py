"""Order lines in the base currency, computed month by month and cached, as several tables use them.

Memory holds one month at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import narwhals as nw
import polars as pl

from batch.gold.affected import orders_by_id, within
from batch.gold.silver import Silver
from batch.gold.transforms.sale_lines import sale_lines

_ORDER_COLUMNS = (
    "order_id", "customer_id", "channel", "status", "exchange_rate_e8", "subtotal_cents",
    "discount_cents", "shipping_cents", "tax_cents", "total_cents", "base_total_cents",
    "ship_country", "ship_region", "ship_region_code", "placed_at", "paid_at", "returned_at",
    "placed_date", "placed_month",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SaleLineSource:
    """Order lines of pinned silver. `aside` is the cache directory.

    Attributes:
        rows_read: number of lines computed, by file.
    """

    silver: Silver
    aside: Path
    rows_read: dict[Path, int] = field(default_factory=dict)

    def of_month(self, month: str, days: Sequence[date] | None) -> pl.LazyFrame:
        """Return all lines of orders placed on these days of a month, or in all of it."""
        name = "all" if days is None else "-".join(f"{day:%d}" for day in sorted(days))
        path = self._path(month, name)
        if path not in self.rows_read:
            orders = self._orders(month)
            chosen = orders if days is None else orders.filter(pl.col("placed_date").is_in(days))
            self._compute(chosen.collect(), path)
        return pl.scan_parquet(path)

    def of_orders(self, orders: pl.Series) -> Iterator[pl.LazyFrame]:
        """Yield all lines of these orders, month by month."""
        found = orders_by_id(self.silver, orders, _ORDER_COLUMNS).collect()
        for (month,), chosen in found.group_by("placed_month"):
            path = self._path(str(month), "orders")
            self._compute(chosen, path)
            yield pl.scan_parquet(path)

    def _path(self, month: str, name: str) -> Path:
        versions = "-".join(str(table.version) for table in self.silver.tables.values())
        return self.aside / f"{month}_{name}_{versions}.parquet"

    def _orders(self, month: str) -> pl.LazyFrame:
        live = self.silver["cleaned_sales"].live()
        return live.filter(pl.col("placed_month") == month).select(_ORDER_COLUMNS)

    def _compute(self, orders: pl.DataFrame, path: Path) -> None:
        of_these = within("order_id", orders["order_id"])
        wanted = orders.lazy().select("order_id")
        lines, payments = (
            self.silver[name].live().filter(of_these).join(wanted, on="order_id", how="semi")
            for name in ("cleaned_sale_lines", "cleaned_payments")
        )
        history = self.silver["products_history"].rows()
        inputs = (nw.from_native(f) for f in (orders.lazy(), lines, payments, history))
        computed = pl.DataFrame(sale_lines(*inputs).collect().to_native())
        computed.write_parquet(path, compression="lz4", statistics=False)
        self.rows_read[path] = computed.height
