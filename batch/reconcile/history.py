"""Rows that bronze's changes result in, and changes that must be missing. Pure.

A key's changes are in one partition, so (epoch, offset) is their order, unless the table's primary
key was changed (`in_wal_order`). They form *lives*: a life begins with an insert (or with a
snapshot that found the row) and ends with a delete. The shop's trigger numbers the changes of a
life 1, 2, 3 …; a delete's old row and the shop's current row have the last number. After a recorded
and resolved loss, a new life begins, whatever its first change is (`goes_on`).
"""

from dataclasses import dataclass

import polars as pl

from batch.reconcile.findings import Fault
from batch.reconcile.records import COORDINATE

Frame = pl.DataFrame
_IS_DELETE = pl.col("op") == "d"
_ORDER = ("_epoch", "_offset", "_partition")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Number of keys to report for each kind of fault."""

    limit: int = 10
    """Enough to see what they have in common, on a screen."""

    def fault(self, faulty: Frame, *, count: pl.Expr | None = None, label: str = "key") -> Fault:
        """Create a fault for each row of `faulty`, or as many as `count` adds up to."""
        number = faulty.height if count is None else faulty.select(count.sum()).item()
        named = faulty[label].head(self.limit).cast(pl.String).fill_null("(no key)")
        return Fault(count=int(number or 0), examples=tuple(named))


def drop_repeats(changes: Frame, examples: Examples) -> tuple[Frame, Fault]:
    """Keep one record of each coordinate, then of each source change; the others are duplicates.

    A snapshot that reads a row again is not a duplicate. Rows without a key are indistinguishable:
    for these only the coordinate counts.

    Returns:
        The records kept, by key and in order, and the duplicates.
    """
    ordered = in_offset_order(changes)
    is_repeat = ~pl.struct(COORDINATE).is_first_distinct()
    kept = ordered.filter(~is_repeat)
    is_again = (
        ~pl.struct("lsn", "tx_id", "key", "op").is_first_distinct()
        & (pl.col("op") != "r")
        & pl.col("key").is_not_null()
    )
    repeated = pl.concat([ordered.filter(is_repeat), kept.filter(is_again)])
    return kept.filter(~is_again), examples.fault(repeated)


def as_of_snapshot(changes: Frame) -> Frame:
    """Filter the changes that the snapshot sees, of changes by key and in order.

    A row read by Debezium's snapshot (`r`) includes all earlier changes, so it is visible unless
    an earlier change is not.
    """
    if changes["is_visible"].null_count() == 0:
        return changes.filter("is_visible")
    unseen_before = (~pl.col("is_visible")).fill_null(value=False).cum_max().over("key")
    return changes.filter(pl.col("is_visible").fill_null(~unseen_before))


def in_wal_order(changes: Frame) -> Frame:
    """Sort the changes of keys that are spread over partitions by their positions in the WAL.

    Kafka's partitions follow the key's columns, so offsets do not tell the order of what was
    written before and after these changed. A row is locked until the commit, so the WAL has its
    changes in order.

    Args:
        changes: by key and in order of offsets; the same frame is returned if no key is spread.
    """
    place, partition = pl.struct("key", "_epoch"), pl.col("_partition")
    is_spread = (place == place.shift(1)) & (partition != partition.shift(1))
    spread = changes.filter(is_spread & pl.col("key").is_not_null())["key"].unique()
    if spread.is_empty():
        return changes
    wal = pl.when(pl.col("key").is_in(spread.implode())).then("lsn")
    return changes.sort("key", "_epoch", wal, "_offset", maintain_order=True)


def in_offset_order(changes: Frame) -> Frame:
    """Sort by key and offset, the order that all layers go by."""
    return changes.sort("key", *_ORDER, maintain_order=True)


def drop_second_deletes(changes: Frame) -> Frame:
    """Drop deletes by an extraction that follow a delete in the WAL's order.

    Its key was spread over partitions, and its delete was not the last change by offset.
    """
    row = pl.struct("key", "op")
    is_second = pl.col("is_synthetic") & (row == row.shift(1))
    return changes.filter(~is_second.fill_null(value=False))


def latest_rows(changes: Frame) -> Frame:
    """Return the last change of each key that is not deleted: bronze's rows."""
    return changes.filter(_is_last_of_key() & ~_IS_DELETE)


