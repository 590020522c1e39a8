"""Delta tables: opened, created once, read lazily, and committed with their watermarks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
)
from deltalake.exceptions import DeltaError, SchemaMismatchError, TableNotFoundError

from lakehouse.errors import RetryLaterError

# Checkpoints and clean-up belong to maintenance: a commit must not wait for them.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
WRITER = WriterProperties(compression="ZSTD", compression_level=1)
_KEEP_ROWS = ("OPTIMIZE", "SET TBLPROPERTIES", "VACUUM START", "VACUUM END")
# How Rust's crate `object_store`, under both libraries, begins what it has to say.
_STORE_SAYS = ("object-store error", "Generic S3 error")


def open_table(
    uri: str, options: Mapping[str, str], *, version: int | None = None
) -> DeltaTable | None:
    """The table at `uri`, by default its newest version; None when there is none.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    with retry_later(f"{uri} does not open"):
        try:
            return DeltaTable(uri, version=version, storage_options=dict(options))
        except TableNotFoundError:
            return None


def open_or_create(
    uri: str,
    options: Mapping[str, str],
    schema: pa.Schema,
    *,
    partition_by: Sequence[str] = (),
    properties: Mapping[str, str],
) -> DeltaTable:
    """The table at `uri`. Two that create it at once get the same table.

    Raises:
        Exception: whatever the store raises; trying again is safe.
    """
    try:
        return DeltaTable(uri, storage_options=dict(options))
    except TableNotFoundError:
        pass
    try:
        return DeltaTable.create(
            uri,
            schema,
            mode="error",
            partition_by=list(partition_by),
            storage_options=dict(options),
            configuration=dict(properties),
            raise_if_key_not_exists=False,
        )
    except DeltaError:
        # Somebody else created it in between; if not, opening it says what is wrong.
        return DeltaTable(uri, storage_options=dict(options))


def scan(table: DeltaTable) -> pl.LazyFrame:
    """The rows of this version. Filters skip files by partition and by statistics."""
    return pl.scan_delta(table)


def has_only_grown(table: DeltaTable, since: int) -> bool:
    """Whether commits after a version have added rows or moved them, and no more than that.

    False also where the log does not tell any more: its entries go after the table's retention.
    """
    commits = table.version() - since
    if commits <= 0:
        return commits == 0
    told = _history(table, commits)
    return len(told) == commits and all(_only_adds(one) for one in told)


def _history(table: DeltaTable, commits: int) -> list[dict[str, Any]]:
    """Of these last commits up to this version, the newest first; fewer where the log has fewer."""
    while True:
        # delta-rs (1.6) lists what others have committed since, too, and gives all of them numbers
        # as if there were none: how many there are, only a log that stands still tells.
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


def is_of_store(error: Exception) -> bool:
    """Whether an error can come from the object store, so that trying again may help.

    Both delta-rs and Polars raise OSError when the store does not answer. A merge wraps that in a
    DeltaError, as a conflict is one. Polars raises ComputeError for mistakes in a query, too: there
    only the text tells what the store said.
    """
    if isinstance(error, SchemaMismatchError):
        return False
    if isinstance(error, pl.exceptions.ComputeError):
        return any(words in str(error) for words in _STORE_SAYS)
    return isinstance(error, DeltaError | OSError)


@contextmanager
def retry_later(what: str, *, then: str = "Is MinIO up? ./pipeline status") -> Iterator[None]:
    """Let errors of the object store ask for another try. Mistakes of ours stay what they are.

    Args:
        what: cannot be done, as the beginning of a sentence.
        then: what to do about it.

    Raises:
        RetryLaterError: the object store does not answer, or somebody else commits.
    """
    try:
        yield
    except Exception as error:
        if not is_of_store(error):
            raise
        message = f"{what}: {error}. {then}"
        raise RetryLaterError(message) from error


def table_properties(*, retention_hours: int, has_change_feed: bool) -> dict[str, str]:
    """Configuration of a silver or gold table."""
    retention = f"interval {retention_hours} hours"
    feed = {"delta.enableChangeDataFeed": "true"} if has_change_feed else {}
    return {
        "delta.logRetentionDuration": retention,
        "delta.deletedFileRetentionDuration": retention,
        "delta.enableExpiredLogCleanup": "true",
        **feed,
    }


def with_watermarks(watermarks: Mapping[str, int], *, is_alone: bool = False) -> CommitProperties:
    """Let a commit carry watermarks, by app id.

    Args:
        watermarks: the last position taken in, by app id.
        is_alone: fail if anything was committed since the table was opened. An overwrite needs
            that: delta-rs would let it follow a compaction, whose files it does not replace.

    Protocol: Delta's application transactions, see its protocol, "Transaction Identifiers".
    """
    return CommitProperties(
        app_transactions=[Transaction(*one) for one in watermarks.items()],
        max_commit_retries=0 if is_alone else None,
    )
