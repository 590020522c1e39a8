"""Progress of an extraction, derived from Debezium's notifications. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from connectors.request import table_of

_Told = Mapping[str, str]
_READ = ("SUCCEEDED", "EMPTY")
AGGREGATE = "Incremental Snapshot"
UNKNOWN = "UNKNOWN_SCHEMA"
"""Reason of a failure: Debezium does not know a table of this name."""


class TableState(StrEnum):
    """State of a table in an extraction."""

    WAITING = "waiting"
    READING = "reading"
    READ = "read"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProgress:
    """Progress of one table. `rows` is known once the table is read.

    `reason` is the failure's name in Debezium's notification.
    """

    table: str
    state: TableState = TableState.WAITING
    rows: int | None = None
    last_key: str | None = None
    maximum_key: str | None = None
    reason: str | None = None

    @property
    def share(self) -> float | None:
        """Share of the keys that were read; None unless the key is a single number."""
        if self.state is TableState.READ:
            return 1.0
        try:
            return min(1.0, int(self.last_key or "") / int(self.maximum_key or ""))
        except (ValueError, ZeroDivisionError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of an extraction; `id` is that of the signal which requested it."""

    id: str
    tables: tuple[TableProgress, ...] = ()
    is_started: bool = False
    is_paused: bool = False
    is_over: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every table was read completely."""
        return self.is_over and all(table.state is TableState.READ for table in self.tables)

    @property
    def unread(self) -> frozenset[str]:
        """Names of the tables that Debezium knows and could not read."""
        return frozenset(
            table.table
            for table in self.tables
            if table.state is TableState.FAILED and table.reason != UNKNOWN
        )

    def to_json(self) -> dict[str, object]:
        """Return the output of `./pipeline extract --format json`."""
        state = "over" if self.is_over else "paused" if self.is_paused else "running"
        tables = [
            {
                "table": table.table,
                "state": table.state,
                "rows": table.rows,
                "last_key": table.last_key,
                "maximum_key": table.maximum_key,
                "reason": table.reason,
            }
            for table in self.tables
        ]
        return {"id": self.id, "state": state, "is_complete": self.is_complete, "tables": tables}

    def in_a_line(self) -> str:
        """Return how many tables were read, and which one is being read."""
        done = sum(table.state is TableState.READ for table in self.tables)
        now = next((table for table in self.tables if table.state is TableState.READING), None)
        share = "" if now is None or now.share is None else f", {now.share:.0%} of its keys"
        reading = "" if now is None else f"; reading {now.table}{share}"
        rest = "paused: " if self.is_paused else ""
        return f"{rest}{done} of {len(self.tables)} tables read{reading}"


def advance(progress: Progress, notification: Mapping[str, Any]) -> Progress:
    """Return the progress after one more notification; those of other extractions are ignored."""
    is_ours = notification.get("id") == progress.id
    if not is_ours or notification.get("aggregate_type") != AGGREGATE:
        return progress
    step = _STEPS.get(str(notification.get("type")))
    return progress if step is None else step(progress, notification.get("additional_data") or {})


def end(progress: Progress) -> Progress:
    """Return the progress of an ended extraction: tables not read by now were not extracted.

    Debezium reports a stopped extraction as completed, too.
    """
    return replace(progress, is_over=True, tables=_stop(progress.tables))


def _started(progress: Progress, told: _Told) -> Progress:
    known = {table.table for table in progress.tables}
    new = [TableProgress(table=name) for name in _listed(told) if name not in known]
    return replace(progress, is_started=True, tables=(*progress.tables, *new))


def _aborted(progress: Progress, told: _Told) -> Progress:
    tables = _stop(progress.tables, only=_listed(told))
    is_over = not any(t.state in (TableState.WAITING, TableState.READING) for t in tables)
    return replace(progress, tables=tables, is_over=is_over)


def _stop(
    tables: Sequence[TableProgress], *, only: Sequence[str] | None = None
) -> tuple[TableProgress, ...]:
    return tuple(
        replace(table, state=TableState.STOPPED)
        if table.state in (TableState.WAITING, TableState.READING)
        and (only is None or table.table in only)
        else table
        for table in tables
    )


def _with_table(progress: Progress, table: TableProgress) -> Progress:
    others = {known.table: known for known in progress.tables} | {table.table: table}
    return replace(progress, tables=tuple(others.values()))


def _reading(told: _Told) -> TableProgress:
    return TableProgress(
        table=table_of(told["current_collection_in_progress"]),
        state=TableState.READING,
        last_key=told.get("last_processed_key"),
        maximum_key=told.get("maximum_key"),
    )


def _scanned(told: _Told) -> TableProgress:
    status = told["status"]
    return TableProgress(
        table=table_of(told["scanned_collection"]),
        state=TableState.READ if status in _READ else TableState.FAILED,
        rows=int(told["total_rows_scanned"]) if status == "SUCCEEDED" else 0,
        reason=None if status in _READ else status,
    )


def _listed(told: _Told) -> list[str]:
    listed = told.get("data_collections") or ""
    return [table_of(name) for name in listed.split(",") if name]


_STEPS: Mapping[str, Callable[[Progress, _Told], Progress]] = {
    "STARTED": _started,
    # After a restart of the connector the extraction is no longer paused.
    "IN_PROGRESS": lambda one, told: _with_table(replace(one, is_paused=False), _reading(told)),
    "TABLE_SCAN_COMPLETED": lambda one, told: _with_table(one, _scanned(told)),
    "PAUSED": lambda one, _: replace(one, is_paused=True),
    "RESUMED": lambda one, _: replace(one, is_paused=False),
    "ABORTED": _aborted,
    "COMPLETED": lambda one, _: end(one),
}
"""State that a notification stands for, by Debezium's name of its kind."""
