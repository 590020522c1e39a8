"""Maintenance of many tables, one after the other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import structlog

from batch.catalogue import LakeTable
from batch.lock import only_one
from batch.maintenance.needs import Need
from batch.maintenance.table import Maintenance, TableMaintenance, left_alone
from lakehouse.delta import retry_later
from lakehouse.errors import AwayError, SchemaDiffersError
from lakehouse.lake import Lake
from lakehouse.maintenance import uncompacted_files

Progress = Callable[[str], None]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Retention of a layer, and the user that writes it.

    Attributes:
        lake: opened as a user that may write the layer.
        retention_hours: how long files of a version are kept after it was replaced.
        overdue_files: skip a table unless more files than this await compaction.
        writing: blocks the layer's other writers during a compaction.
    """

    lake: Lake
    retention_hours: float
    overdue_files: int = 0
    writing: Callable[[], AbstractContextManager[None]] = nullcontext


@contextmanager
def between_consolidations(dsn: str, *, wait_seconds: float = 5) -> Iterator[None]:
    """Hold the lock of consolidations within the block: they would lose against a compaction.

    Raises:
        BusyError: a consolidation is running; the message names it.
        PipelineError: it is unknown whether one is running.
    """
    with ExitStack() as held:
        try:
            held.enter_context(only_one(dsn, "maintenance", wait_seconds=wait_seconds))
        except (AwayError, SchemaDiffersError):
            # Without a warehouse to lock, there is no consolidation.
            _log.info("compacting_without_lock")
        yield


def maintain_tables(
    tables: Sequence[LakeTable],
    limits: Mapping[str, Limits],
    needs: Sequence[Need] | None,
    *,
    on_progress: Progress = lambda _what: None,
) -> Iterator[Maintenance]:
    """Maintain tables, and yield a report of each when it is done.

    Args:
        tables: the tables.
        limits: limits by layer.
        needs: needs of silver's readers; None if they are unknown.
        on_progress: called with the next table.

    Raises:
        RetryLaterError: the object store does not answer. Tables that were reported are done.
    """
    for number, table in enumerate(tables, start=1):
        on_progress(f"{table} ({number} of {len(tables)})")
        own = needs if table.layer == "silver" else []
        with retry_later(f"{table} cannot be maintained"):
            done = _maintain(table, limits[table.layer], _of(table, own))
        if done is not None:
            yield done


def _maintain(table: LakeTable, limits: Limits, needs: Sequence[Need] | None) -> Maintenance | None:
    delta = limits.lake.open(table.layer, table.name)
    if delta is None:
        return None
    if limits.overdue_files and uncompacted_files(delta) <= limits.overdue_files:
        return left_alone(table, delta, "skipped: the lander maintains it")
    maintenance = TableMaintenance(
        table=table,
        delta=delta,
        uri=limits.lake.uri(table.layer, table.name),
        options=limits.lake.options,
        needs=needs,
        retention_hours=limits.retention_hours,
        writing=limits.writing,
    )
    return maintenance.run()


def _of(table: LakeTable, needs: Sequence[Need] | None) -> Sequence[Need] | None:
    return None if needs is None else [need for need in needs if need.table == table.name]
