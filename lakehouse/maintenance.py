"""Maintenance of Delta tables: compaction, checkpoints, removal of old log entries and files.

Runs beside writers and readers. A compaction changes no data (`dataChange` false), so it adds no
rows to a change feed; if it loses a conflict, it is skipped until the next time.

Two compactions of the same files must not overlap: delta-rs detects no conflict between them, both
commit, and every row exists twice. So a compaction holds the table's lease, an app transaction
whose version is its expiry, in microseconds since 1970; 0 means free. Claims conflict, so only one
succeeds. The lease of a process that died expires. Whoever takes over an expired lease first sets a
table property, which conflicts with every commit begun before: if the former owner is still
alive, its compaction fails.

An overwrite without predicate does not conflict with a compaction either: disable its retries
(`max_commit_retries=0`), and begin again on a new handle.
"""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from lakehouse.delta import NO_HOOKS, schema_of, with_watermarks, writer_of
from lakehouse.errors import RetryLaterError
from lakehouse.object_store import addressed
from lakehouse.shop_time import shop_time

LEASE_APP_ID = "maintenance/lease"
FENCE_PROPERTY = "shop.maintenance_fence"
TARGET_BYTES = 64 * 1024 * 1024
COMPACT_COMMITS = 200
"""Commits of a bronze table between two compactions, about a quarter of an hour while the shop is
busy: a table has few files, and rewriting its new files costs little beside landing them."""
_LEASE_SECONDS = 600
_POLL_SECONDS = 0.5
_NOBODY = 0

Clock = Callable[[], float]
"""Returns seconds since 1970. Different clocks only make leases last longer or shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Result of one maintenance of a table."""

    files_removed: int = 0
    files_added: int = 0
    files_vacuumed: int = 0


class CompactionHeldError(RetryLaterError):
    """Another process compacts the table, or holds a lease that has not expired."""


class CompactionLostError(RetryLaterError):
    """A writer changed files that were being compacted; its commit stands."""


def maintain(uri: str, options: Mapping[str, str], *, retention_hours: int) -> Done:
    """Compact small files, drop files and log entries past retention, write a checkpoint.

    Readers of a version younger than the retention keep their files.
    """
    table = DeltaTable(uri, storage_options=addressed(uri, options))
    done = Done()
    with contextlib.suppress(CompactionHeldError, CompactionLostError):
        done = compact(table)
    table.update_incremental()
    vacuumed = table.vacuum(
        retention_hours=retention_hours,
        dry_run=False,
        enforce_retention_duration=False,
        post_commithook_properties=NO_HOOKS,
    )
    table.create_checkpoint()
    table.cleanup_metadata()
    return Done(
        files_removed=done.files_removed,
        files_added=done.files_added,
        files_vacuumed=len(vacuumed),
    )


def compact(table: DeltaTable, *, clock: Clock = time.time) -> Done:
    """Compact small files of a partition, and leave `table` at the newest version.

    Raises:
        CompactionHeldError: another compaction is running.
        CompactionLostError: concurrent writers won.
    """
    if not uncompacted_files(table):
        return Done()
    with lease(table, clock):
        try:
            metrics = table.optimize.compact(
                target_size=TARGET_BYTES,
                max_concurrent_tasks=1,
                # One commit per partition: a conflict in one does not cost the others.
                min_commit_interval=0,
                writer_properties=writer_of(schema_of(table)),
                post_commithook_properties=NO_HOOKS,
            )
        except CommitFailedError as error:
            message = f"{table.table_uri}: concurrent writes prevented the compaction: {error}"
            raise CompactionLostError(message) from error
    return Done(files_removed=metrics["numFilesRemoved"], files_added=metrics["numFilesAdded"])


