"""Rolls everything new in bronze through silver and gold into the warehouse; or makes a layer anew.

Silver's versions are pinned in between, so that gold and the star are made of the same rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from time import monotonic

from batch import live
from batch.gold.run import GoldReport, consolidate_gold, rebuild_gold
from batch.runs import Run
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import (
    SilverReport,
    SilverRules,
    UnknownValues,
    chosen_entities,
    consolidate_silver,
)
from batch.warehouse.checks import CheckResult
from batch.warehouse.entities import TABLES
from batch.warehouse.judged import QuarantineLimit
from batch.warehouse.lake_look import look_at_lake
from batch.warehouse.load import load_warehouse, rebuild_warehouse
from batch.warehouse.report import WarehouseReport
from batch.warehouse.source import Silver, silver_sources
from batch.warehouse.views import refresh_views
from lakehouse.lake import Lake

Progress = Callable[[str], None]
STAR = "star, in one transaction"


class Layer(StrEnum):
    """What can be made, in this order."""

    SILVER = "silver"
    GOLD = "gold"
    WAREHOUSE = "warehouse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was done to one table. What does not apply to it is None.

    `read` are changes or rows from the layer below, `cleaned` those in which a value was mended,
    `merged` rows of the table itself that were inserted, updated or taken away.
    """

    layer: Layer
    table: str
    read: int
    cleaned: int | None
    quarantined: int | None
    merged: int
    seconds: float | None


@dataclass(kw_only=True)
class Consolidation:
    """One run, over the layers that were asked for. `record` is told what each has done."""

    lake: Lake
    rules: SilverRules
    limit: QuarantineLimit
    warehouse_dsn: str
    layers: Sequence[Layer] = tuple(Layer)
    entities: Sequence[str] = ()
    on_progress: Progress = lambda _what: None
    is_rebuild: bool = False
    record: Run = field(default_factory=Run)
    rows: list[Row] = field(default_factory=list)
    """What was done to each table."""
    warned: list[CheckResult] = field(default_factory=list)
    """The checks that found something, and let it be published."""
    unknown: list[UnknownValues] = field(default_factory=list)
    """Values that no list has, of changes that count all the same."""

    def run(self) -> None:
        """Do it; `rows` and `warned` say what came of it.

        Raises:
            StopPipelineError: a contract, a check or a person has to be asked; what is published
                stays as it was.
            RetryLaterError: a service does not answer. Running it again goes on.
        """
        if Layer.SILVER in self.layers:
            self._silver()
        sources = silver_sources(lambda name: self.lake.uri("silver", name), self.lake.options)
        if Layer.GOLD in self.layers and sources:
            self._gold({name: source.version for name, source in sources.items()})
        if Layer.WAREHOUSE in self.layers and sources:
            self._warehouse(sources)
        if Layer.WAREHOUSE in self.layers:
            look_at_lake(self.warehouse_dsn, self.lake, on_progress=self.on_progress)

    def _silver(self) -> None:
        work = rebuild_silver if self.is_rebuild else consolidate_silver
        chosen = chosen_entities(self.entities)
        done = work(self.lake, self.rules, chosen, on_progress=self.on_progress)
        self._tell([row_of_silver(one) for one in done])
        self.unknown += (unknown for one in done for unknown in one.unknown)
        self.record.note(scope=offsets_of(done), details=details_of(done))

    def _gold(self, pins: dict[str, int]) -> None:
        work = rebuild_gold if self.is_rebuild else consolidate_gold
        done = work(
            self.lake,
            retention_hours=self.rules.retention_hours,
            pins=pins,
            on_progress=self.on_progress,
        )
        self._tell([row_of_gold(one) for one in done])

    def _warehouse(self, sources: Silver) -> None:
        work = rebuild_warehouse if self.is_rebuild else load_warehouse
        started = monotonic()
        report = work(self.warehouse_dsn, sources, limit=self.limit, on_progress=self.on_progress)
        self._tell(rows_of_warehouse(report, monotonic() - started))
        self.warned += (check for check in report.checks if check.offending_rows)
        refresh_views(self.warehouse_dsn, on_progress=self.on_progress)
        if report.tables:
            self.on_progress("trimming live")
            live.trim(self.warehouse_dsn)

    def _tell(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        note_rows(self.record, self.rows)


def note_rows(run: Run, rows: Sequence[Row], *, is_first: bool = True) -> None:
    """Let a record say what was done to each table.

    Args:
        run: the record.
        rows: in the order of the layers.
        is_first: the run begins with these: what their first layer has read, it has read. What
            the layers above read, it has written itself.
    """
    written = [row for row in rows if row.table == STAR or row.layer != Layer.WAREHOUSE]
    read = [row for row in written if row.layer == rows[0].layer]
    run.note(
        rows_read=sum(row.read for row in read) if is_first else None,
        rows_written=sum(row.merged for row in written),
        details={"tables": [asdict(row) for row in rows if row.read or row.merged]},
    )


def offsets_of(reports: Sequence[SilverReport]) -> dict[str, object]:
    """The offsets of bronze that silver took in, by table of the shop; for a record's scope."""
    offsets = {
        report.entity: [
            {
                "epoch": place.epoch, "partition": place.partition,
                "first": span.start, "last": span.stop - 1,
            }
            for place, span in sorted(report.spans.items())
        ]
        for report in reports
        if report.spans
    }  # fmt: skip
    return {"offsets": offsets}


def details_of(reports: Sequence[SilverReport]) -> dict[str, object]:
    """What a record says of values that no list has; nothing without such."""
    unknown = [asdict(unknown) for report in reports for unknown in report.unknown]
    return {"unknown": unknown} if unknown else {}


def rows_of_warehouse(report: WarehouseReport, seconds: float) -> list[Row]:
    """The load is one transaction, so its time stands in one row."""
    changed = {table.table: table for table in report.tables}
    tables = [
        Row(
            layer=Layer.WAREHOUSE,
            table=f"entity.{name}",
            read=changed[name].rows_read,
            cleaned=None,
            quarantined=None,
            merged=changed[name].rows_changed,
            seconds=None,
        )
        for name in (table.name for table in TABLES if table.name in changed)
    ]
    star = Row(
        layer=Layer.WAREHOUSE,
        table=STAR,
        read=sum(table.rows_read for table in report.tables),
        cleaned=None,
        quarantined=None,
        merged=report.rows_changed,
        seconds=seconds,
    )
    return [*tables, star]


def row_of_silver(report: SilverReport) -> Row:
    """What became of an entity's changes."""
    return Row(
        layer=Layer.SILVER,
        table=report.table,
        read=report.read,
        cleaned=report.cleaned,
        quarantined=report.quarantined,
        merged=report.merged,
        seconds=report.seconds,
    )


def row_of_gold(report: GoldReport) -> Row:
    """What became of a gold table."""
    return Row(
        layer=Layer.GOLD,
        table=report.table,
        read=report.rows_read,
        cleaned=None,
        quarantined=None,
        merged=report.rows_written,
        seconds=report.seconds,
    )
