"""Background maintenance of bronze tables while they are written, every so many commits.

Uses its own handles, beside the writers. If it loses a conflict, the next run retries.
"""

import threading
from collections.abc import Callable, Mapping

import structlog

from lakehouse.lake import table_uri
from lakehouse.maintenance import Done, maintain

_log = structlog.get_logger(__name__)


class Maintenance:
    """Counts commits, and maintains a table in the background after every `every_commits`."""

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
                table = self._due.pop(0)
            try:
                done = self._work(table)
            except Exception as error:  # noqa: BLE001 - landing must continue without it
                _log.warning("maintenance_failed", table=table, error=str(error))
            else:
                _log.info(
                    "maintained", table=table, removed=done.files_removed, added=done.files_added
                )


def bronze_maintenance(
    bucket: str, options: Mapping[str, str], *, every_commits: int, retention_hours: int
) -> Maintenance:
    """Return the maintenance of the tables in a bucket."""

    def work(table: str) -> Done:
        return maintain(table_uri(bucket, table), options, retention_hours=retention_hours)

    return Maintenance(work, every_commits=every_commits)