def uncompacted_files(table: DeltaTable) -> int:
    """Return how many files are in partitions of which a compaction would join some."""
    files = pl.DataFrame(pa.table(table.get_add_actions(flatten=True)))
    if files.is_empty():
        return 0
    partition = [name for name in files.columns if name.startswith("partition.")]
    smallest = pl.col("size_bytes").bottom_k(2)
    pairs = files.group_by(partition or pl.lit(0)).agg(pl.len(), smallest.sum())
    joined = pairs.filter((pl.col("len") > 1) & (pl.col("size_bytes") <= TARGET_BYTES))
    return int(joined["len"].sum())


@contextlib.contextmanager
def lease(
    table: DeltaTable,
    clock: Clock = time.time,
    *,
    seconds: int = _LEASE_SECONDS,
    notes: "LeaseNotes | None" = None,
    patience_seconds: float = 0,
) -> Iterator[None]:
    """Block other compactions of the table within the block. `table` is left at its newest version.

    Args:
        table: a handle on it.
        clock: returns the current time.
        seconds: how long the lease lasts if its owner dies.
        notes: where to record the lease, so that a restarted process recognizes it as its own.
        patience_seconds: how long to wait for another owner.

    Raises:
        CompactionHeldError: another process holds it.
    """
    deadline = time.monotonic() + patience_seconds
    until = None
    while until is None:
        try:
            until = _claim(table, clock, seconds, notes)
        except CompactionHeldError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
            table.update_incremental()
    try:
        yield
    finally:
        # If it cannot be released, it expires.
        with contextlib.suppress(DeltaError, OSError):
            table.update_incremental()
            if table.transaction_version(LEASE_APP_ID) == until:
                _write_lease(table, _NOBODY)


class LeaseNotes:
    """Leases claimed by a process, recorded in a file that stays locked while the process lives.

    A process restarted after a kill takes over its own lease; others wait until it expires.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator["LeaseNotes"]:
        """Open the notes in a file.

        Raises:
            CompactionHeldError: another live process has the file locked.
        """
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                problem = f"Another process does the same: it holds {path}"
                raise CompactionHeldError(problem, "Wait until it ends.") from error
            yield cls(file)

    def __contains__(self, until: int) -> bool:
        self._file.seek(0)
        return str(until) in self._file.read().split()

    def add(self, until: int) -> None:
        """Record a lease before it is claimed."""
        self._file.write(f"{until}\n")
        self._file.flush()


def _claim(
    table: DeltaTable,
    clock: Clock,
    seconds: int = _LEASE_SECONDS,
    notes: LeaseNotes | None = None,
) -> int:
    now = int(clock() * 1_000_000)
    until = now + seconds * 1_000_000
    held = table.transaction_version(LEASE_APP_ID) or _NOBODY
    is_ours = notes is not None and held in notes
    if held > now and not is_ours:
        ends_at = datetime.fromtimestamp(held / 1_000_000, UTC)
        problem = f"{table.table_uri}: another process compacts or replays it, or died doing so"
        action = f"It is free again by {shop_time(ends_at)} at the latest. Try again then."
        raise CompactionHeldError(problem, action)
    try:
        if held != _NOBODY:
            _fence(table, now, held)
        if notes is not None:
            notes.add(until)
        _write_lease(table, until)
    except CommitFailedError as error:
        problem = f"{table.table_uri}: another process begins to compact it"
        raise CompactionHeldError(problem, "Try again.") from error
    return until


def _fence(table: DeltaTable, now: int, held: int) -> None:
    """Make every commit fail that began before now."""
    table.alter.set_table_properties({FENCE_PROPERTY: str(now)}, raise_if_not_exists=False)
    table.update_incremental()
    if table.transaction_version(LEASE_APP_ID) != held:
        problem = f"{table.table_uri}: another process has just begun to compact it"
        raise CompactionHeldError(problem, "Try again.")


def _write_lease(table: DeltaTable, until: int) -> None:
    nothing = pa.schema(table.schema().to_arrow()).empty_table()
    write_deltalake(
        table,
        nothing,
        mode="append",
        commit_properties=with_watermarks({LEASE_APP_ID: until}),
        post_commithook_properties=NO_HOOKS,
    )
