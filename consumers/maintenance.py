"""Keeps bronze cheap to open: compaction, checkpoints, old log entries and files away.

Runs beside the writers, on handles of its own. A compaction changes no data (`dataChange` false)
and touches only files that are there already, so it does not conflict with appends; what it
loses against, it tries again another time.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from deltalake import DeltaTable, WriterProperties

from lakehouse.delta import NO_HOOKS
from lakehouse.lake import table_uri

_TARGET_BYTES = 64 * 1024 * 1024
_WRITER = WriterProperties(compression="ZSTD", compression_level=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one round did to a table."""

    files_removed: int
    files_added: int
    files_vacuumed: int


def maintain(uri: str, options: Mapping[str, str], *, retention_hours: int) -> Done:
    """Compact small files, write a checkpoint, drop log entries and files past retention.

    Readers of a version younger than the retention keep their files.
    """
    table = DeltaTable(uri, storage_options=dict(options))
    metrics = table.optimize.compact(
        target_size=_TARGET_BYTES,
        max_concurrent_tasks=1,
        writer_properties=_WRITER,
        post_commithook_properties=NO_HOOKS,
    )
    table.update_incremental()
    table.create_checkpoint()
    table.cleanup_metadata()
    vacuumed = table.vacuum(
        retention_hours=retention_hours,
        dry_run=False,
        enforce_retention_duration=False,
        post_commithook_properties=NO_HOOKS,
    )
    return Done(
        files_removed=metrics["numFilesRemoved"],
        files_added=metrics["numFilesAdded"],
        files_vacuumed=len(vacuumed),
    )


class Maintenance:
    """Counts commits, and maintains a table in the background when it has had enough of them."""

    def __init__(self, work: Callable[[str], Done], *, every_commits: int) -> None:
        self._work = work
        self._every = every_commits
        self._commits: dict[str, int] = {}
        self._due: list[str] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._thread.start()

    def committed(self, table: str) -> None:
        """Count one commit of `table`."""
        with self._changed:
            self._commits[table] = self._commits.get(table, 0) + 1
            if self._commits[table] >= self._every and table not in self._due:
                self._commits[table] = 0
                self._due.append(table)
                self._changed.notify()

    def close(self) -> None:
        """Begin nothing more. What is under way is left to itself: it is safe to be cut off."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._stopping)
                if self._stopping:
                    return
                table = self._due.pop(0)
            try:
                done = self._work(table)
            except Exception as error:  # noqa: BLE001 - landing must go on without it
                _log.warning("maintenance_failed", table=table, error=str(error))
            else:
                _log.info(
                    "maintained", table=table, removed=done.files_removed, added=done.files_added
                )


def bronze_maintenance(
    bucket: str, options: Mapping[str, str], *, every_commits: int, retention_hours: int
) -> Maintenance:
    """Maintenance of the tables in one bucket."""

    def work(table: str) -> Done:
        return maintain(table_uri(bucket, table), options, retention_hours=retention_hours)

    return Maintenance(work, every_commits=every_commits)
