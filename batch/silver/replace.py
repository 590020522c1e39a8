"""Replaces rows of a silver table by revalidated ones, where the two differ.

Rows that are already right are not written, so that layers above have nothing to follow. One
commit per table; watermarks stay. Memory holds one shard at a time, and the rows that differ; if
these are many, the table is rewritten shard by shard.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from batch.merge import replace_rows
from batch.silver.commit import partitions_with
from batch.silver.shards import Shards
from batch.silver.sizes import BatchLimits
from batch.silver.tables import Rows
from batch.table_diff import Differences, compare
from lakehouse.delta import CHECKPOINTS, scan, schema_of, with_watermarks, writer_of
from lakehouse.digest import Digest


@dataclass(frozen=True, kw_only=True)
class Target:
    """A silver table, and which of its rows are to be replaced.

    Attributes:
        delta: a handle on its newest version.
        identity: columns that identify a row.
        sharded_by: column by whose values rows are sharded.
        scope: filter of the table's rows that the new rows replace.
        is_all: whether these are all rows of the table, or of the shard.
        shard: value of `partition` to which rows are restricted; None for all.
        partition: partition column of the table.
    """

    delta: DeltaTable
    identity: tuple[str, ...]
    sharded_by: str
    scope: Rows
    is_all: bool
    shard: str | None = None
    partition: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of its rows."""
        return schema_of(self.delta)

    @property
    def predicate(self) -> str | None:
        """Return the predicate of the shard."""
        return None if self.shard is None else f"{self.partition} = '{self.shard}'"

    def rows(self) -> pl.LazyFrame:
        """Return the rows of the shard, inside and outside the scope."""
        rows = scan(self.delta)
        if self.shard is None or self.partition is None:
            return rows
        return rows.filter(pl.col(self.partition) == self.shard)


def replace_differing(
    target: Target, fresh: Callable[[int], pl.DataFrame], *, shards: int, limits: BatchLimits
) -> tuple[Differences, Digest]:
    """Bring the table to the state of `fresh` in one commit, or in none if it is already there.

    Args:
        target: the table.
        fresh: returns the rows of a shard.
        shards: number of shards.
        limits: how many differing rows to hold in memory at most.

    Returns:
        The differences, and the digest of the previous rows in the scope.

    Raises:
        DeltaError: a conflict with another commit, or the store does not answer.
    """
    found, before = Differences(), Digest()
    rows, gone, kept, size = [], [], 0, 0.0
    is_doubled = is_many = False
    with tempfile.TemporaryDirectory(prefix="replace-") as folder:
        stored = _Stored(target=target, files=Shards(folder=Path(folder), count=shards))
        for shard in range(shards):
            new, old = fresh(shard), stored.shard(shard)
            compared = compare(target.identity, new, old, found)
            before = before.plus(compared.before)
            is_doubled |= old.height != old.select(target.identity).unique().height
            for differing in (compared.differing, compared.gone):
                kept += differing.height
                size += differing.estimated_size()
            is_many = kept > limits.records or size > limits.bytes
            if not is_many:
                rows.append(compared.differing)
                gone.append(compared.gone)
    if not found.count and not is_doubled:
        return found, before
    if is_many or is_doubled:
        _overwrite_shards(target, fresh, shards)
    else:
        _merge(target, pl.concat(rows), pl.concat(gone))
    return found, before


@dataclass(kw_only=True)
class _Stored:
    """Rows of the table in the scope, sharded like the new rows."""

    target: Target
    files: Shards

    def __post_init__(self) -> None:
        self._rows = self.target.scope(self.target.rows())
        if self.files.count > 1:
            for number, batch in enumerate(self._rows.collect_batches(maintain_order=False)):
                self.files.spill(batch, "stored", self.target.sharded_by, batch=number)

    def shard(self, number: int) -> pl.DataFrame:
        if self.files.count == 1:
            return self._rows.collect()
        return self.files.read("stored", number, self._rows.collect_schema())


def _merge(target: Target, rows: pl.DataFrame, gone: pl.DataFrame) -> None:
    where = " and ".join(f"t.{name} = s.{name}" for name in target.identity)
    if target.predicate is not None:
        where = f"{where} and t.{target.predicate}"
    elif target.partition is not None:
        key = target.identity[0]
        keys = pl.concat([rows.select(key), gone.select(key)]).to_arrow()
        where = f"{where} and {partitions_with(target.delta, target.partition, key, keys)}"
    replace_rows(target.delta, rows, gone, where=where)


def _overwrite_shards(target: Target, fresh: Callable[[int], pl.DataFrame], shards: int) -> None:
    rows = target.rows()

    def batches() -> Iterator[pa.RecordBatch]:
        if not target.is_all:
            others = rows.join(target.scope(rows), on=list(target.identity), how="anti")
            for frame in others.collect_batches(maintain_order=False):
                yield from frame.to_arrow().cast(target.schema).to_batches()
        for shard in range(shards):
            yield from fresh(shard).to_arrow().cast(target.schema).to_batches()

    overwrite(target.delta, batches(), target.schema, predicate=target.predicate)


def overwrite(
    delta: DeltaTable,
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    *,
    predicate: str | None = None,
    watermarks: dict[str, int] | None = None,
) -> None:
    """Replace all rows, and the schema; or only those that meet a predicate.

    Raises:
        DeltaError: a conflict with another commit, or the store does not answer.
        Exception: an error of the generator of rows, passed on unchanged.
    """
    mistakes: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            mistakes.append(error)
            raise

    try:
        write_deltalake(
            delta,
            pa.RecordBatchReader.from_batches(schema, watched()),
            mode="overwrite",
            schema_mode=None if predicate else "overwrite",
            predicate=predicate,
            writer_properties=writer_of(schema),
            commit_properties=with_watermarks(watermarks or {}, is_alone=True),
            post_commithook_properties=CHECKPOINTS,
        )
    except Exception:
        # The writer would replace any error of the generator by its own.
        if mistakes:
            raise mistakes[0] from None
        raise
