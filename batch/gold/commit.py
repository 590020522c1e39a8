"""Commits to gold's tables: rows and the versions of silver they were made from land together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from batch.merge import replace_rows
from lakehouse.contracts.gold import DAY, MONTH, GoldTable, month_of
from lakehouse.contracts.schemas import gold_schema
from lakehouse.delta import NO_HOOKS, WRITER, with_watermarks


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Rows that take the place of others.

    Attributes:
        rows: in batches, so that memory holds one at a time.
        units: how many days, customers or other units they are all rows of.
        days: replace the rows of these days.
        keys: replace the rows of these keys, of a table with one key column. With neither, replace
            all rows.
        is_full: whether all was read anew.
        rows_read: how many rows of silver were read; to be asked when all batches are taken.
    """

    rows: Iterable[pl.DataFrame]
    units: int
    days: frozenset[date] | None = None
    keys: pl.Series | None = None
    is_full: bool = False
    rows_read: Callable[[], int]


def commit(
    delta: DeltaTable, table: GoldTable, new: Replacement, watermarks: Mapping[str, int]
) -> int:
    """Replace rows in one commit that carries the watermarks.

    Returns:
        How many rows were written.

    Raises:
        Exception: whatever the store raises; the commit may have landed all the same.
    """
    if new.units == 0 and not new.is_full:
        _write(delta, iter(()), table, watermarks, mode="append")
        return 0
    counted = _Counted(table=table)
    if new.keys is not None:
        _merge(delta, table, counted.cast(new.rows), new.keys, watermarks)
    else:
        predicate = None if new.days is None else _on(new.days)
        batches = counted.batches(new.rows)
        _write(delta, batches, table, watermarks, mode="overwrite", predicate=predicate)
    return counted.rows


@dataclass(slots=True, kw_only=True)
class _Counted:
    """Brings batches into the table's schema, and counts."""

    table: GoldTable
    rows: int = 0

    def batches(self, batches: Iterable[pl.DataFrame]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from self._arrow(batch).to_batches()

    def cast(self, batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
        batches = list(self.batches(batches))
        return pl.DataFrame(pa.Table.from_batches(batches, schema=gold_schema(self.table)))

    def _arrow(self, batch: pl.DataFrame) -> pa.Table:
        self.rows += batch.height
        return batch.select(self.table.names).to_arrow().cast(gold_schema(self.table))


def _write(
    delta: DeltaTable,
    batches: Iterator[pa.RecordBatch],
    table: GoldTable,
    watermarks: Mapping[str, int],
    *,
    mode: str,
    predicate: str | None = None,
) -> None:
    write_deltalake(
        delta,
        pa.RecordBatchReader.from_batches(gold_schema(table), batches),
        mode=mode,  # type: ignore[call-overload]
        predicate=predicate,
        writer_properties=WRITER,
        commit_properties=with_watermarks(watermarks, is_alone=mode == "overwrite"),
        post_commithook_properties=NO_HOOKS,
    )


def _on(days: Iterable[date]) -> str:
    """A predicate for days, by which other months are not read and files of others not replaced."""
    listed = ", ".join(f"'{day}'" for day in sorted(days))
    months = ", ".join(f"'{month}'" for month in sorted({month_of(day) for day in days}))
    return f"{MONTH} in ({months}) and {DAY} in ({listed})"


def _merge(
    delta: DeltaTable,
    table: GoldTable,
    rows: pl.DataFrame,
    keys: pl.Series,
    watermarks: Mapping[str, int],
) -> None:
    (key,) = table.key
    gone = pl.DataFrame({key: keys}).join(rows, on=key, how="anti")
    before = delta.version()
    same, properties = f"t.{key} = s.{key}", with_watermarks(watermarks)
    replace_rows(delta, rows, gone, where=same, properties=properties)
    # A merge that changes nothing commits nothing, its watermarks included.
    if delta.version() == before:
        _write(delta, iter(()), table, watermarks, mode="append")
