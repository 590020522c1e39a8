"""Finds deletes that bronze lacks. Pure, except for slices on disk.

If a row exists in bronze but not in the shop, its delete can still be written. If a row was
inserted again while bronze had it, as after a TRUNCATE that was not captured, it is too late for
that: only the place where such rows ended is recorded.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from batch.reconcile.history import Examples, drop_repeats, in_wal_order
from batch.reconcile.losses import ResolvedLoss, goes_on_behind, offset_before
from batch.reconcile.records import COORDINATE, read_changes
from batch.reconcile.slices import Slices
from batch.reconcile.tables import SourceTable
from batch.reconcile.visibility import Visibility

_FACTS = ("key", "op", "lsn", "tx_id", "is_visible", "is_synthetic", *COORDINATE)
_PARTITION = ("_topic_id", "_epoch", "_partition")
_SLICE_BYTES, _ROW_BYTES = 128 << 20, 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Rows ended without deletes before offset `first` of a partition; bronze extends to `last`."""

    topic_id: str
    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Changes that bronze lacks.

    Attributes:
        gone: `key` and coordinate of the last change of each key that exists in bronze, but not in
            the snapshot of the shop.
        living: number of keys of the table that exist in bronze, including `gone`.
        untold: places before which rows ended that were inserted again.
    """

    gone: pl.DataFrame
    living: int
    untold: tuple[Untold, ...] = ()


def keys_only(table: SourceTable) -> SourceTable:
    """Return the same table with its key columns only."""
    return replace(table, columns=table.key, is_versioned=False)


def is_checkable(table: SourceTable) -> bool:
    """Return whether rows can be looked up in the shop by the keys that changes have."""
    return bool(table.key) and all(column.kind.value is not None for column in table.key)


def find_missed(
    table: SourceTable,
    rows: Iterable[pl.DataFrame],
    records: Iterable[pl.DataFrame],
    visibility: Visibility,
    *,
    count: int,
    losses: tuple[ResolvedLoss, ...] = (),
) -> Missed:
    """Find keys whose last change is not a delete, and that are not in the snapshot.

    Also find places after which existing keys were inserted again.

    Args:
        table: the table; only its key is read.
        rows: the snapshot's rows in frames, with `key`.
        records: bronze's records in frames, at least up to the snapshot.
        visibility: the transactions that the snapshot sees.
        count: number of records, which determines the number of slices.
        losses: the table's recorded losses, resolved or not.
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
    """Result for one slice: `again` are inserts of existing keys, `ends` each partition's end."""

    gone: pl.DataFrame
    living: int
    again: pl.DataFrame
    ends: pl.DataFrame


def _missed(slices: Slices, number: int, losses: tuple[ResolvedLoss, ...]) -> _Part | None:
    living, changes = slices.take("shop", number), slices.take("bronze", number)
    if changes is None:
        return None
    keyed = changes.filter(pl.col("key").is_not_null())
    # Changes after the snapshot decide, whatever the snapshot contains.
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
    """Return inserts of keys that existed, and the previous offset, without recorded losses."""
    once, _ = drop_repeats(changes, Examples(limit=0))
    before = pl.col("op").shift(1)
    is_again = (
        (pl.col("op") == "c") & (before != "d") & (pl.col("key") == pl.col("key").shift(1))
    ).fill_null(value=False)
    placed = in_wal_order(once).with_columns(goes_on_behind(losses), before=offset_before())
    return placed.filter(is_again & ~pl.col("goes_on")).select(*_PARTITION, "before", "_offset")


def _untold(again: pl.DataFrame, ends: pl.DataFrame) -> Iterator[Untold]:
    """Yield the fewest places that separate each insert from the key's previous change."""
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
