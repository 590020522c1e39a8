"""Maintenance of one table: compaction, vacuum, checkpoint, clean-up of the log, in this order.

A commit is only made if there is something to do, so maintenance of an unchanged table writes
nothing.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.fs as pafs
from deltalake import DeltaTable

from batch.catalogue import LakeTable
from batch.delta_log import DeltaLog
from batch.maintenance.needs import Hold, Need, oldest_hold
from lakehouse.delta import NO_HOOKS, files_of
from lakehouse.errors import BusyError
from lakehouse.maintenance import CompactionHeldError, CompactionLostError, compact
from lakehouse.object_store import addressed

_TRIES = 3
_MARGIN_HOURS = 1
"""Longest time between writing a file and the commit that names it."""
_UNIT_HOURS = {"hour": 1.0, "day": 24.0, "week": 168.0, "minute": 1 / 60, "second": 1 / 3600}
_WEEK_HOURS = 168.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Result of one table's maintenance. Files and bytes are those of the current version.

    Attributes:
        vacuumed_files: files of older versions that were deleted.
        kept: what was not done, and why.
    """

    table: LakeTable
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    vacuumed_files: int = 0
    vacuumed_bytes: int = 0
    seconds: float = 0.0
    kept: tuple[str, ...] = ()

    def to_json(self) -> Mapping[str, Any]:
        """Return all fields by name."""
        return {
            "layer": self.table.layer,
            "table": self.table.name,
            "files_before": self.files_before,
            "files_after": self.files_after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "vacuumed_files": self.vacuumed_files,
            "vacuumed_bytes": self.vacuumed_bytes,
            "seconds": round(self.seconds, 2),
            "kept": list(self.kept),
        }


def left_alone(table: LakeTable, delta: DeltaTable, why: str) -> Maintenance:
    """Return a report that nothing was done, and why."""
    files, size = _size(delta)
    return Maintenance(
        table=table,
        files_before=files,
        files_after=files,
        bytes_before=size,
        bytes_after=size,
        kept=(why,),
    )


@dataclass(kw_only=True)
class TableMaintenance:
    """Maintenance of one table.

    Attributes:
        needs: needs of all its readers; None if unknown, so that nothing is deleted.
        writing: blocks other writers during a compaction. Raises BusyError if it cannot.
        retention_hours: how long unneeded files and log entries are kept.
    """

    table: LakeTable
    delta: DeltaTable
    uri: str
    options: Mapping[str, str]
    needs: Sequence[Need] | None
    retention_hours: float
    writing: Callable[[], AbstractContextManager[None]] = nullcontext
    pause: Callable[[float], None] = field(default=time.sleep)
    _kept: list[str] = field(default_factory=list)

    def run(self) -> Maintenance:
        """Do all maintenance that is possible now.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        started = time.monotonic()
        files_before, bytes_before = _size(self.delta)
        self._compact()
        self.delta.update_incremental()
        vacuumed = self._clean_up()
        files_after, bytes_after = _size(self.delta)
        return Maintenance(
            table=self.table,
            files_before=files_before,
            files_after=files_after,
            bytes_before=bytes_before,
            bytes_after=bytes_after,
            vacuumed_files=len(vacuumed),
            vacuumed_bytes=sum(vacuumed),
            seconds=time.monotonic() - started,
            kept=tuple(self._kept),
        )

    def _compact(self) -> None:
        try:
            with self.writing():
                self._compact_between_writers()
        except BusyError as error:
            self._kept.append(f"not compacted: {error}")
        except CompactionHeldError:
            self._kept.append("not compacted: another process compacts it")

    def _compact_between_writers(self) -> None:
        for tries in range(1, _TRIES + 1):
            self.delta.update_incremental()
            try:
                compact(self.delta)
            except CompactionLostError:
                # A writer is active: wait, and retry after it.
                if tries < _TRIES:
                    self.pause(2.0**tries)
            else:
                return
        self._kept.append("not compacted: writers kept interfering")

    def _clean_up(self) -> list[int]:
        log = DeltaLog(self.delta)
        if self.needs is None:
            self._kept.append("nothing deleted: the needs of its readers are unknown")
            self._checkpoint(log)
            return []
        table_id = str(self.delta.metadata().id)
        hold = oldest_hold(log, [need for need in self.needs if need.table_id == table_id])
        vacuumed = self._vacuum(hold)
        self._checkpoint(log)
        self._drop_log_entries(hold)
        return vacuumed

    def _vacuum(self, hold: Hold | None) -> list[int]:
        """Delete files of old versions.

        Returns:
            The size of each deleted file.
        """
        hours = math.ceil(max(self.retention_hours, self._needed_hours(hold)))
        # A full vacuum also deletes files of change feeds, and those that no commit ever named.
        # It selects them by age only, so it must not reach back to a time for which the table no
        # longer knows when files were removed.
        is_full = hours <= _hours(self.delta, "delta.deletedFileRetentionDuration")
        how: dict[str, Any] = {
            "retention_hours": hours,
            "enforce_retention_duration": False,
            "full": is_full,
        }
        doomed = set(self.delta.vacuum(dry_run=True, **how))
        # Delta lists removed files until their tombstones expire: some were deleted long ago.
        present = {path: size for path, size in self._files().items() if path in doomed}
        if present:
            self.delta.vacuum(dry_run=False, post_commithook_properties=NO_HOOKS, **how)
        return list(present.values())

    def _needed_hours(self, hold: Hold | None) -> float:
        if hold is None or hold.since is None:
            return 0.0
        hours = (datetime.now(tz=UTC) - hold.since).total_seconds() / 3600 + _MARGIN_HOURS
        if hours > self.retention_hours:
            self._kept.append(
                f"{hold.by} has read up to version {hold.version}: later ones are kept"
            )
        return hours

    def _checkpoint(self, log: DeltaLog) -> None:
        if log.checkpoint != self.delta.version():
            self.delta.create_checkpoint()

    def _drop_log_entries(self, hold: Hold | None) -> None:
        if self.retention_hours > _hours(self.delta, "delta.logRetentionDuration"):
            self._kept.append("log kept: the table's own retention is shorter")
            return
        table = self.delta
        if hold is not None and hold.version < table.version():
            # A clean-up keeps the entries that the version of its handle needs.
            table = DeltaTable(
                self.uri, version=hold.version, storage_options=addressed(self.uri, self.options)
            )
        table.cleanup_metadata()

    def _files(self) -> dict[str, int]:
        selector = pafs.FileSelector("", recursive=True)
        listed = files_of(self.delta).get_file_info(selector)
        return {str(file.path).lstrip("/"): file.size or 0 for file in listed if file.is_file}


def _size(delta: DeltaTable) -> tuple[int, int]:
    sizes = delta.get_add_actions().column("size_bytes").to_pylist()
    return len(sizes), sum(sizes)


def _hours(delta: DeltaTable, name: str) -> float:
    """Parse a table property such as `interval 168 hours`; a week if it has another form."""
    text = delta.metadata().configuration.get(name) or ""
    found = re.fullmatch(r"interval (\d+) (hour|day|week|minute|second)s?", text.strip())
    return int(found[1]) * _UNIT_HOURS[found[2]] if found else _WEEK_HOURS
