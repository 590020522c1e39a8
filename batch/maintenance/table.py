"""Maintenance of one table: compaction, vacuum, checkpoint, clean-up of the log, in this order.

A commit is only made where there is something to do, so maintenance of a table at rest leaves no
trace.
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
from batch.delta_log import DeltaLog, file_system
from batch.maintenance.needs import Hold, Need, oldest_hold
from lakehouse.delta import NO_HOOKS
from lakehouse.errors import BusyError
from lakehouse.maintenance import CompactionHeldError, CompactionLostError, compact

_TRIES = 3
_MARGIN_HOURS = 1
"""Files are written before the commit that names them: how long a commit may take."""
_UNIT_HOURS = {"hour": 1.0, "day": 24.0, "week": 168.0, "minute": 1 / 60, "second": 1 / 3600}
_WEEK_HOURS = 168.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """What was done to a table. Files and bytes are those of the current version.

    Attributes:
        vacuumed_files: files of older versions that were deleted.
        kept: what was left undone, and why.
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
        """All of it, by name."""
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
    """Nothing was done, and why."""
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
    """One table under maintenance.

    Attributes:
        needs: of all its readers; None when they could not be asked, so that nothing is deleted.
        writing: keeps other writers out while it compacts. Raises BusyError if it cannot.
        retention_hours: how long files and log entries stay that nobody needs.
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
        """Do all that can be done now.

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
            self._kept.append("not compacted: somebody else is at it")

    def _compact_between_writers(self) -> None:
        for tries in range(1, _TRIES + 1):
            self.delta.update_incremental()
            try:
                compact(self.delta)
            except CompactionLostError:
                # Its writer is at work: give way, and try again behind it.
                if tries < _TRIES:
                    self.pause(2.0**tries)
            else:
                return
        self._kept.append("not compacted: it is being written all the time")

    def _clean_up(self) -> list[int]:
        log = DeltaLog(self.delta, self.options)
        if self.needs is None:
            self._kept.append("nothing deleted: not known what its readers need")
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
            The size of each.
        """
        hours = math.ceil(max(self.retention_hours, self._needed_hours(hold)))
        # A full vacuum also takes the files of change feeds, and those that no commit ever named.
        # It tells them by their age alone, so it must not look at a time of which the table has
        # forgotten which files were removed when.
        is_full = hours <= _hours(self.delta, "delta.deletedFileRetentionDuration")
        how: dict[str, Any] = {
            "retention_hours": hours,
            "enforce_retention_duration": False,
            "full": is_full,
        }
        doomed = set(self.delta.vacuum(dry_run=True, **how))
        # Delta names removed files until their tombstones run out: some are long gone.
        present = {path: size for path, size in self._files().items() if path in doomed}
        if present:
            self.delta.vacuum(dry_run=False, post_commithook_properties=NO_HOOKS, **how)
        return list(present.values())

    def _needed_hours(self, hold: Hold | None) -> float:
        if hold is None or hold.since is None:
            return 0.0
        hours = (datetime.now(tz=UTC) - hold.since).total_seconds() / 3600 + _MARGIN_HOURS
        if hours > self.retention_hours:
            self._kept.append(f"{hold.by} has read up to version {hold.version}: the rest stays")
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
            # A clean-up keeps what the version of its handle is read from.
            table = DeltaTable(self.uri, version=hold.version, storage_options=dict(self.options))
        table.cleanup_metadata()

    def _files(self) -> dict[str, int]:
        selector = pafs.FileSelector("", recursive=True)
        listed = file_system(self.uri, self.options).get_file_info(selector)
        return {str(file.path).lstrip("/"): file.size or 0 for file in listed if file.is_file}


def _size(delta: DeltaTable) -> tuple[int, int]:
    sizes = delta.get_add_actions().column("size_bytes").to_pylist()
    return len(sizes), sum(sizes)


def _hours(delta: DeltaTable, name: str) -> float:
    """A table property such as `interval 168 hours`; a week where there is none of that form."""
    text = delta.metadata().configuration.get(name) or ""
    found = re.fullmatch(r"interval (\d+) (hour|day|week|minute|second)s?", text.strip())
    return int(found[1]) * _UNIT_HOURS[found[2]] if found else _WEEK_HOURS
