"""Comparison of one table: bronze's changes as of the snapshot with the shop's rows."""

import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from batch.reconcile.findings import Fault, Findings
from batch.reconcile.history import (
    Examples,
    Frame,
    as_of_snapshot,
    diagnose_versions,
    drop_repeats,
    drop_second_deletes,
    in_offset_order,
    in_wal_order,
    latest_rows,
)
from batch.reconcile.keyless import (
    add_up,
    compare_tallies,
    last_snapshot,
    rows_of_changes,
    rows_of_source,
    since_snapshot,
    snapshots,
)
from batch.reconcile.losses import ResolvedLoss, goes_on_behind
from batch.reconcile.records import no_records, read_changes
from batch.reconcile.shop import no_rows
from batch.reconcile.slices import Slices
from batch.reconcile.tables import SourceTable
from batch.reconcile.unchanged import fill_unchanged
from batch.reconcile.values import Recast, compare_rows
from batch.reconcile.visibility import Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Parameters of a comparison: the snapshot, the number of slices, the number of example keys.

    `losses` are the table's recorded and resolved ones; `recast` is called for values that
    differ.
    """

    visibility: Visibility
    slices: int
    examples: Examples
    losses: tuple[ResolvedLoss, ...] = ()
    recast: Recast | None = None


def slices_for(records: int, compressed_bytes: int) -> int:
    """Return into how many slices to split a table so that each fits into some hundred MB.

    Args:
        records: number of records in bronze.
        compressed_bytes: size of their files.
    """
    per_slice = 128 * 1024 * 1024
    usual_bytes, usual_compression = 1_500, 12
    held = max(records * usual_bytes, compressed_bytes * usual_compression)
    return max(1, math.ceil(held / per_slice))


def compare_table(
    table: SourceTable, rows: Iterable[Frame], records: Iterable[Frame], how: Comparison
) -> Findings:
    """Compare a table.

    Args:
        table: the table.
        rows: the shop's rows in frames, as `shop.read_rows` returns them.
        records: bronze's rows in frames, with `READ_COLUMNS`.
        how: snapshot and limits.

    Raises:
        StopPipelineError: a record was not written by Debezium.
    """
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        slices = Slices(how.slices, Path(folder))
        changes = (read_changes(frame, table, how.visibility) for frame in records)
        if not table.key:
            return _compare_keyless(table, rows, changes, slices, how.examples)
        for frame in rows:
            slices.add("shop", frame)
        for frame in changes:
            slices.add("bronze", frame)
        nothing = no_rows(table), read_changes(no_records(), table, how.visibility)
        found = Findings()
        for number in range(slices.count):
            source, changed = slices.take("shop", number), slices.take("bronze", number)
            found += _compare_slice(
                table,
                nothing[0] if source is None else source,
                nothing[1] if changed is None else changed,
                how,
            )
        return found


def _compare_slice(table: SourceTable, source: Frame, changes: Frame, how: Comparison) -> Findings:
    examples = how.examples
    once, repeated = drop_repeats(changes, examples)
    told = in_wal_order(once)
    seen = as_of_snapshot(told)
    # From before the table had these columns as its key: of which row a change is, it does not say.
    of_rows = seen.filter(pl.col("key").is_not_null())
    by_offset, placed = of_rows, of_rows
    if told is not once:
        by_offset, placed = in_offset_order(of_rows), drop_second_deletes(of_rows)
    latest = fill_unchanged(latest_rows(by_offset), by_offset)
    faults = compare_rows(latest, source, table.columns, examples, how.recast)
    placed = placed.with_columns(goes_on_behind(how.losses))
    lacking, no_deletes, twice = diagnose_versions(
        placed, source, examples, is_versioned=table.is_versioned
    )
    return Findings(
        source_rows=source.height,
        bronze_rows=latest.height,
        changes=seen.height,
        missing=faults.missing,
        extra=faults.extra,
        different=faults.different,
        untold=faults.untold,
        missing_versions=lacking,
        missing_deletes=no_deletes,
        duplicates=repeated + twice,
        excused=_excused(
            placed, source, lacking + no_deletes, how, is_versioned=table.is_versioned
        ),
    )


def _excused(
    changes: Frame, source: Frame, lacking: Fault, how: Comparison, *, is_versioned: bool
) -> int:
    """Count the changes that would be missing in addition if no loss had been recorded."""
    if not changes["goes_on"].any():
        return 0
    whole = changes.with_columns(goes_on=pl.lit(value=False))
    without, untold, _ = diagnose_versions(whole, source, how.examples, is_versioned=is_versioned)
    return max(0, without.count + untold.count - lacking.count)


def _compare_keyless(
    table: SourceTable,
    rows: Iterable[Frame],
    changes: Iterable[Frame],
    slices: Slices,
    examples: Examples,
) -> Findings:
    begun = []
    for frame in changes:
        slices.add("bronze", frame, by="_offset")
        begun.append(snapshots(frame))
    snapshot = last_snapshot(begun) if begun else pl.DataFrame()
    source = add_up(rows_of_source(frame, table.columns) for frame in rows)
    duplicates, seen, tallies = Fault(), 0, []
    for number in range(slices.count):
        changed = slices.take("bronze", number)
        if changed is None:
            continue
        once, repeated = drop_repeats(changed, examples)
        visible = since_snapshot(once.filter(pl.col("is_visible").fill_null(value=True)), snapshot)
        tallies.append(rows_of_changes(visible, table.columns))
        duplicates, seen = duplicates + repeated, seen + visible.height
    found = compare_tallies(source, add_up(tallies), examples)
    return found + Findings(changes=seen, duplicates=duplicates)
