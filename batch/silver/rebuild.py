"""Makes the silver tables of an entity anew from all of bronze: one commit per table."""

import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from batch.silver.bronze import BronzeSource
from batch.silver.commit import append
from batch.silver.places import Place, Spans, is_within, starting_position, watermarks
from batch.silver.run import Progress, SilverReport, SilverRules
from batch.silver.tables import SilverTables
from lakehouse.cleaning.judge import Judge, count_rules
from lakehouse.cleaning.transforms.latest import latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import (
    QUARANTINE_SCHEMA,
    RULE_COUNTS_SCHEMA,
    history_schema,
    silver_schema,
)
from lakehouse.coordinates import Span
from lakehouse.delta import NO_HOOKS, WRITER, retry_later, with_watermarks
from lakehouse.lake import Lake


def rebuild_silver(
    lake: Lake,
    rules: SilverRules,
    entities: Iterable[Entity],
    *,
    on_progress: Progress = lambda _what: None,
) -> list[SilverReport]:
    """Judge everything in bronze again, and put the outcome in the place of what is there.

    Readers see the table before or after, and its change feed tells the difference. Keys are dealt
    by Kafka's partition, so that a part of the table at a time is in memory.

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
    with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
        parts = _Parts(Path(folder), tables, rules.judge(entity), uuid.uuid4().hex)
        for number, spans in enumerate(groups(bronze.ends)):
            for piece in bronze.chunks(spans, rows=rules.chunk_rows):
                on_progress(f"{entity.silver}: {report.read:,} changes")
                report = parts.add(number, bronze, piece, report)
            parts.finish(number)
        on_progress(f"{entity.silver}: writing")
        ends = {p: Span(start=0, stop=end) for p, end in bronze.ends.items() if end > 0}
        parts.commit(watermarks(ends))
    return replace(report, merged=parts.rows, spans=ends, seconds=monotonic() - started)


def groups(ends: Mapping[Place, int]) -> list[dict[Place, Span]]:
    """Spans that share no key: by partition, as long as their number never changed."""
    spans = {p: Span(start=0, stop=end) for p, end in ends.items() if end > 0}
    counts = {sum(q.epoch == p.epoch for q in ends) for p in ends}
    if len(counts) > 1:
        return [spans]
    numbers = sorted({place.partition for place in spans})
    return [{p: s for p, s in spans.items() if p.partition == number} for number in numbers]


@dataclass
class _Parts:
    """What a rebuild has found so far, in files."""

    folder: Path
    tables: SilverTables
    judge: Judge
    run_id: str

    def __post_init__(self) -> None:
        self.rows = 0
        self._newest: pl.DataFrame | None = None
        self._valid: list[pl.DataFrame] = []
        self._counts: list[pl.DataFrame] = []

    def add(
        self, number: int, bronze: BronzeSource, spans: Spans, report: SilverReport
    ) -> SilverReport:
        records = bronze.read(spans)
        ends = {place: span.stop for place, span in spans.items()}
        judged = self.judge.judge(records, lambda keys: bronze.of_keys(keys, ends))
        self._write(
            "quarantine", f"{number}-{report.read}", self.tables.quarantined(judged, records)
        )
        uncounted = judged.filter(is_within(self._uncounted(spans)))
        self._counts.append(count_rules(uncounted, self.judge.entity, self.run_id))
        valid = judged.filter(pl.col(BROKEN).is_null())
        both = valid if self._newest is None else pl.concat([self._newest, valid])
        found = latest(nw.from_native(both.lazy()), self.judge.entity.key)
        self._newest = pl.DataFrame(found.collect().to_native())
        if self.tables.history is not None:
            self._valid.append(valid)
        return report.plus(judged, self.judge.entity)

    def finish(self, number: int) -> None:
        """The changes of a partition are all there."""
        if self._newest is not None:
            rows = self.tables.current_rows(self._newest)
            self.rows += rows.num_rows
            self._write("current", str(number), rows)
        if self._valid:
            schema = pl.Schema(history_schema(self.judge.entity))
            nothing = pl.DataFrame(schema=schema).lazy()
            rows = self.tables.history_rows(pl.concat(self._valid), nothing)
            self._write("history", str(number), rows)
        self._newest, self._valid = None, []

    def commit(self, marks: dict[str, int]) -> None:
        entity = self.judge.entity
        counts = pl.concat(self._counts) if self._counts else pl.DataFrame()
        self._count(counts, marks)
        table = self.tables.quarantine.delta
        of_entity = f"entity = '{entity.table}'"
        _overwrite(table, self._read("quarantine", QUARANTINE_SCHEMA), marks, of_entity)
        if self.tables.history is not None:
            rows = self._read("history", history_schema(entity))
            _overwrite(self.tables.history.delta, rows, marks, None)
        rows = self._read("current", silver_schema(entity))
        _overwrite(self.tables.current.delta, rows, marks, None)

    def _uncounted(self, spans: Spans) -> dict[Place, Span]:
        """What of these spans was not counted yet: a change counts once, however often judged."""
        delta = self.tables.counts.delta
        starts = {p: max(span.start, starting_position(delta, p)) for p, span in spans.items()}
        return {
            p: Span(start=starts[p], stop=s.stop) for p, s in spans.items() if starts[p] < s.stop
        }

    def _count(self, counts: pl.DataFrame, marks: dict[str, int]) -> None:
        names = [name for name in RULE_COUNTS_SCHEMA.names if name != "changes"]
        if counts.is_empty():
            rows = RULE_COUNTS_SCHEMA.empty_table()
        else:
            summed = counts.group_by(names).agg(pl.col("changes").sum()).sort(names)
            rows = summed.select(RULE_COUNTS_SCHEMA.names).to_arrow().cast(RULE_COUNTS_SCHEMA)
        append(self.tables.counts.delta, rows, marks)

    def _write(self, kind: str, name: str, rows: pa.Table) -> None:
        if rows.num_rows:
            pq.write_table(rows, self.folder / f"{kind}-{name}.parquet", compression="zstd")

    def _read(self, kind: str, schema: pa.Schema) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            for file in sorted(self.folder.glob(f"{kind}-*.parquet")):
                for batch in pq.ParquetFile(file).iter_batches():
                    yield batch.cast(schema)

        return pa.RecordBatchReader.from_batches(schema, batches())


def _overwrite(
    table: DeltaTable, rows: pa.RecordBatchReader, marks: dict[str, int], predicate: str | None
) -> None:
    write_deltalake(
        table,
        rows,
        mode="overwrite",
        predicate=predicate,
        writer_properties=WRITER,
        commit_properties=with_watermarks(marks, is_alone=True),
        post_commithook_properties=NO_HOOKS,
    )
