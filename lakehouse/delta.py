"""Delta tables: opening, creating, lazy scans, and commits with watermarks."""

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.errors import GoneError, PipelineError, StopPipelineError
from lakehouse.object_store import UNTRUSTED, addressed, trouble_of_client, way_out
from lakehouse.trouble import Service, Trouble, again, plain, told

# Clean-up of the log belongs to maintenance: commits must not wait for it.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
CHECKPOINT_COMMITS = 10
"""Commits between two checkpoints of a silver or gold table.

delta-rs (1.6) reads each later entry of the log twice to open a table, and all of them again for
each watermark: with 30 entries that takes eight times as long as with a checkpoint.
"""
CHECKPOINTS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
"""For tables with `table_properties`. Its errors mean *unknown*, as those of the commit do."""
_PACKED = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
_KEEP_ROWS = ("OPTIMIZE", "SET TBLPROPERTIES", "VACUUM START", "VACUUM END")
# Messages of delta-rs, and of Rust's crate `object_store` beneath delta-rs and Polars.
_SAID: Sequence[tuple[str, Trouble]] = (
    (r"XMinioStorageFull|507 Insufficient Storage|No space left on device", Trouble.FULL),
    (UNTRUSTED, Trouble.RIGHTS),
    (
        r"lacked the necessary privileges|lacked valid authentication"
        r"|: ?(↳ )?40[13] (Forbidden|Unauthorized)",
        Trouble.RIGHTS,
    ),
    (r"<Code>NoSuchBucket</Code>", Trouble.SCHEMA),
    (r"Object at location \S+ not found|File not found: |No files in log segment", Trouble.GONE),
    (r"LogSegment end version \d+ not the same|Invalid table version", Trouble.GONE),
    (
        r"Failed to commit transaction|Commit failed: |[Cc]oncurrent transaction"
        r"|maximum commit attempts|Tried committing existing table version|precondition failure"
        r"|changed since last commit|Object at location \S+ already exists",
        Trouble.BUSY,
    ),
    (r"object-store error|Generic S3 error|Object [Ss]tore error|\d+ retries", Trouble.AWAY),
)
_BY_TYPE: Sequence[tuple[type[Exception] | tuple[type[Exception], ...], Trouble]] = (
    (CommitFailedError, Trouble.BUSY),
    ((TableNotFoundError, FileNotFoundError), Trouble.GONE),
)
_MAY_BE_OF_STORE = (DeltaError, OSError, pl.exceptions.PolarsError, pa.ArrowException)


def open_table(
    uri: str, options: Mapping[str, str], *, version: int | None = None
) -> DeltaTable | None:
    """Open the table at `uri`, by default its newest version; None if it does not exist.

    Raises:
        GoneError: the table exists, but this version no longer does.
        RetryLaterError: the object store does not answer.
    """
    with retry_later(f"{uri} does not open"):
        try:
            return DeltaTable(uri, version=version, storage_options=addressed(uri, options))
        except TableNotFoundError:
            # delta-rs (1.6) raises the same for a version whose log entries were cleaned up.
            if version is None or not DeltaTable.is_deltatable(uri, addressed(uri, options)):
                return None
    problem = f"{uri} no longer has version {version}: it is beyond the table's retention"
    raise GoneError(problem, "Reopen it.")


def open_or_create(
    uri: str,
    options: Mapping[str, str],
    schema: pa.Schema,
    *,
    partition_by: Sequence[str] = (),
    properties: Mapping[str, str],
) -> DeltaTable:
    """Open the table at `uri`, or create it. Concurrent creation yields one table.

    Raises:
        Exception: any error of the store; retrying is safe.
    """
    try:
        return DeltaTable(uri, storage_options=addressed(uri, options))
    except TableNotFoundError:
        pass
    try:
        return DeltaTable.create(
            uri,
            schema,
            mode="error",
            partition_by=list(partition_by),
            storage_options=addressed(uri, options),
            configuration=dict(properties),
            raise_if_key_not_exists=False,
        )
    except DeltaError:
        # Another process created it in between; if not, opening it raises the actual error.
        return DeltaTable(uri, storage_options=addressed(uri, options))


def files_of(table: DeltaTable) -> pafs.FileSystem:
    """Return the file system below a table, through the client that its handle has.

    delta-rs (1.6) makes a client of the object store for each handle, and reads all of the system's
    certificates for it: that takes ten times as long as listing a log.
    """
    return pafs.PyFileSystem(DeltaStorageHandler.from_table(table._table))  # noqa: SLF001


def scan(table: DeltaTable) -> pl.LazyFrame:
    """Scan the rows of this version. Filters skip files by partition and by statistics."""
    return pl.scan_delta(table)


def has_only_grown(table: DeltaTable, since: int) -> bool:
    """Return whether commits after a version only added rows or compacted files.

    False also if that is unknown because log entries were removed after the table's retention.
    """
    commits = table.version() - since
    if commits <= 0:
        return commits == 0
    told = _history(table, commits)
    return len(told) == commits and all(_only_adds(one) for one in told)


def _history(table: DeltaTable, commits: int) -> list[dict[str, Any]]:
    """Return the last commits up to this version, newest first; fewer if the log has fewer."""
    while True:
        # delta-rs (1.6) also lists commits made since, and numbers all of them from this version:
        # the right count is known only while the log does not change.
        newest = _newest(table)
        told = table.history(commits)
        if _newest(table) == newest:
            return told[newest - table.version() :]


def _newest(table: DeltaTable) -> int:
    return int(table._table.get_latest_version())  # noqa: SLF001


