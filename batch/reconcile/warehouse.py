"""Comparison of the warehouse with the versions of silver it was built from: rows, and amounts.

Expected amounts are computed by gold's code, which shares nothing with the SQL that fills the
warehouse. All other tables must equal the queries that they declare.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from time import monotonic
from typing import Protocol

import narwhals as nw
import polars as pl
import psycopg
from psycopg import sql

from batch.gold.silver import KEY_TYPES, SCHEMAS
from batch.gold.transforms import Frame
from batch.gold.transforms.sale_lines import counts, payment_worth, refunds, sale_lines
from batch.reconcile.history import Examples
from batch.reconcile.layers import (
    InNoFact,
    LayerFindings,
    LayerReport,
    compare_frames,
    is_made,
)
from batch.reconcile.sums import compare_sums
from batch.reconcile.warehouse_rows import ColumnType, read_rows
from batch.warehouse.entities import TABLES, EntityTable
from batch.warehouse.marts import mart
from lakehouse.contracts.gold import MONEY
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.delta import scan
from lakehouse.errors import GoneError, StopPipelineError
from lakehouse.frames import collected
from lakehouse.lake import Lake
from lakehouse.postgres import explained
from lakehouse.trouble import Service

_SLICE_ROWS = 400_000
_LINE_INPUTS = ("cleaned_sales", "cleaned_sale_lines", "cleaned_payments", "products_history")
_PAYMENT_INPUTS = ("cleaned_sales", "cleaned_payments")
_WHERE: Mapping[str, str] = {"mart.fact_transactions": "placed_at is not null"}
"""A line whose order has not arrived has no amounts to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The rows with a value of `column` from `first` (inclusive) to `stop`; None has no limit.

    Texts are ordered by their bytes, here as in the warehouse.
    """

    column: str
    first: int | str | None = None
    stop: int | str | None = None

    def of_silver(self) -> pl.Expr:
        """Return the filter for a frame."""
        key = pl.col(self.column)
        from_first = pl.lit(value=True) if self.first is None else key >= self.first
        return from_first if self.stop is None else from_first & (key < self.stop)

    def of_warehouse(self) -> sql.Composable:
        """Return the condition for a table of the warehouse."""
        conditions: list[sql.Composable] = [
            sql.SQL("{} {} {}").format(
                sql.Identifier(self.column), sql.SQL(sign), sql.Literal(limit)
            )
            for sign, limit in ((">=", self.first), ("<", self.stop))
            if limit is not None
        ]
        return sql.SQL(" and ").join(conditions or [sql.SQL("true")])


class WarehouseReader(Protocol):
    """A reader of the warehouse."""

    def __call__(self, table: str, schema: Mapping[str, ColumnType], shard: Shard) -> pl.DataFrame:
        """Read the columns of `schema`, rows of `shard` only. `table` includes the schema."""


def compare_warehouse(lake: Lake, dsn: str, examples: Examples) -> Iterator[LayerReport]:
    """Compare `entity`, and the facts of lines and payments in `mart`, with silver.

    Also compare tables of the mart with the queries that they declare.

    A table that was not published yet is reported as not compared.

    Raises:
        StopPipelineError: silver no longer has the version that the warehouse was built from.
        RetryLaterError: the warehouse or the object store does not answer.
    """
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute("set transaction isolation level repeatable read read only")
            versions = published_versions(connection)
            yield from WarehouseComparison(
                lake, versions, partial(_read, connection), examples
            ).compare()
            yield from compare_sums(connection, examples, is_published=bool(versions))
    except psycopg.Error as error:
        raise explained(error, Service.WAREHOUSE, "The warehouse cannot be compared") from error


def published_versions(connection: psycopg.Connection) -> dict[str, int]:
    """Return the versions of silver in the warehouse; empty before the first load."""
    exists = connection.execute("select to_regclass('etl.silver_version')").fetchone()
    if exists is None or exists[0] is None:
        return {}
    rows = connection.execute("select silver_table, version from etl.silver_version").fetchall()
    return {str(name): int(version) for name, version in rows}


def _read(
    connection: psycopg.Connection, table: str, schema: Mapping[str, ColumnType], shard: Shard
) -> pl.DataFrame:
    where = sql.SQL(_WHERE.get(table, "true") + " and {}").format(shard.of_warehouse())
    return read_rows(connection, sql.Identifier(*table.split(".")), schema, where)


class WarehouseComparison:
    """Comparison of the warehouse, through a reader, with the versions of silver in it."""

    def __init__(
        self, lake: Lake, versions: Mapping[str, int], read: WarehouseReader, examples: Examples
    ) -> None:
        self._lake = lake
        self._versions = versions
        self._read = read
        self._examples = examples
        self._frames: dict[str, pl.LazyFrame] = {}

    def compare(self) -> Iterator[LayerReport]:
        """Yield a report of each table."""
        for table in TABLES:
            yield self._report(
                f"entity.{table.name}", (table.silver,), partial(self._entity, table)
            )
        compared = {"fact_transactions": (_LINE_INPUTS, self._lines),
                    "fact_payments": (_PAYMENT_INPUTS, self._payments)}  # fmt: skip
        for fact in mart().facts:
            if fact.reconcile == "silver":
                yield self._report(f"mart.{fact.name}", *compared[fact.name])

    def _report(
        self, name: str, inputs: Sequence[str], compare: Callable[[], LayerFindings]
    ) -> LayerReport:
        started = monotonic()
        if not self._versions:
            return LayerReport.not_compared("warehouse", name, "never published")
        unpublished = [one for one in inputs if one not in self._versions]
        if is_made(self._lake, unpublished):
            return LayerReport.not_compared("warehouse", name, "not published yet")
        found = compare()
        seconds = monotonic() - started
        return LayerReport(layer="warehouse", table=name, findings=found, seconds=seconds)

    def _silver(self, name: str) -> pl.LazyFrame:
        """Return a silver table's rows at the warehouse's version, without tombstones; cached."""
        if name not in self._frames:
            self._frames[name] = self._open(name)
        return self._frames[name]

    def _open(self, name: str) -> pl.LazyFrame:
        if name not in self._versions:
            # Nothing has landed of it, so there is no such table.
            return pl.DataFrame(schema=pl.Schema(SCHEMAS[name])).lazy()
        version = self._versions[name]
        try:
            delta = self._lake.open("silver", name, version=version)
        except GoneError:
            delta = None
        if delta is None:
            problem = (
                f"silver/{name} no longer has version {version}, which the warehouse has loaded"
            )
            raise StopPipelineError(problem, "Run ./pipeline consolidate, then reconcile again.")
        return scan(delta).filter(pl.col("_deleted_at").is_null())

    def _shards(self, silver: str, column: str) -> Iterator[Shard]:
        """Yield shards that fit into memory, by the number of rows of a silver table."""
        rows = self._silver(silver)
        count = max(1, rows.select(pl.len()).collect().item() // _SLICE_ROWS)
        limits: list[int | str] = []
        if count > 1:
            keys = rows.select(pl.col(column).unique().sort()).collect().to_series()
            limits = keys.gather_every(-(-len(keys) // count))[1:].to_list()
        for first, stop in pairwise((None, *limits, None)):
            yield Shard(column=column, first=first, stop=stop)

    def _entity(self, table: EntityTable) -> LayerFindings:
        found = LayerFindings()
        for shard in self._shards(table.silver, table.entity.key):
            rows = self._silver(table.silver).filter(shard.of_silver())
            expected = rows.select(table.columns).collect()
            stored = self._read(f"entity.{table.name}", _schema(table), shard)
            found += compare_frames(expected, stored, table.key, self._examples)
        return found

    def _lines(self) -> LayerFindings:
        names: dict[str, ColumnType] = {
            "order_line_id": KEY_TYPES["order_line_id"],
            "counts": pl.Boolean,
            **dict.fromkeys(MONEY, pl.Int64),
        }
        *by_order, products = _LINE_INPUTS
        found = LayerFindings()
        for shard in self._shards("cleaned_sale_lines", "order_id"):
            orders, lines, payments = (
                nw.from_native(self._silver(name).filter(shard.of_silver())) for name in by_order
            )
            valued = sale_lines(orders, lines, payments, nw.from_native(self._silver(products)))
            rows = collected(valued)
            found += LayerFindings(in_no_fact=self._in_no_fact(orders, rows, payments))
            expected = rows.select(pl.col(n).cast(t) for n, t in names.items())
            stored = self._read("mart.fact_transactions", names, shard)
            found += compare_frames(expected, stored, ("order_line_id",), self._examples)
        return found

    def _in_no_fact(self, orders: Frame, lines: pl.DataFrame, payments: Frame) -> InNoFact:
        """Return totals and refunds of orders that count, minus those of their lines."""
        worth = orders.filter(counts()).select("order_id", "base_total_cents")
        order = worth.join(refunds(payments, orders), on="order_id", how="left")
        held = lines.group_by("order_id").agg(pl.col("total_cents", "refund_cents").sum())
        total, refund = pl.col("base_total_cents"), pl.col("refund").fill_null(0)
        lacking = (
            collected(order)
            .join(held, on="order_id", how="left")
            .select(
                key="order_id",
                total=total - pl.col("total_cents").fill_null(0),
                refund=refund - pl.col("refund_cents").fill_null(0),
            )
            .filter((pl.col("total") != 0) | (pl.col("refund") != 0))
            .sort("total", "key", descending=[True, False])
        )
        return InNoFact(
            orders=self._examples.fault(lacking),
            total_cents=int(lacking["total"].sum()),
            refund_cents=int(lacking["refund"].sum()),
        )

    def _payments(self) -> LayerFindings:
        """Compare amounts at the rate of their order; null until the order has arrived."""
        names: dict[str, ColumnType] = {
            **{name: KEY_TYPES[name] for name in ("payment_id", "order_id")},
            **dict.fromkeys(("amount_cents", "base_amount_cents"), pl.Int64),
        }
        found = LayerFindings()
        for shard in self._shards("cleaned_payments", "order_id"):
            orders, payments = (
                nw.from_native(self._silver(name).filter(shard.of_silver()))
                for name in _PAYMENT_INPUTS
            )
            rates = orders.select("order_id", "exchange_rate_e8")
            priced = payments.join(rates, on="order_id", how="left").with_columns(
                payment_worth().alias("base_amount_cents")
            )
            rows = collected(priced)
            is_out_of_range = pl.col("exchange_rate_e8").is_not_null()
            is_out_of_range &= pl.col("base_amount_cents").is_null()
            found += LayerFindings(out_of_range=rows.select(is_out_of_range.sum()).item())
            expected = rows.select(list(names))
            stored = self._read("mart.fact_payments", names, shard)
            found += compare_frames(expected, stored, ("payment_id",), self._examples)
        return found


def _schema(table: EntityTable) -> dict[str, ColumnType]:
    of_silver = history_schema if table.is_history else silver_schema
    schema = pl.Schema(of_silver(table.entity))
    return {name: schema[name] for name in table.columns}
