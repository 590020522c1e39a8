"""Rebuilds an entity's silver tables from all of bronze: one commit per table."""

import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic

import polars as pl
import pyarrow as pa

from batch.processes import ALONE, Processes
from batch.silver.bronze import BronzeSource
from batch.silver.commit import append
from batch.silver.distributed import Counted, SilverJob, Written
from batch.silver.offsets import OffsetRanges, watermarks
from batch.silver.replace import overwrite
from batch.silver.run import Progress, SilverReport, SilverRules
from batch.silver.tables import SilverTables
from batch.spark.cluster import Cluster
from batch.spark.files import Place, replace_files
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import (
    QUARANTINE_SCHEMA,
    RULE_COUNTS_SCHEMA,
    history_schema,
    silver_schema,
)
from lakehouse.delta import retry_later
from lakehouse.lake import Lake
from lakehouse.offsets import OffsetRange, up_to


def rebuild_silver(
    lake: Lake,
    rules: SilverRules,
    entities: Iterable[Entity],
    *,
    cluster: Cluster | None = None,
    processes: Processes = ALONE,
    on_progress: Progress = lambda _what: None,
) -> list[SilverReport]:
    """Validate everything in bronze again, and replace the tables by the result.

    Readers see the table before or after, and its change feed has the difference. Keys are
    sharded, so that memory holds one shard of the table at a time.

    Args:
        lake: opened as a user that writes silver.
        rules: settings of the validation.
        entities: what to rebuild, in order.
        cluster: of Spark, whose workers validate and write tables of more than one batch; None
            for this machine.
        processes: of this machine, which validate.
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
            done.append(_rebuild(tables, rules, cluster, processes, on_progress))
    return done


def _rebuild(
    tables: SilverTables,
    rules: SilverRules,
    cluster: Cluster | None,
    processes: Processes,
    on_progress: Progress,
) -> SilverReport:
    started = monotonic()
    entity = tables.entity
    delta = tables.lake.open("bronze", entity.bronze)
    if delta is None:
        return SilverReport(entity=entity.table, table=entity.silver)
    tables.open_all()
    # After silver, so that this version of bronze has all that silver has read.
    delta.update_incremental()
    bronze = BronzeSource(delta)
    work = _Work(
        tables=tables, rules=rules, bronze=bronze, run_id=uuid.uuid4().hex, on_progress=on_progress
    )
    # A single batch is validated no faster elsewhere, and a driver takes long to begin.
    is_small = len(batches := tuple(bronze.batches(work.ranges, rules.batch))) <= 1
    if cluster is None or is_small:
        report = work.here(processes, batches)
    else:
        report = work.on(cluster, batches)
    return replace(report, ranges=work.ranges, seconds=monotonic() - started)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One entity's rebuild from one version of bronze; the current rows are committed last."""

    tables: SilverTables
    rules: SilverRules
    bronze: BronzeSource
    run_id: str
    on_progress: Progress

    @property
    def entity(self) -> Entity:
        return self.tables.entity

    @property
    def ranges(self) -> OffsetRanges:
        return up_to(self.bronze.ends)

    def here(self, processes: Processes, batches: Sequence[OffsetRanges]) -> SilverReport:
        """Rebuild on this machine; return what was read and written."""
        report = SilverReport(entity=self.entity.table, table=self.entity.silver)
        counts = []
        job = replace(self._job(batches), opened=self.bronze)
        with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
            validated = partial(job.validated, Path(folder))
            self.on_progress(f"{self.entity.silver}: validating")
            for one in processes.map(validated, enumerate(batches)):
                counts.append(one.rules)
                report = report.and_of(one.report)
                self.on_progress(f"{self.entity.silver}: {report.read:,} changes")
            self.on_progress(f"{self.entity.silver}: writing")
            self._commit_counts(counts)
            return replace(report, merged=self._put_in_place(partial(job.rows, Path(folder))))

    def on(self, cluster: Cluster, batches: Sequence[OffsetRanges]) -> SilverReport:
        """Rebuild on a cluster, whose files this process commits."""
        self.on_progress(f"{self.entity.silver}: {len(batches):,} batches on Spark")
        tables = {
            "quarantine": self.tables.quarantine,
            "history": self.tables.history,
            "current": self.tables.current,
        }
        options = self.tables.lake.options
        places = {name: Place.of(table.delta, options) for name, table in tables.items() if table}
        job = replace(self._job(batches), places=places)
        found = list(chain.from_iterable(cluster.run(job)))
        counted = [one for one in found if isinstance(one, Counted)]
        written = [one for one in found if isinstance(one, Written)]
        self.on_progress(f"{self.entity.silver}: committing")
        self._commit_counts([one.rules for one in counted])
        self._replace_files(written)
        report = SilverReport(entity=self.entity.table, table=self.entity.silver)
        for one in counted:
            report = report.and_of(one.report)
        return replace(report, merged=sum(one.rows for one in written))

    def _job(self, batches: Sequence[OffsetRanges]) -> SilverJob:
        lake = self.tables.lake.afresh()
        return SilverJob(
            tables=SilverTables(lake, self.entity, self.rules.retention_hours),
            rules=self.rules,
            run_id=self.run_id,
            version=self.bronze.delta.version(),
            ends=self.bronze.ends,
            batches=batches,
            shards=self._shards,
            uncounted=self._uncounted(),
            places={},
        )

    @property
    def _shards(self) -> int:
        return self.bronze.count_batches(self.bronze.ends, self.rules.batch)

    def _put_in_place(self, rows: Callable[[str, int], pl.DataFrame]) -> int:
        """Commit to each table, shard by shard; return the number of current rows.

        Args:
            rows: returns those of a shard, for a kind of table.
        """
        done, tables, entity = watermarks(self.ranges), self.tables, self.entity
        quarantined = _Batches(partial(rows, "quarantine"), self._shards, QUARANTINE_SCHEMA)
        overwrite(
            tables.quarantine.delta, iter(quarantined), quarantined.schema,
            predicate=f"entity = '{entity.table}'",
            watermarks=tables.quarantine.watermarks_alone(self.ranges),
        )  # fmt: skip
        if tables.history is not None:
            versions = _Batches(partial(rows, "history"), self._shards, history_schema(entity))
            overwrite(tables.history.delta, iter(versions), versions.schema, watermarks=done)
        current = _Batches(partial(rows, "current"), self._shards, silver_schema(entity))
        overwrite(tables.current.delta, iter(current), current.schema, watermarks=done)
        return current.rows

    def _replace_files(self, written: Sequence[Written]) -> None:
        """Commit to each table the files that workers have written."""
        done, tables, entity = watermarks(self.ranges), self.tables, self.entity
        replace_files(
            tables.quarantine.delta, [file for one in written for file in one.quarantine],
            QUARANTINE_SCHEMA, partition=("entity", entity.table),
            watermarks=tables.quarantine.watermarks_alone(self.ranges),
        )  # fmt: skip
        if tables.history is not None:
            files = [file for one in written for file in one.history]
            replace_files(tables.history.delta, files, history_schema(entity), watermarks=done)
        files = [file for one in written for file in one.current]
        replace_files(tables.current.delta, files, silver_schema(entity), watermarks=done)

    def _uncounted(self) -> OffsetRanges:
        """Return the ranges whose rules are not counted yet: each change counts once."""
        counts = self.tables.counts
        return {
            p: OffsetRange(start=start, stop=end)
            for p, end in self.bronze.ends.items()
            if (start := counts.position(p)) < end
        }

    def _commit_counts(self, counts: Sequence[pl.DataFrame]) -> None:
        """Append the totals of each rule."""
        names = [name for name in RULE_COUNTS_SCHEMA.names if name != "changes"]
        all_of_them = pl.concat(counts) if counts else pl.DataFrame()
        if all_of_them.is_empty():
            rows = RULE_COUNTS_SCHEMA.empty_table()
        else:
            summed = all_of_them.group_by(names).agg(pl.col("changes").sum()).sort(names)
            rows = summed.select(RULE_COUNTS_SCHEMA.names).to_arrow().cast(RULE_COUNTS_SCHEMA)
        table = self.tables.counts
        append(table.delta, rows, table.watermarks_alone(self.ranges))


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
