"""From valid changes to current rows, and to the versions of rows over time."""

from collections.abc import Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Entity

ORDER = ("_epoch", "_offset")
"""Order of the changes of a key: all of them are in one partition."""


def latest(changes: Frame, key: str) -> Frame:
    """Keep the last change of each key. Grain: one row per key."""
    # Not `unique`: it would gather every column of the table.
    return changes.filter(nw.col(key).is_last_distinct().over(order_by=ORDER))


def empty_deleted(changes: Frame, entity: Entity) -> Frame:
    """Set all columns but key and coordinate of deletes to null, and set the time of deletion."""
    is_delete = nw.col("_operation") == "d"
    emptied = [
        nw.when(~is_delete).then(nw.col(name)).alias(name)
        for name in (*entity.names, "_extra")
        if name not in entity.key_names
    ]
    went = nw.when(is_delete).then(nw.col("_committed_at")).alias("_deleted_at")
    return changes.with_columns(*emptied, went)


def versions(changes: Frame, entity: Entity, columns: Sequence[str]) -> Frame:
    """Return the versions of rows whose changes are all given, each with its validity period.

    Args:
        changes: all valid changes of their keys; deletes are already emptied.
        entity: the contract.
        columns: the columns of a history row.

    Returns:
        `columns`. Grain: one row per valid change, deletes included.
    """
    of_row = (entity.key, *ORDER)
    once = changes.filter(nw.struct(*of_row).is_first_distinct().over(order_by=of_row))
    return once.join(validity(once, entity), on=list(of_row), how="inner").select(*columns)


def validity(changes: Frame, entity: Entity) -> Frame:
    """Return the validity period of each version.

    A version begins at the source's own timestamp (a delete: at its commit), but never before the
    version it follows; it ends where the next one begins.

    Args:
        changes: all valid changes of some keys, each once: the key, its coordinate, and what tells
            when it began.
        entity: the contract.

    Returns:
        Key, epoch, offset, `valid_from_at`, `valid_to_at`.
    """
    of_row = (entity.key, *ORDER)
    began_at = nw.coalesce(nw.col("_deleted_at"), nw.col(entity.as_of)).alias("valid_from_at")
    # Only what validity depends on: sorting moves all columns of a frame.
    return _in_turn(changes.select(*of_row, began_at), of_row)


def _in_turn(begun: Frame, of_row: Sequence[str]) -> Frame:
    """Let no version begin before the one it follows, and add where the next one begins."""
    key, from_at = of_row[0], nw.col("valid_from_at")
    # Windows without groups: a window for each key takes ten times as long.
    is_last = nw.col(key) != nw.col(key).shift(-1).over(order_by=of_row)
    next_at = nw.when(~is_last).then(from_at.shift(-1).over(order_by=of_row)).alias("valid_to_at")
    ended = begun.with_columns(next_at)
    is_in_turn = (from_at <= nw.coalesce(nw.col("valid_to_at"), from_at)).fill_null(value=False)
    keys = ended.filter(~is_in_turn).select(key).unique(subset=[key])
    others = begun.join(keys, on=key, how="semi")
    moved = others.with_columns(from_at.cum_max().over(key, order_by=ORDER)).with_columns(next_at)
    return nw.concat([ended.join(keys, on=key, how="anti"), moved])
