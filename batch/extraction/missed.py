"""Finds rows that live in bronze and are not in the shop any more. Pure but for slices on disk."""

import math
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl

from batch.reconcile.records import COORDINATE, read_changes
from batch.reconcile.slices import Slices
from batch.reconcile.tables import SourceTable
from batch.reconcile.visibility import Visibility

_FACTS = ("key", "op", "is_visible", *COORDINATE)
_SLICE_BYTES, _ROW_BYTES = 128 << 20, 250


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
) -> pl.DataFrame:
    """Find keys whose last change leaves them alive, and that the snapshot does not see.

    Args:
        table: whose key alone is read.
        rows: the snapshot's rows in frames, with `key`.
        records: bronze's records in frames, caught up with the snapshot.
        visibility: what the snapshot saw.
        count: of the records, to bound memory by.

    Returns:
        `key` and coordinate of each one's last change.
    """
    slice_count = max(1, math.ceil(count * _ROW_BYTES / _SLICE_BYTES))
    with tempfile.TemporaryDirectory(prefix="extract-") as folder:
        slices = Slices(slice_count, Path(folder))
        for frame in rows:
            slices.add("shop", frame.select("key"))
        for frame in records:
            slices.add("bronze", read_changes(frame, table, visibility).select(_FACTS))
        found = [_missed(slices, number) for number in range(slices.count)]
    return pl.concat([one for one in found if one is not None] or [_NOTHING])


def _missed(slices: Slices, number: int) -> pl.DataFrame | None:
    living, changes = slices.take("shop", number), slices.take("bronze", number)
    if changes is None:
        return None
    keyed = changes.filter(pl.col("key").is_not_null())
    # What came after the snapshot decides by itself, whatever the snapshot saw.
    later = keyed.filter(~pl.col("is_visible").fill_null(value=True))
    last = keyed.sort("_epoch", "_offset").group_by("key", maintain_order=True).last()
    alive = last.filter(pl.col("op") != "d").join(later, on="key", how="anti")
    gone = alive if living is None else alive.join(living, on="key", how="anti")
    return gone.select("key", *COORDINATE)


_NOTHING = pl.DataFrame(
    schema={
        "key": pl.String,
        "_topic_id": pl.String,
        "_epoch": pl.Int32,
        "_partition": pl.Int32,
        "_offset": pl.Int64,
    }
)
