"""Results by table of a pipeline run, for its record, its task's log and the console."""

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
    """Result of a run for one table. Fields that do not apply are None.

    Attributes:
        read: changes or rows read from the layer below.
        cleaned: changes in which a value was cleaned.
        quarantined: changes that broke a rule.
        merged: rows of the table that were inserted, updated or deleted.
        seconds: duration.
    """

    layer: Layer
    table: str
    read: int
    cleaned: int | None
    quarantined: int | None
    merged: int
    seconds: float | None


def note_results(run: Run, rows: Sequence[TableResult], *, is_first: bool = True) -> None:
    """Add the results of tables to a record.

    Args:
        run: the record.
        rows: results, in the order of the layers.
        is_first: whether the run begins with these: then rows read by their first layer count as
            read. Rows read by layers above were written by the run itself.
    """
    written = [row for row in rows if row.table == WAREHOUSE or row.layer != Layer.WAREHOUSE]
    read = [row for row in written if row.layer == rows[0].layer]
    run.note(
        rows_read=sum(row.read for row in read) if is_first else None,
        rows_written=sum(row.merged for row in written),
        details={"tables": [asdict(row) for row in rows if row.read or row.merged]},
    )


def offsets_of(reports: Sequence[SilverReport]) -> dict[str, object]:
    """Return the offsets of bronze that silver applied, by shop table, for a record's scope."""
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
    """Return details about values in no list; empty if there are none."""
    unknown = [asdict(unknown) for report in reports for unknown in report.unknown]
    return {"unknown": unknown} if unknown else {}


def results_of_warehouse(report: WarehouseReport, seconds: float) -> list[TableResult]:
    """Return the results of a load. It is one transaction, so its duration is in one row."""
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
    """Return the result for the changes of one shop table."""
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
    """Return the result for a gold table."""
    return TableResult(
        layer=Layer.GOLD,
        table=report.table,
        read=report.rows_read,
        cleaned=None,
        quarantined=None,
        merged=report.rows_written,
        seconds=report.seconds,
    )
