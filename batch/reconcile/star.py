"""The star must be silver at the versions it was made from: rows, and every cent of every line.

What a line's amounts should be is computed by gold's code, which shares nothing with the SQL that
filled the star.
"""

from collections.abc import Iterator
from time import monotonic

import narwhals as nw
import polars as pl
import psycopg
from psycopg import sql

from batch.gold.transforms.sale_lines import sale_lines
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerFindings, LayerReport, compare_frames
from batch.reconcile.warehouse_rows import ColumnType, read_rows
from batch.warehouse.entities import TABLES, EntityTable
from lakehouse.contracts.gold import MONEY
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.delta import scan
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.lake import Lake

_SLICE_ROWS = 400_000


def compare_star(lake: Lake, dsn: str, examples: Examples) -> Iterator[LayerReport]:
    """Compare `entity`, `mart.fact_transactions` and `mart.fact_stocks` with silver.

    Nothing is yielded as long as nothing was published.

    Raises:
        StopPipelineError: silver no longer has the version that the star was made from.
        RetryLaterError: warehouse or object store do not answer.
    """
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute("set transaction isolation level repeatable read read only")
            yield from _Star(lake, connection, examples).compare()
    except psycopg.OperationalError as error:
        message = f"The warehouse does not answer: {error}. Try ./pipeline status"
        raise RetryLaterError(message) from error


def published_versions(connection: psycopg.Connection) -> dict[str, int]:
    """The versions of the silver tables that the star was made from; empty before a first load."""
    exists = connection.execute("select to_regclass('etl.silver_version')").fetchone()
    if exists is None or exists[0] is None:
        return {}
    rows = connection.execute("select silver_table, version from etl.silver_version").fetchall()
    return {str(name): int(version) for name, version in rows}


class _Star:
    def __init__(self, lake: Lake, connection: psycopg.Connection, examples: Examples) -> None:
        self._lake = lake
        self._connection = connection
        self._examples = examples
        self._versions = published_versions(connection)

    def compare(self) -> Iterator[LayerReport]:
        for table in TABLES:
            if table.silver in self._versions:
                started = monotonic()
                found = self._entity(table)
                yield _report(f"entity.{table.name}", found, started)
        if {"cleaned_sales", "cleaned_sale_lines"} <= set(self._versions):
            started = monotonic()
            yield _report("mart.fact_transactions", self._lines(), started)
        if "cleaned_stock_movements" in self._versions:
            started = monotonic()
            yield _report("mart.fact_stocks", self._stocks(), started)

    def silver(self, name: str) -> pl.LazyFrame:
        """The rows of a silver table that are there, at the star's version."""
        version = self._versions.get(name)
        delta = None if version is None else self._lake.open("silver", name, version=version)
        if delta is None:
            message = (
                f"silver/{name} no longer has version {version}, of which the star was made. "
                "Run ./pipeline consolidate, then reconcile again."
            )
            raise StopPipelineError(message)
        return scan(delta).filter(pl.col("_deleted_at").is_null())

    def _entity(self, table: EntityTable) -> LayerFindings:
        source = self.silver(table.silver).select(table.columns)
        rows = source.select(pl.len()).collect().item()
        count = max(1, rows // _SLICE_ROWS)
        found = LayerFindings()
        key = table.entity.key
        for number in range(count):
            expected = source.filter(pl.col(key) % count == number).collect()
            of_slice = sql.SQL("mod({key}, {n}) = {number}").format(
                key=sql.Identifier(key), n=sql.Literal(count), number=sql.Literal(number)
            )
            stored = read_rows(
                self._connection, sql.Identifier("entity", table.name), _schema(table), of_slice
            )
            found += compare_frames(expected, stored, table.key, self._examples)
        return found

    def _lines(self) -> LayerFindings:
        inputs = ("cleaned_sales", "cleaned_sale_lines", "cleaned_payments", "products_history")
        frames = [nw.from_native(self.silver(name)) for name in inputs]
        lines = sale_lines(*frames).collect().to_native()
        names = {"order_line_id": pl.Int64, "counts": pl.Boolean, **dict.fromkeys(MONEY, pl.Int64)}
        expected = pl.DataFrame(lines).select(pl.col(n).cast(t) for n, t in names.items())
        has_order = sql.SQL("placed_at is not null")
        stored = read_rows(
            self._connection, sql.Identifier("mart", "fact_transactions"), names, has_order
        )
        return compare_frames(expected, stored, ("order_line_id",), self._examples)

    def _stocks(self) -> LayerFindings:
        keys = ["product_id", "warehouse_code", "date_key"]
        daily = (
            self.silver("cleaned_stock_movements")
            .group_by("product_id", "warehouse_code", date_key="occurred_date")
            .agg(pl.col("quantity").sum())
            .sort(keys)
        )
        expected = daily.select(
            *keys,
            closing_units=pl.col("quantity").cum_sum().over("product_id", "warehouse_code"),
        ).collect()
        stored = read_rows(
            self._connection, sql.Identifier("mart", "fact_stocks"), dict(expected.schema), None
        )
        return compare_frames(expected, stored, keys, self._examples)


def _report(name: str, found: LayerFindings, started: float) -> LayerReport:
    return LayerReport(layer="warehouse", table=name, findings=found, seconds=monotonic() - started)


def _schema(table: EntityTable) -> dict[str, ColumnType]:
    of_silver = history_schema if table.is_history else silver_schema
    schema = pl.Schema(of_silver(table.entity))
    return {name: schema[name] for name in table.columns}
