"""What a pipeline run did to each table, as its record, its task's log and the console say it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from batch.gold.run import GoldReport
from batch.runs.record import Run
from batch.silver.run import SilverReport
from batch.warehouse.entities import TABLES
from batch.warehouse.report import WarehouseReport
from lakehouse.layers import Layer

WAREHOUSE = "warehouse, in one transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableResult:
    """What a run did to one table. What does not apply to the table is None.

    Attributes:
        read: changes or rows of the layer below.
        cleaned: those of them in which a value was cleaned.
        quarantined: those of them that broke a rule.
        merged: rows of the table itself that were inserted, updated or deleted.
        seconds: that it took.
    """

    layer: Layer
    table: str
    read: int
    cleaned: int | None
    quarantined: int | None
    merged: int
    seconds: float | None


def note_results(run: Run, rows: Sequence[TableResult], *, is_first: bool = True) -> None:
    """Let a record say what was done to each table.

    Args:
        run: the record.
        rows: in the order of the layers.
        is_first: the run begins with these: what their first layer has read, it has read. What
            the layers above read, it has written itself.
    """
    written = [row for row in rows if row.table == WAREHOUSE or row.layer != Layer.WAREHOUSE]
    read = [row for row in written if row.layer == rows[0].layer]
    run.note(
        rows_read=sum(row.read for row in read) if is_first else None,
        rows_written=sum(row.merged for row in written),
        details={"tables": [asdict(row) for row in rows if row.read or row.merged]},
    )


def offsets_of(reports: Sequence[SilverReport]) -> dict[str, object]:
    """The offsets of bronze that silver applied, by table of the shop; for a record's scope."""
    offsets = {
        report.entity: [
            {
                "epoch": coordinate.epoch, "partition": coordinate.partition,
                "first": offsets.start, "last": offsets.stop - 1,
            }
            for coordinate, offsets in sorted(report.ranges.items())
        ]
        for report in reports
        if report.ranges
    }  # fmt: skip
    return {"offsets": offsets}


def details_of(reports: Sequence[SilverReport]) -> dict[str, object]:
    """What a record says of values that no list has; nothing without such."""
    unknown = [asdict(unknown) for report in reports for unknown in report.unknown]
    return {"unknown": unknown} if unknown else {}


def results_of_warehouse(report: WarehouseReport, seconds: float) -> list[TableResult]:
    """The load is one transaction, so its time stands in one row."""
    changed = {table.table: table for table in report.tables}
    tables = [
        TableResult(
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
    warehouse = TableResult(
        layer=Layer.WAREHOUSE,
        table=WAREHOUSE,
        read=sum(table.rows_read for table in report.tables),
        cleaned=None,
        quarantined=None,
        merged=report.rows_changed,
        seconds=seconds,
    )
    return [*tables, warehouse]


def result_of_silver(report: SilverReport) -> TableResult:
    """Of the changes of one table of the shop."""
    return TableResult(
        layer=Layer.SILVER,
        table=report.table,
        read=report.read,
        cleaned=report.cleaned,
        quarantined=report.quarantined,
        merged=report.merged,
        seconds=report.seconds,
    )


def result_of_gold(report: GoldReport) -> TableResult:
    """Of a gold table."""
    return TableResult(
        layer=Layer.GOLD,
        table=report.table,
        read=report.rows_read,
        cleaned=None,
        quarantined=None,
        merged=report.rows_written,
        seconds=report.seconds,
    )