def diagnose_versions(
    changes: Frame, source: Frame, examples: Examples, *, is_versioned: bool
) -> tuple[Fault, Fault, Fault]:
    """Check each life for missing changes.

    Args:
        changes: the visible changes, by key and in order, with `goes_on`.
        source: `key` and `version` of the shop's rows.
        examples: number of keys to report.
        is_versioned: whether the shop's trigger numbers the changes of this table. If not, a change
            is known to be missing only at the beginning or the end of a life.

    Returns:
        Inserts and updates that must have happened but do not exist; the same for deletes; and
        versions that exist twice.
    """
    lives = _lives(changes)
    checked = pl.concat([_told(lives, source), _not_begun(lives, source)])
    # A later life began: the delete between is missing, as after a TRUNCATE without deletes.
    unended = (~pl.col("is_ended") & ~pl.col("is_last") & ~pl.col("is_cut")).cast(pl.Int64)
    if is_versioned:
        length = pl.max_horizontal("last", "told") - pl.col("start") + 1
        lacks = length.fill_null(0) - pl.col("held")
    else:
        lacks = (~pl.col("has_begun")).cast(pl.Int64)
    checked = checked.with_columns(lacks=lacks, unended=unended)
    twice = pl.col("twice") if is_versioned else pl.lit(0)
    return (
        examples.fault(checked.filter(pl.col("lacks") > 0), count=pl.col("lacks")),
        examples.fault(checked.filter(pl.col("unended") > 0), count=pl.col("unended")),
        examples.fault(checked.filter(twice > 0), count=pl.col("twice")),
    )


def _is_last_of_key() -> pl.Expr:
    return pl.col("key").ne_missing(pl.col("key").shift(-1))


def _lives(changes: Frame) -> Frame:
    """Aggregate changes. Grain: one row per life, by key and in order."""
    key, before = pl.col("key"), pl.col("op").shift(1)
    goes_on = pl.col("goes_on")
    is_first = key.ne_missing(key.shift(1)) | (before == "d") | (pl.col("op") == "c") | goes_on
    # A row found by a snapshot, or whose key changed, had earlier numbers; so had a change that
    # follows a loss, even if it is a delete.
    is_given = (pl.col("is_rekeyed") | (pl.col("op") == "r") | goes_on).first()
    first_known = pl.coalesce(pl.col("version"), pl.col("before_version") + 1).first()
    start = pl.when(is_given).then(first_known).otherwise(1).fill_null(1)
    written = pl.col("version").filter(pl.col("op").is_in(["c", "u"]))
    held = pl.col("version").filter(~_IS_DELETE & (pl.col("version") >= start))
    lives = changes.group_by(life=is_first.cum_sum(), maintain_order=True).agg(
        key=key.first(),
        has_begun=is_given | (pl.col("op").first() == "c"),
        is_ended=_IS_DELETE.any(),
        start=start,
        held=held.n_unique().cast(pl.Int64),
        twice=(written.len() - written.n_unique()).cast(pl.Int64),
        last=held.max(),
        told=pl.col("before_version").filter(_IS_DELETE).max(),
        goes_on=goes_on.first(),
    )
    is_cut = pl.col("goes_on").shift(-1).fill_null(value=False) & ~_is_last_of_key()
    return lives.with_columns(is_last=_is_last_of_key(), is_cut=is_cut).drop("goes_on")


def _told(lives: Frame, source: Frame) -> Frame:
    """Add the last number of lives that continue, from the shop's row."""
    now = source.select("key", now="version")
    is_lasting = pl.col("is_last") & ~pl.col("is_ended")
    told = pl.when(is_lasting).then(pl.col("now")).otherwise(pl.col("told"))
    joined = lives.join(now, on="key", how="left", maintain_order="left")
    return joined.with_columns(told=told).select(lives.columns)


def _not_begun(lives: Frame, source: Frame) -> Frame:
    """Return rows of the shop for whose current life bronze has no change at all."""
    lasting = lives.filter(pl.col("is_last") & ~pl.col("is_ended"))
    lacking = source.join(lasting, on="key", how="anti")
    return lacking.select(
        life=pl.lit(None, lives.schema["life"]),
        key="key",
        has_begun=False,
        is_ended=False,
        start=pl.lit(1, pl.Int64),
        held=pl.lit(0, pl.Int64),
        twice=pl.lit(0, pl.Int64),
        last=pl.lit(None, pl.Int64),
        told="version",
        is_last=True,
        is_cut=False,
    )
