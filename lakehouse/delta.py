"""Delta tables: opened, created once, read lazily, and committed with their watermarks."""

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakehouse.errors import RetryLaterError

# Checkpoints and clean-up belong to maintenance: a commit must not wait for them.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def open_table(
    uri: str, options: Mapping[str, str], *, version: int | None = None
) -> DeltaTable | None:
    """The table at `uri`, by default its newest version; None when there is none.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    try:
        return DeltaTable(uri, version=version, storage_options=dict(options))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        message = f"{uri} does not open: {error}. Is MinIO up? ./pipeline status"
        raise RetryLaterError(message) from error


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