def _only_adds(commit: Mapping[str, Any]) -> bool:
    is_append = commit.get("operationParameters", {}).get("mode") == "Append"
    return commit.get("operation") in _KEEP_ROWS or (
        commit.get("operation") == "WRITE" and is_append
    )


def trouble_of_store(error: BaseException) -> Trouble | None:
    """Classify an error of delta-rs, Polars, PyArrow, MinIO's client or a file system.

    None if it is not an error of a store, such as a mistake in a query or a value that Python
    cannot hold.

    Types are not enough: delta-rs raises DeltaError for an unavailable store, a conflict, an
    invalid number, and errors of a generator of rows; OSError for a wrong password; a plain
    Exception for a cast. So for the types that a store can raise, the text decides.
    """
    if isinstance(error, S3Error | HTTPError):
        return trouble_of_client(error)
    if not isinstance(error, _MAY_BE_OF_STORE) and type(error) is not Exception:
        return None
    text = plain(error)
    said = next((kind for words, kind in _SAID if re.search(words, text)), None)
    said = next((kind for types, kind in _BY_TYPE if isinstance(error, types)), said)
    if said is not None:
        return said
    if isinstance(error, pl.exceptions.PolarsError | pa.ArrowException):
        return None
    return _of_system(error) if isinstance(error, OSError) else Trouble.DATA


def _of_system(error: OSError) -> Trouble:
    if isinstance(error, PermissionError):
        return Trouble.RIGHTS
    return Trouble.FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else Trouble.AWAY


def is_of_store(error: BaseException) -> bool:
    """Return whether an error may come from the object store, so that a retry may help."""
    trouble = trouble_of_store(error)
    return trouble is not None and trouble.passes


@contextmanager
def retry_later(what: str, *, then: str | None = None) -> Iterator[None]:
    """Convert errors of the object store to `PipelineError`. Programming errors pass unchanged.

    Args:
        what: what failed, as the beginning of a sentence.
        then: the action in the message, if the trouble passes.

    Raises:
        RetryLaterError: the object store is unavailable or full, a concurrent commit won, or a file
            is gone.
        StopPipelineError: the user lacks a permission, or a table rejects a value.
    """
    try:
        yield
    except Exception as error:
        explained = explain_store(error, what, then=then)
        if explained is None:
            raise
        raise explained from error


def explain_store(
    error: BaseException, what: str, *, then: str | None = None
) -> PipelineError | None:
    """Convert an error as `retry_later` does; None for a programming error."""
    trouble = trouble_of_store(error)
    if trouble is None:
        return None
    ways_out = {**(again(then) if then else {}), **way_out(error)}
    return told(trouble, Service.STORE, what, error, then=ways_out)


def writer_of(schema: pa.Schema) -> WriterProperties:
    """Return how the files of a table with this schema are written.

    Integers, days and instants are stored as differences: a dictionary takes longer to build, and
    those of coordinates and keys are thrown away once they are too large.
    """
    packed = [one.name for one in schema if _is_whole(one.type)]
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        column_properties=dict.fromkeys(packed, _PACKED),
    )


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_temporal(kind))


def schema_of(table: DeltaTable) -> pa.Schema:
    """Return the schema of a table."""
    return pa.schema(table.schema().to_arrow())


def require_no_deletion_vectors(table: DeltaTable) -> None:
    """Refuse the change feed of a table whose rows another engine may have marked as deleted.

    delta-rs (1.6) names the marked rows as deleted in the feed of a later overwrite, and misses
    those that this one removed: what follows the feed would keep them for good.

    Raises:
        StopPipelineError: the table may have deletion vectors.
    """
    if "deletionVectors" in (table.protocol().reader_features or []):
        problem = f"{table.table_uri} may have deletion vectors, so its change feed is incomplete"
        # Without TRUNCATE HISTORY, the feature checkpointProtection comes in its place, with which
        # delta-rs (1.6) does not write. A rebuild keeps the features of the table.
        action = (
            "Remove the table from the object store, log included; or, in the engine that enabled "
            "them, set delta.enableDeletionVectors=false, then ALTER TABLE … DROP FEATURE "
            "deletionVectors TRUNCATE HISTORY, and once more after 24 hours. Then run ./pipeline "
            "rebuild --layer silver, and the same for gold and the warehouse."
        )
        raise StopPipelineError(problem, action)


def table_properties(*, retention_hours: int, has_change_feed: bool) -> dict[str, str]:
    """Return the configuration of a silver or gold table."""
    retention = f"interval {retention_hours} hours"
    feed = {"delta.enableChangeDataFeed": "true"} if has_change_feed else {}
    return {
        "delta.logRetentionDuration": retention,
        "delta.deletedFileRetentionDuration": retention,
        "delta.enableExpiredLogCleanup": "true",
        "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
        # Whatever another engine sets for the tables that it writes to.
        "delta.enableDeletionVectors": "false",
        **feed,
    }


def with_watermarks(watermarks: Mapping[str, int], *, is_alone: bool = False) -> CommitProperties:
    """Return commit properties that carry watermarks.

    Args:
        watermarks: the last position applied, by app id.
        is_alone: fail if anything was committed since the table was opened. An overwrite needs
            that: delta-rs would commit it after a compaction, whose files it does not replace; and
            so does an append of rows that the table must not have yet.

    Protocol: Delta's application transactions, see its protocol, "Transaction Identifiers".
    """
    return CommitProperties(
        app_transactions=[Transaction(*one) for one in watermarks.items()],
        max_commit_retries=0 if is_alone else None,
    )
