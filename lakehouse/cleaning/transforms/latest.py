"""From valid changes to current rows, and to the versions of rows over time."""

from collections.abc import Sequence

import narwhals as nw

from lakehouse.cleaning.transforms import Frame
from lakehouse.contracts import Entity

ORDER = ("_epoch", "_offset")
"""Order of the changes of a key: all of them are in one partition."""


def latest(changes: Frame, key: str) -> Frame:
    """Keep the last change of each key. Grain: one row per key."""
    for part in ORDER:
        changes = changes.filter(nw.col(part) == nw.col(part).max().over(key))
    return changes.unique(subset=[key], keep="any")


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


def versions(changes: Frame, known: Frame, entity: Entity, columns: Sequence[str]) -> Frame:
    """Return all versions of the changed keys, each with its validity period.

    A version begins at the source's own timestamp (a delete: at its commit), but never before the
    version it follows; it ends where the next one begins.

    Args:
        changes: valid changes; deletes are already emptied.
        known: the existing history of their keys.
        entity: the contract.
        columns: the columns of a history row.

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
