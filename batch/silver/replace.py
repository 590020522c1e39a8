"""Puts what was validated again in the place of what a table of silver says, where the two differ.

Rows that are right already are not written, so nothing above has to follow them. One commit per
table; watermarks stay. Memory holds one shard at a time, and the rows that differ; if these are
many, the table is written anew, shard by shard.
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
from batch.silver.tables import Rows
from batch.table_diff import Differences, compare
from lakehouse.delta import NO_HOOKS, WRITER, scan, with_watermarks
from lakehouse.digest import Digest


@dataclass(frozen=True, kw_only=True)
class Target:
    """A table of silver, and which of its rows are to be replaced.

    Attributes:
        delta: a handle on its newest version.
        identity: columns that identify a row.
        sharded_by: the column by whose values rows are sharded into shards.
        scope: narrows the table's rows to those that the new ones are all there are of.
        is_all: whether these are all rows of the table, or of the shard.
        shard: the value of `partition` of the rows that are meant; None for all.
        partition: the column that splits the table.
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
        """Of its rows."""
        return pa.schema(self.delta.schema().to_arrow())

    @property
    def predicate(self) -> str | None:
        """Of the shard."""
        return None if self.shard is None else f"{self.partition} = '{self.shard}'"

    def rows(self) -> pl.LazyFrame:
        """Of the shard; all that the table has, in or out of the scope."""
        rows = scan(self.delta)
        if self.shard is None or self.partition is None:
            return rows
        return rows.filter(pl.col(self.partition) == self.shard)


def replace_differing(
    target: Target, fresh: Callable[[int], pl.DataFrame], *, shards: int, most_rows: int
) -> tuple[Differences, Digest]:
    """Bring the table to what `fresh` says, in one commit, or in none where it says so already.

    Args:
        target: the table.
        fresh: makes the rows of a shard.
        shards: how many there are.
        most_rows: of those that differ, to be held in memory.

    Returns:
        What differed, and the digest of the rows that there were in the scope.

    Raises:
        DeltaError: somebody else commits, or the store does not answer.
    """
    found, before = Differences(), Digest()
    rows, gone, kept = [], [], 0
    is_doubled = False
    with tempfile.TemporaryDirectory(prefix="replace-") as folder:
        stored = _Stored(target=target, files=Shards(folder=Path(folder), count=shards))
        for shard in range(shards):
            new, old = fresh(shard), stored.shard(shard)
            compared = compare(target.identity, new, old, found)
            before = before.plus(compared.before)
            is_doubled |= old.height != old.select(target.identity).unique().height
            kept += compared.differing.height + compared.gone.height
            if kept <= most_rows:
                rows.append(compared.differing)
                gone.append(compared.gone)
    if not found.count and not is_doubled:
        return found, before
    if kept > most_rows or is_doubled:
        _overwrite_shards(target, fresh, shards)
    else:
        _merge(target, pl.concat(rows), pl.concat(gone))
    return found, before


@dataclass(kw_only=True)
class _Stored:
    """What the table has in the scope, sharded like the new rows."""

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
    """Put rows in the place of all that there are, or of those of a predicate.

    Raises:
        DeltaError: somebody else commits, or the store does not answer.
        Exception: what making the rows raised, as it was.
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
            predicate=predicate,
            writer_properties=WRITER,
            commit_properties=with_watermarks(watermarks or {}, is_alone=True),
            post_commithook_properties=NO_HOOKS,
        )
    except Exception:
        # The writer makes an error of its own of whatever comes up in between.
        if mistakes:
            raise mistakes[0] from None
        raise
