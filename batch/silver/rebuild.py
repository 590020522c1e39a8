"""Makes the silver tables of an entity anew from all of bronze: one commit per table."""

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
from batch.silver.parts import Parts, parts_for
from batch.silver.rejudged import Rejudged
from batch.silver.replace import write_anew
from batch.silver.run import Progress, SilverReport, SilverRules
from batch.silver.tables import SilverTables
from lakehouse.cleaning.judge import count_rules
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import (
    QUARANTINE_SCHEMA,
    RULE_COUNTS_SCHEMA,
    history_schema,
    silver_schema,
)
from lakehouse.delta import retry_later
from lakehouse.lake import Lake
from lakehouse.offsets import EpochPartition, OffsetRange, pieces, up_to


def rebuild_silver(
    lake: Lake,
    rules: SilverRules,
    entities: Iterable[Entity],
    *,
    on_progress: Progress = lambda _what: None,
) -> list[SilverReport]:
    """Judge everything in bronze again, and put the outcome in the place of what is there.

    Readers see the table before or after, and its change feed tells the difference. Keys are dealt
    into parts, so that a part of the table at a time is in memory.

    Raises:
        StopPipelineError: the source's schema changed, and a contract says to stop.
        RetryLaterError: the object store does not answer, or somebody else commits.
    """
    done = []
    for entity in entities:
        with retry_later(f"silver/{entity.silver} could not be replaced", then="Rebuild it again."):
            done.append(_rebuild(lake, rules, entity, on_progress))
    return done


def _rebuild(lake: Lake, rules: SilverRules, entity: Entity, on_progress: Progress) -> SilverReport:
    started = monotonic()
    report = SilverReport(entity=entity.table, table=entity.silver)
    delta = lake.open("bronze", entity.bronze)
    if delta is None:
        return report
    tables = SilverTables(lake, entity, rules.retention_hours)
    tables.open_all()
    # After silver, which then has nothing that this version of bronze lacks.
    delta.update_incremental()
    bronze = BronzeSource(delta)
    counts = _Counts(tables=tables, run_id=uuid.uuid4().hex)
    with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
        rejudged = Rejudged(
            files=Parts(folder=Path(folder), count=parts_for(bronze.ends, rows=rules.chunk_rows)),
            tables=tables,
            judge=rules.judge(entity),
        )
        for piece in pieces(rejudged.left(bronze.ends), positions=rules.chunk_rows):
            on_progress(f"{entity.silver}: {report.read:,} changes")
            judged = rejudged.add(bronze, piece)
            counts.add(judged, piece)
            report = report.plus(judged, entity)
        on_progress(f"{entity.silver}: writing")
        ends = up_to(bronze.ends)
        rows = _put_in_place(rejudged, counts, watermarks(ends))
    return replace(report, merged=rows, spans=ends, seconds=monotonic() - started)


def _put_in_place(rejudged: Rejudged, counts: "_Counts", marks: dict[str, int]) -> int:
    """Commit to each table, the current rows last; how many these are."""
    tables, entity = rejudged.tables, rejudged.judge.entity
    counts.commit(marks)
    aside = _Batches(rejudged.quarantine, rejudged.files.count, QUARANTINE_SCHEMA)
    write_anew(
        tables.quarantine.delta, iter(aside), aside.schema,
        predicate=f"entity = '{entity.table}'", marks=marks,
    )  # fmt: skip
    if tables.history is not None:
        versions = _Batches(rejudged.history, rejudged.files.count, history_schema(entity))
        write_anew(tables.history.delta, iter(versions), versions.schema, marks=marks)
    current = _Batches(rejudged.current, rejudged.files.count, silver_schema(entity))
    write_anew(tables.current.delta, iter(current), current.schema, marks=marks)
    return current.rows


class _Batches:
    """What is made part by part, and how many rows that is."""

    def __init__(self, make: Callable[[int], pl.DataFrame], parts: int, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._make = make
        self._parts = parts

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for part in range(self._parts):
            rows = self._make(part)
            self.rows += rows.height
            yield from rows.to_arrow().cast(self.schema).to_batches()


class _Counts:
    """What the rules did, of changes that nobody has counted: each counts once, however judged."""

    def __init__(self, *, tables: SilverTables, run_id: str) -> None:
        self._tables = tables
        self._run_id = run_id
        self._parts: list[pl.DataFrame] = []

    def add(self, judged: pl.DataFrame, spans: Mapping[EpochPartition, OffsetRange]) -> None:
        """Count those of the spans that are not counted yet."""
        delta = self._tables.counts.delta
        starts = {p: max(span.start, starting_position(delta, p)) for p, span in spans.items()}
        uncounted = {
            p: OffsetRange(start=starts[p], stop=s.stop)
            for p, s in spans.items()
            if starts[p] < s.stop
        }
        rows = judged.filter(is_within(uncounted))
        self._parts.append(count_rules(rows, self._tables.entity, self._run_id))

    def commit(self, marks: dict[str, int]) -> None:
        """Append them, summed up."""
        names = [name for name in RULE_COUNTS_SCHEMA.names if name != "changes"]
        counts = pl.concat(self._parts) if self._parts else pl.DataFrame()
        if counts.is_empty():
            rows = RULE_COUNTS_SCHEMA.empty_table()
        else:
            summed = counts.group_by(names).agg(pl.col("changes").sum()).sort(names)
            rows = summed.select(RULE_COUNTS_SCHEMA.names).to_arrow().cast(RULE_COUNTS_SCHEMA)
        append(self._tables.counts.delta, rows, marks)
