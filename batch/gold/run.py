"""Computes gold from silver, table by table, each in one commit.

Each table takes four steps: `read` its input, find out what is `affected`, `compute` the rows,
`replace` them. A failed commit may have landed all the same, so the steps are repeated, and the
watermarks tell whether anything is missing. Repeating is safe: rows are replaced, and updates by
differences start from the rows and watermarks of one version.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from batch.gold.builders import affected, compute
from batch.gold.distributed import Full, computed_by
from batch.gold.silver import Silver, pin
from batch.gold.task import Replacement, Task
from batch.merge import replace_rows
from batch.spark.cluster import Cluster
from batch.spark.files import replace_files
from lakehouse.choices import meant
from lakehouse.commit import a_few_times, until_known
from lakehouse.contracts.gold import DAY, GOLD_TABLES, MONTH, GoldTable, month_of
from lakehouse.contracts.schemas import gold_schema
from lakehouse.delta import CHECKPOINTS, table_properties, with_watermarks, writer_of
from lakehouse.errors import WrongArgumentError
from lakehouse.lake import Lake

Progress = Callable[[str], None]
_FORMULAS = "formulas"
"""Id of the app transaction in which a table stores the version of its formulas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldReport:
    """The result of one table.

    Attributes:
        rows_read: of silver.
        units: affected days, customers or product/warehouse pairs; of a full run by day, months.
        is_full: whether all of silver was read.
    """

    table: str
    rows_read: int = 0
    units: int = 0
    rows_written: int = 0
    seconds: float = 0.0
    is_full: bool = False


def chosen_tables(names: Sequence[str] = ()) -> list[GoldTable]:
    """Return contracts by name; by default all.

    Raises:
        StopPipelineError: a name is not that of a gold table.
    """
    unknown = [name for name in names if name not in GOLD_TABLES]
    if unknown:
        known = ", ".join(GOLD_TABLES)
        message = (
            f"Gold has no table {', '.join(unknown)}. {meant(unknown, GOLD_TABLES)}It has: {known}."
        )
        raise WrongArgumentError(message)
    return [table for name, table in GOLD_TABLES.items() if not names or name in names]


def consolidate_gold(  # noqa: PLR0913 - each is a choice of the caller
    lake: Lake,
    tables: Sequence[str] | None = None,
    *,
    retention_hours: int,
    pins: Mapping[str, int] | None = None,
    on_progress: Progress = lambda _what: None,
    is_rebuild: bool = False,
    cluster: Cluster | None = None,
) -> list[GoldReport]:
    """Recompute what changes of silver affect, and replace it.

    Args:
        lake: with addresses and options.
        tables: by default all.
        retention_hours: how long a new table keeps its log and replaced files.
        pins: versions of silver tables, by name; by default the newest. A gold table computed from
            a later version than a pin is not set back.
        on_progress: called with each table's name before it is computed.
        is_rebuild: recompute in full, whatever changed.
        cluster: of Spark, whose workers compute the months of tables that are computed in full;
            None for this process.

    Raises:
        StopPipelineError: there is no such table, or a worker cannot run the project.
        RetryLaterError: the object store does not answer. Another run resumes.
    """
    chosen = chosen_tables(tables or ())
    inputs = list(dict.fromkeys(name for table in chosen for name in table.inputs))
    silver = pin(lake, inputs, pins or {})
    reports = []
    with tempfile.TemporaryDirectory(prefix="gold-") as scratch:
        run = _Run(
            lake=lake,
            silver=silver,
            scratch=Path(scratch),
            retention_hours=retention_hours,
            is_rebuild=is_rebuild,
        )
        full: Mapping[str, tuple[Task, Full]] = {}
        if cluster is not None:
            on_progress("months of gold on Spark")
            full = run.computed_by(cluster, chosen)
        for table in chosen:
            on_progress(table.name)
            reports.append(run.landed(table, full.get(table.name)))
    return reports


