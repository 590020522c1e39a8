"""Replaces rows of a silver table by revalidated ones, where the two differ.

Rows that are already right are not written, so that layers above have nothing to follow. One
commit per table; watermarks stay. Memory holds one shard at a time, and the rows that differ; if
these are many, the table is rewritten shard by shard.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from batch.merge import replace_rows
from batch.processes import ALONE, Processes
from batch.silver.commit import partitions_with
from batch.silver.offsets import OffsetRanges, is_within
from batch.silver.shards import Shards
from batch.silver.sizes import BatchLimits
from batch.table_diff import Differences, compare
from lakehouse.contracts.schemas import COORDINATE
from lakehouse.delta import CHECKPOINTS, scan, schema_of, with_watermarks, writer_of
from lakehouse.digest import Digest

_STORED = "stored"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A filter for the rows of some keys, and all rows of some ranges. It can be pickled.

    Records without a key belong to no selected key, so rows that they wrote stay.

    Attributes:
        column: with the keys.
        keys: None for all rows.
        keyless: coordinates of records without a key.
    """

    column: str
    keys: pl.Series | None
    keyless: pl.DataFrame
    ranges: OffsetRanges

    def __call__(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Filter rows of a table."""
        if self.keys is None:
            return rows
        is_chosen = pl.col(self.column).is_in(self.keys.implode()) | is_within(self.ranges)
        return rows.filter(is_chosen).join(self.keyless.lazy(), on=COORDINATE, how="anti")


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
    scope: Scope
    is_all: bool
    shard: str | None = None
    partition: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of its rows."""
        return schema_of(self.delta)

    @property
    def only(self) -> tuple[str, str] | None:
        """Return the partition to which rows are restricted."""
        return (self.partition, self.shard) if self.partition and self.shard else None

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


@dataclass(frozen=True, kw_only=True)
class ShardDiff:
    """How the rows of a shard, or of several, differ from those of the table in the scope.

    Attributes:
        found: numbers and examples.
        before: digest of the table's rows.
        rows: new rows that differ.
        gone: keys of the table's rows that no longer exist.
        is_rewritten: rather than merged, and without these two: more differ than memory may hold,
            or a key has several rows.
    """

    found: Differences
    before: Digest
    rows: pl.DataFrame
    gone: pl.DataFrame
    is_rewritten: bool

    @classmethod
    def of(
        cls, identity: Sequence[str], new: pl.DataFrame, old: pl.DataFrame, limits: BatchLimits
    ) -> "ShardDiff":
        """Compare the new rows of a shard with those of the table."""
        found = Differences()
        compared = compare(identity, new, old, found)
        is_doubled = old.height != old.select(identity).unique().height
        diff = cls(
            found=found, before=compared.before, rows=compared.differing, gone=compared.gone,
            is_rewritten=is_doubled,
        )  # fmt: skip
        return diff.within(limits)

    def plus(self, other: "ShardDiff", limits: BatchLimits) -> "ShardDiff":
        """Return the differences of both."""
        both = ShardDiff(
            found=self.found.plus(other.found),
            before=self.before.plus(other.before),
            rows=pl.concat([self.rows, other.rows]),
            gone=pl.concat([self.gone, other.gone]),
            is_rewritten=self.is_rewritten or other.is_rewritten,
        )
        return both.within(limits)

    def within(self, limits: BatchLimits) -> "ShardDiff":
        """Return the same without its rows, if the table is rewritten."""
        size = self.rows.estimated_size() + self.gone.estimated_size()
        is_many = self.rows.height + self.gone.height > limits.records or size > limits.bytes
        if not (is_many or self.is_rewritten):
            return self
        rows, gone = self.rows.clear(), self.gone.clear()
        return replace(self, rows=rows, gone=gone, is_rewritten=True)

    def merge_into(self, target: Target) -> None:
        """Bring the table to the state of the new rows in one commit, or none if it is there.

        Raises:
            DeltaError: a conflict with another commit, or the store does not answer.
        """
        if self.found.count:
            _merge(target, self.rows, self.gone)


def replace_differing(
    target: Target,
    fresh: Callable[[int], pl.DataFrame],
    *,
    shards: int,
    limits: BatchLimits,
    processes: Processes = ALONE,
) -> ShardDiff:
    """Bring the table to the state of `fresh` in one commit, or in none if it is already there.

    Args:
        target: the table.
        fresh: returns the rows of a shard. It can be pickled.
        shards: number of shards.
        limits: how many differing rows to hold in memory at most.
        processes: compare shards.

    Raises:
        DeltaError: a conflict with another commit, or the store does not answer.
    """
    rows = target.scope(target.rows())
    with tempfile.TemporaryDirectory(prefix="replace-") as folder:
        if shards == 1:
            diff = ShardDiff.of(target.identity, fresh(0), rows.collect(), limits)
        else:
            files = Shards(folder=Path(folder), count=shards)
            for number, batch in enumerate(rows.collect_batches(maintain_order=False)):
                files.spill(batch, _STORED, target.sharded_by, batch=number)
            stored = partial(files.read, _STORED, schema=rows.collect_schema())
            compared = partial(_compared, target.identity, fresh, stored, limits)
            diffs = processes.map(compared, range(shards))
            diff = reduce(lambda one, other: one.plus(other, limits), diffs)
    if diff.is_rewritten:
        _overwrite_shards(target, fresh, shards)
    else:
        diff.merge_into(target)
    return diff


def _compared(
    identity: Sequence[str],
    fresh: Callable[[int], pl.DataFrame],
    stored: Callable[[int], pl.DataFrame],
    limits: BatchLimits,
    shard: int,
) -> ShardDiff:
    return ShardDiff.of(identity, fresh(shard), stored(shard), limits)


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
            others = outside(target.scope, target.identity, rows)
            for frame in others.collect_batches(maintain_order=False):
                yield from frame.to_arrow().cast(target.schema).to_batches()
        for shard in range(shards):
            yield from fresh(shard).to_arrow().cast(target.schema).to_batches()

    overwrite(target.delta, batches(), target.schema, predicate=target.predicate)


def outside(scope: Scope, identity: Sequence[str], rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of a table that are not in the scope."""
    return rows.join(scope(rows), on=list(identity), how="anti")


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
