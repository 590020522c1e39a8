"""Rebuilds an entity's silver tables from all of bronze: one commit per table."""

import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

import polars as pl
import pyarrow as pa

from batch.silver.bronze import BronzeSource
from batch.silver.commit import append
from batch.silver.offsets import is_within, starting_position, watermarks
from batch.silver.replace import overwrite
from batch.silver.revalidated import Revalidated
from batch.silver.run import Progress, SilverReport, SilverRules
from batch.silver.shards import Shards
from batch.silver.tables import SilverTables
from lakehouse.cleaning.validator import count_rules
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import (
    QUARANTINE_SCHEMA,
    RULE_COUNTS_SCHEMA,
    history_schema,
    silver_schema,
)
from lakehouse.delta import retry_later
from lakehouse.lake import Lake
from lakehouse.offsets import EpochPartition, OffsetRange, up_to


def rebuild_silver(
    lake: Lake,
    rules: SilverRules,
    entities: Iterable[Entity],
    *,
    on_progress: Progress = lambda _what: None,
) -> list[SilverReport]:
    """Validate everything in bronze again, and replace the tables by the result.

    Readers see the table before or after, and its change feed has the difference. Keys are
    sharded, so that memory holds one shard of the table at a time.

    Args:
        lake: opened as a user that writes silver.
        rules: settings of the validation.
        entities: what to rebuild, in order.
        on_progress: called with a short description of each step.

    Raises:
        StopPipelineError: the source's schema changed, and a contract says to stop.
        RetryLaterError: the object store does not answer, or another writer commits.
    """
    # Each entity has commits in the logs of the tables of all.
    lake = lake.keeping()
    done = []
    for entity in entities:
        with retry_later(f"silver/{entity.silver} could not be replaced", then="Rebuild it again."):
            tables = SilverTables(lake, entity, rules.retention_hours)
            done.append(_rebuild(tables, rules, on_progress))
    return done


def _rebuild(tables: SilverTables, rules: SilverRules, on_progress: Progress) -> SilverReport:
    started = monotonic()
    entity = tables.entity
    report = SilverReport(entity=entity.table, table=entity.silver)
    delta = tables.lake.open("bronze", entity.bronze)
    if delta is None:
        return report
    tables.open_all()
    # After silver, so that this version of bronze has all that silver has read.
    delta.update_incremental()
    bronze = BronzeSource(delta)
    counts = _Counts(tables=tables, run_id=uuid.uuid4().hex)
    with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
        revalidated = Revalidated(
            files=Shards(folder=Path(folder), count=bronze.count_batches(bronze.ends, rules.batch)),
            tables=tables,
            validator=rules.validator(entity),
        )
        for batch in bronze.batches(revalidated.left(bronze.ends), rules.batch):
            on_progress(f"{entity.silver}: {report.read:,} changes")
            validated = revalidated.add(bronze, batch)
            counts.add(validated, batch)
            report = report.plus(validated, entity)
        on_progress(f"{entity.silver}: writing")
        ends = up_to(bronze.ends)
        rows = _put_in_place(revalidated, counts, watermarks(ends))
    return replace(report, merged=rows, ranges=ends, seconds=monotonic() - started)


def _put_in_place(revalidated: Revalidated, counts: "_Counts", watermarks: dict[str, int]) -> int:
    """Commit to each table, the current rows last; return their number."""
    tables, entity = revalidated.tables, revalidated.validator.entity
    counts.commit(watermarks)
    quarantined = _Batches(revalidated.quarantine, revalidated.files.count, QUARANTINE_SCHEMA)
    overwrite(
        tables.quarantine.delta, iter(quarantined), quarantined.schema,
        predicate=f"entity = '{entity.table}'", watermarks=watermarks,
    )  # fmt: skip
    if tables.history is not None:
        versions = _Batches(revalidated.history, revalidated.files.count, history_schema(entity))
        overwrite(tables.history.delta, iter(versions), versions.schema, watermarks=watermarks)
    current = _Batches(revalidated.current, revalidated.files.count, silver_schema(entity))
    overwrite(tables.current.delta, iter(current), current.schema, watermarks=watermarks)
    return current.rows


class _Batches:
    """Batches of a table, built shard by shard, and the number of rows so far."""

    def __init__(self, make: Callable[[int], pl.DataFrame], shards: int, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._make = make
        self._parts = shards

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for shard in range(self._parts):
            rows = self._make(shard)
            self.rows += rows.height
            yield from rows.to_arrow().cast(self.schema).to_batches()


class _Counts:
    """Rule counts of changes that are not counted yet: each change counts once."""

    def __init__(self, *, tables: SilverTables, run_id: str) -> None:
        self._tables = tables
        self._run_id = run_id
        self._parts: list[pl.DataFrame] = []

    def add(self, validated: pl.DataFrame, ranges: Mapping[EpochPartition, OffsetRange]) -> None:
        """Count the changes in the ranges that are not counted yet."""
        delta = self._tables.counts.delta
        starts = {
            p: max(offsets.start, starting_position(delta, p)) for p, offsets in ranges.items()
        }
        uncounted = {
            p: OffsetRange(start=starts[p], stop=s.stop)
            for p, s in ranges.items()
            if starts[p] < s.stop
        }
        rows = validated.filter(is_within(uncounted))
        self._parts.append(count_rules(rows, self._tables.entity, self._run_id))

    def commit(self, watermarks: dict[str, int]) -> None:
        """Append the totals."""
        names = [name for name in RULE_COUNTS_SCHEMA.names if name != "changes"]
        counts = pl.concat(self._parts) if self._parts else pl.DataFrame()
        if counts.is_empty():
            rows = RULE_COUNTS_SCHEMA.empty_table()
        else:
            summed = counts.group_by(names).agg(pl.col("changes").sum()).sort(names)
            rows = summed.select(RULE_COUNTS_SCHEMA.names).to_arrow().cast(RULE_COUNTS_SCHEMA)
        append(self._tables.counts.delta, rows, watermarks)