def rebuild_gold(
    lake: Lake,
    tables: Sequence[str] | None = None,
    *,
    retention_hours: int,
    pins: Mapping[str, int] | None = None,
    on_progress: Progress = lambda _what: None,
    cluster: Cluster | None = None,
) -> list[GoldReport]:
    """Recompute tables from all of silver, each in one commit on the same table.

    Arguments and errors are those of `consolidate_gold`.
    """
    return consolidate_gold(
        lake,
        tables,
        retention_hours=retention_hours,
        pins=pins,
        on_progress=on_progress,
        is_rebuild=True,
        cluster=cluster,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    lake: Lake
    silver: Silver
    scratch: Path
    retention_hours: int
    is_rebuild: bool

    def computed_by(
        self, cluster: Cluster, tables: Iterable[GoldTable]
    ) -> dict[str, tuple[Task, Full]]:
        """Compute on a cluster what is computed in full from the pinned silver."""
        tasks = {
            table.name: task
            for table in tables
            if (task := self.read(table)) and task.since is None and task.silver is self.silver
        }
        done = computed_by(cluster, list(tasks.values()))
        return {name: (tasks[name], full) for name, full in done.items()}

    def landed(self, table: GoldTable, full: tuple[Task, Full] | None = None) -> GoldReport:
        """Compute a table, if it is not already, until it is known that its commit landed."""
        started = time.monotonic()
        new = [full] if full else []

        def attempt() -> GoldReport:
            return _committed(*new.pop()) if new else self.computed(table)

        report = until_known(
            attempt,
            reopen=lambda: None,  # each attempt opens the table
            wait=a_few_times(self.lake.uri("gold", table.name)),
        )
        return dataclasses.replace(report, seconds=time.monotonic() - started)

    def computed(self, table: GoldTable) -> GoldReport:
        task = self.read(table)
        if task is None:
            return GoldReport(table=table.name)
        new = compute(task, affected(task))
        return replace(task, new, _watermarks(task))

    def read(self, table: GoldTable) -> Task | None:
        """Return what a table is to be computed from; None if it has been already."""
        gold = self.lake.open_or_create(
            "gold",
            table.name,
            gold_schema(table),
            partition_by=[table.partition] if table.partition else [],
            properties=table_properties(
                retention_hours=self.retention_hours, has_change_feed=False
            ),
        )
        silver = self._not_behind(table, gold)
        since = read_versions(gold, silver, table)
        is_current = since == {name: silver[name].version for name in table.inputs}
        if is_current and not self.is_rebuild:
            return None
        return Task(
            table=table,
            gold=gold,
            silver=silver,
            since=None if self.is_rebuild else since,
            lake=self.lake,
            scratch=self.scratch,
        )

    def _not_behind(self, table: GoldTable, gold: DeltaTable) -> Silver:
        """Return silver with no table older than the version that gold was computed from."""
        later = {
            name: since
            for name in table.inputs
            if (since := _watermark(gold, self.silver, name)) and since > self.silver[name].version
        }
        if not later:
            return self.silver
        # Not those of the caller, who pinned them.
        newest = pin(self.lake.afresh(), list(later), {})
        ahead = {name: v for name, v in later.items() if v <= newest[name].version}
        return Silver(tables={**self.silver.tables, **pin(self.lake, list(ahead), ahead).tables})


def _watermarks(task: Task) -> dict[str, int]:
    return task.watermarks | {_FORMULAS: task.table.formulas}


def _committed(task: Task, full: Full) -> GoldReport:
    """Commit what a cluster has computed.

    Raises:
        Exception: whatever the store raises; the commit may have landed all the same.
    """
    if full.replacement is not None:
        return replace(task, full.replacement, _watermarks(task))
    schema = gold_schema(task.table)
    replace_files(task.gold, full.files, schema, watermarks=_watermarks(task))
    return GoldReport(
        table=task.table.name,
        rows_read=sum(one.rows_read for one in full.months),
        units=len(full.months),
        rows_written=sum(one.rows for one in full.months),
        is_full=True,
    )


def read_versions(delta: DeltaTable, silver: Silver, table: GoldTable) -> dict[str, int] | None:
    """Return the versions of silver that a gold table was computed from.

    Returns:
        None if the table has to be recomputed in full: it was computed with other formulas, not
        from all of these silver tables, or from a later version of one than it has.
    """
    if not has_formulas(delta, table):
        return None
    found = {}
    for name in table.inputs:
        version = _watermark(delta, silver, name)
        if version is None or version > silver[name].version:
            return None
        found[name] = version
    return found


def has_formulas(delta: DeltaTable, table: GoldTable) -> bool:
    """Return whether a table was computed with the current formulas of its contract."""
    return (delta.transaction_version(_FORMULAS) or 1) == table.formulas


def _watermark(delta: DeltaTable, silver: Silver, name: str) -> int | None:
    app_id = silver[name].app_id
    return 0 if app_id is None else delta.transaction_version(app_id)


def replace(task: Task, new: Replacement, watermarks: Mapping[str, int]) -> GoldReport:
    """Replace rows in one commit that carries the watermarks.

    Raises:
        Exception: whatever the store raises; the commit may have landed all the same.
    """
    schema = gold_schema(task.table)
    counted: list[tuple[int, int]] = []

    def arrow() -> Iterator[pa.RecordBatch]:
        for batch in new.batches:
            counted.append((batch.rows_read, batch.rows.height))
            yield from batch.rows.select(schema.names).to_arrow().cast(schema).to_batches()

    if new.units == 0 and not new.is_full:
        counted += [(batch.rows_read, 0) for batch in new.batches]
        _write(task, [], watermarks, mode="append")
    elif new.keys is not None:
        _merge(task, pl.DataFrame(pa.Table.from_batches(arrow(), schema)), new.keys, watermarks)
    else:
        predicate = None if new.days is None else _on(new.days)
        _write(task, arrow(), watermarks, mode="overwrite", predicate=predicate)
    return GoldReport(
        table=task.table.name,
        rows_read=sum(read for read, _ in counted),
        units=new.units,
        rows_written=sum(written for _, written in counted),
        is_full=new.is_full,
    )


def _write(
    task: Task,
    batches: Iterable[pa.RecordBatch],
    watermarks: Mapping[str, int],
    *,
    mode: str,
    predicate: str | None = None,
) -> None:
    write_deltalake(
        task.gold,
        pa.RecordBatchReader.from_batches(gold_schema(task.table), batches),
        mode=mode,  # type: ignore[call-overload]
        predicate=predicate,
        writer_properties=writer_of(gold_schema(task.table)),
        commit_properties=with_watermarks(watermarks, is_alone=mode == "overwrite"),
        post_commithook_properties=CHECKPOINTS,
    )


def _on(days: Iterable[date]) -> str:
    """Return a predicate for days; its months let other files be skipped and kept."""
    listed = ", ".join(f"'{day}'" for day in sorted(days))
    months = ", ".join(f"'{month}'" for month in sorted({month_of(day) for day in days}))
    return f"{MONTH} in ({months}) and {DAY} in ({listed})"


def _merge(task: Task, rows: pl.DataFrame, keys: pl.Series, watermarks: Mapping[str, int]) -> None:
    (key,) = task.table.key
    deleted = pl.DataFrame({key: keys}).join(rows, on=key, how="anti")
    before = task.gold.version()
    same, properties = f"t.{key} = s.{key}", with_watermarks(watermarks)
    replace_rows(task.gold, rows, deleted, where=same, properties=properties)
    # A merge that changes nothing commits nothing, its watermarks included.
    if task.gold.version() == before:
        _write(task, [], watermarks, mode="append")
