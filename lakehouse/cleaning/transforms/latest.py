"""From valid changes to what is true now, and to what was true when."""

from collections.abc import Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Entity

ORDER = ("_epoch", "_offset")
"""Of the changes of a key: all of them are in one partition."""


def latest(changes: Frame, key: str) -> Frame:
    """The last change of each key. Grain: one row per key."""
    for part in ORDER:
        changes = changes.filter(nw.col(part) == nw.col(part).max().over(key))
    return changes.unique(subset=[key], keep="any")


def empty_deleted(changes: Frame, entity: Entity) -> Frame:
    """Let deletes keep nothing but key and coordinate, and say when the row went."""
    is_delete = nw.col("operation") == "d"
    emptied = [
        nw.when(~is_delete).then(nw.col(name)).alias(name)
        for name in (*entity.names, "_extra")
        if name != entity.key
    ]
    went = nw.when(is_delete).then(nw.col("_committed_at")).alias("_deleted_at")
    return changes.with_columns(*emptied, went)


def versions(changes: Frame, known: Frame, entity: Entity, columns: Sequence[str]) -> Frame:
    """All versions of the keys that changed, each with the time in which it was valid.

    A version begins at the source's own instant (of a delete: its commit), but never before the
    one that it follows; it lasts until the next begins.

    Args:
        changes: valid changes, emptied where they delete.
        known: the history of their keys so far.
        entity: the contract.
        columns: of a history row.

    Returns:
        `columns`. Grain: one row per valid change, deletes included.
    """
    stated = [name for name in columns if name not in ("valid_from_at", "valid_to_at")]
    both = nw.concat([known.select(*stated), changes.select(*stated)])
    once = both.unique(subset=[entity.key, *ORDER], keep="any").with_columns(
        nw.coalesce(nw.col("_deleted_at"), nw.col(entity.as_of)).alias("valid_from_at")
    )
    from_at = nw.col("valid_from_at")
    begun = once.with_columns(from_at.cum_max().over(entity.key, order_by=ORDER))
    return begun.with_columns(
        from_at.shift(-1).over(entity.key, order_by=ORDER).alias("valid_to_at")
    ).select(*columns)
