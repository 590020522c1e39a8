"""Finds deletes that bronze lacks. Pure but for slices on disk.

Of a row that lives in bronze and not in the shop, a delete can still be told. Where one was
inserted again over a row that lived, as after a TRUNCATE that was not captured, it cannot: all that
is left is to say where such rows ended.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from batch.reconcile.history import Examples, drop_repeats
from batch.reconcile.losses import ResolvedLoss, goes_on_behind, offset_before
from batch.reconcile.records import COORDINATE, read_changes
from batch.reconcile.slices import Slices
from batch.reconcile.tables import SourceTable
from batch.reconcile.visibility import Visibility

_FACTS = ("key", "op", "lsn", "tx_id", "is_visible", *COORDINATE)
_PARTITION = ("_topic_id", "_epoch", "_partition")
_SLICE_BYTES, _ROW_BYTES = 128 << 20, 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Up to offset `first` of a partition rows ended that no delete tells of; bronze has `last`."""

    topic_id: str
    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What bronze lacks.

    Attributes:
        gone: `key` and coordinate of the last change of each key that lives in bronze, and that
            the snapshot of the shop does not see.
        living: how many keys of the table live in bronze, these included.
        untold: where rows ended that were inserted again.
    """

    gone: pl.DataFrame
    living: int
    untold: tuple[Untold, ...] = ()


def keys_only(table: SourceTable) -> SourceTable:
    """The same table, of which nothing but the key is read."""
    return replace(table, columns=table.key, is_versioned=False)


def is_checkable(table: SourceTable) -> bool:
    """Whether the shop can be asked for its keys in the very words of a change."""
    return bool(table.key) and all(column.kind.sql == "{c}" for column in table.key)


def find_missed(
    table: SourceTable,
    rows: Iterable[pl.DataFrame],
    records: Iterable[pl.DataFrame],
    visibility: Visibility,
    *,
    count: int,
    losses: tuple[ResolvedLoss, ...] = (),
) -> Missed:
    """Find keys whose last change leaves them alive, and that the snapshot does not see.

    And places behind which keys were inserted that were alive already.

    Args:
        table: whose key alone is read.
        rows: the snapshot's rows in frames, with `key`.
        records: bronze's records in frames, caught up with the snapshot.
        visibility: what the snapshot saw.
        count: of the records, to bound memory by.
        losses: of the table that are on record, mended or not.
    """
    slice_count = max(1, math.ceil(count * _ROW_BYTES / _SLICE_BYTES))
    with tempfile.TemporaryDirectory(prefix="extract-") as folder:
        slices = Slices(slice_count, Path(folder))
        for frame in rows:
            slices.add("shop", frame.select("key"))
        for frame in records:
            slices.add("bronze", read_changes(frame, table, visibility).select(_FACTS))
        found = [_missed(slices, number, losses) for number in range(slices.count)]
    parts = [one for one in found if one is not None]
    again = pl.concat([one.again for one in parts] or [_NOTHING_AGAIN])
    ends = pl.concat([one.ends for one in parts] or [_NOTHING_LAST])
    return Missed(
        gone=pl.concat([one.gone for one in parts] or [_NOTHING]),
        living=sum(one.living for one in parts),
        untold=tuple(_untold(again, ends)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Of one slice of the keys: `again` are inserts of living keys, `ends` each partition's end."""

    gone: pl.DataFrame
    living: int
    again: pl.DataFrame
    ends: pl.DataFrame


def _missed(slices: Slices, number: int, losses: tuple[ResolvedLoss, ...]) -> _Part | None:
    living, changes = slices.take("shop", number), slices.take("bronze", number)
    if changes is None:
        return None
    keyed = changes.filter(pl.col("key").is_not_null())
    # What came after the snapshot decides by itself, whatever the snapshot saw.
    later = keyed.filter(~pl.col("is_visible").fill_null(value=True))
    last = keyed.sort("_epoch", "_offset").group_by("key", maintain_order=True).last()
    lasting = last.filter(pl.col("op") != "d")
    alive = lasting.join(later, on="key", how="anti")
    gone = alive if living is None else alive.join(living, on="key", how="anti")
    return _Part(
        gone=gone.select("key", *COORDINATE),
        living=lasting.height,
        again=_inserted_again(changes, losses),
        ends=changes.group_by(_PARTITION).agg(last=pl.col("_offset").max()),
    )


def _inserted_again(changes: pl.DataFrame, losses: tuple[ResolvedLoss, ...]) -> pl.DataFrame:
    """Inserts of keys that were alive, and the offset before. What is on record is left out."""
    once, _ = drop_repeats(changes, Examples(limit=0))
    before = pl.col("op").shift(1)
    is_again = (
        (pl.col("op") == "c") & (before != "d") & (pl.col("key") == pl.col("key").shift(1))
    ).fill_null(value=False)
    placed = once.with_columns(goes_on_behind(losses), before=offset_before())
    return placed.filter(is_again & ~pl.col("goes_on")).select(*_PARTITION, "before", "_offset")


def _untold(again: pl.DataFrame, ends: pl.DataFrame) -> Iterator[Untold]:
    """The fewest places such that each of these inserts has one between it and what was before."""
    last_of = {
        tuple(coordinate): last for *coordinate, last in ends.group_by(_PARTITION).max().iter_rows()
    }
    for coordinate, inserts in again.sort("_offset").group_by(_PARTITION, maintain_order=True):
        left = inserts
        while not left.is_empty():
            first = left["_offset"][0]
            yield Untold(
                topic_id=str(coordinate[0]),
                partition=int(str(coordinate[2])),
                first=first,
                last=last_of[coordinate],
            )
            left = left.filter(pl.col("before") >= first)


# Schemas, and no expressions: those would start the threads of Polars in whoever imports this.
_OF_PARTITION = {"_topic_id": pl.String, "_epoch": pl.Int32, "_partition": pl.Int32}
_NOTHING = pl.DataFrame(schema={"key": pl.String, **_OF_PARTITION, "_offset": pl.Int64})
_NOTHING_AGAIN = pl.DataFrame(schema={**_OF_PARTITION, "before": pl.Int64, "_offset": pl.Int64})
_NOTHING_LAST = pl.DataFrame(schema={**_OF_PARTITION, "last": pl.Int64})
