"""Background maintenance of bronze tables while they are written, every so many commits.

A checkpoint holds all files that were removed within the table's retention, so on a busy day it
takes longer and longer: none is written for fifty times as long as the last one took.

Uses its own handles, beside the writers. If it loses a conflict, the next run retries.
"""

import threading
import time
from collections.abc import Callable, Mapping

import structlog
from deltalake import DeltaTable

from lakehouse.lake import table_uri
from lakehouse.maintenance import Done, maintain
from lakehouse.object_store import addressed

CHECKPOINT_COMMITS = 20
"""Commits of a bronze table between two checkpoints: each entry after the last one is read several
times to open the table."""
_CHECKPOINT_PAUSE = 50
_log = structlog.get_logger(__name__)


class Maintenance:
    """Maintains tables in the background after every so many of this process' commits.

    Between, it writes a checkpoint of every so many versions: with several landers, whoever commits
    the version.
    """

    def __init__(
        self,
        work: Callable[[str], Done],
        checkpoint: Callable[[str], None],
        *,
        every_commits: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._checkpoint = checkpoint
        self._every = every_commits
        self._clock = clock
        self._commits: dict[str, int] = {}
        self._due: list[tuple[str, Callable[[str], None]]] = []
        self._next_checkpoint: dict[str, float] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._thread.start()

    def committed(self, table: str, version: int) -> None:
        """Count one commit of `table`, which has this version now."""
        with self._changed:
            self._commits[table] = self._commits.get(table, 0) + 1
            if self._commits[table] >= self._every:
                self._commits[table] = 0
                due = (table, self._maintain)
            elif version % CHECKPOINT_COMMITS == 0:
                due = (table, self._write_checkpoint)
            else:
                return
            if due not in self._due:
                self._due.append(due)
                self._changed.notify()

    def close(self) -> None:
        """Start no further work. Running work is not awaited, because interrupting it is safe."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._stopping)
                if self._stopping:
                    return
                table, work = self._due.pop(0)
            try:
                work(table)
            except Exception as error:  # noqa: BLE001 - landing must continue without it
                _log.warning("maintenance_failed", table=table, error=str(error))

    def _maintain(self, table: str) -> None:
        done = self._work(table)
        _log.info("maintained", table=table, removed=done.files_removed, added=done.files_added)

    def _write_checkpoint(self, table: str) -> None:
        began = self._clock()
        if began < self._next_checkpoint.get(table, began):
            return
        self._checkpoint(table)
        ended = self._clock()
        self._next_checkpoint[table] = ended + _CHECKPOINT_PAUSE * (ended - began)


def bronze_maintenance(
    bucket: str, options: Mapping[str, str], *, every_commits: int, retention_hours: int
) -> Maintenance:
    """Return the maintenance of the tables in a bucket."""

    def work(table: str) -> Done:
        return maintain(table_uri(bucket, table), options, retention_hours=retention_hours)

    def checkpoint(table: str) -> None:
        uri = table_uri(bucket, table)
        DeltaTable(uri, storage_options=addressed(uri, options)).create_checkpoint()

    return Maintenance(work, checkpoint, every_commits=every_commits)
