"""Files of a table that workers write, and the one commit that puts them in place."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from lakehouse.commit import a_few_times, until_known
from lakehouse.delta import CHECKPOINTS, with_watermarks, writer_of
from lakehouse.errors import RetryLaterError
from lakehouse.object_store import Put, addressed, put_below


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where files of a table go. Can be pickled, unlike the table."""

    uri: str
    options: tuple[tuple[str, str], ...]
    partition_by: tuple[str, ...]

    @classmethod
    def of(cls, delta: DeltaTable, options: Mapping[str, str]) -> "Place":
        """Return the place of a table."""
        return cls(
            uri=delta.table_uri,
            options=tuple(addressed(delta.table_uri, options).items()),
            partition_by=tuple(delta.metadata().partition_columns),
        )

    def write(self, rows: pa.Table) -> list[AddAction]:
        """Write files that no version of the table has yet; return what adds them to one.

        delta-rs writes them, with their statistics, as a table of their own on the local disk: it
        writes no files without a commit. Files that are never committed are vacuumed.
        """
        if not rows.num_rows:
            return []
        with tempfile.TemporaryDirectory(prefix="files-") as folder:
            write_deltalake(
                folder,
                rows,
                partition_by=list(self.partition_by),
                writer_properties=writer_of(rows.schema),
            )
            added = _added(Path(folder) / "_delta_log")
            for one in added:
                with pa.memory_map(str(Path(folder) / one.path)) as file:
                    _put(self)(one.path, file.read_buffer())
            return added


@cache
def _put(place: Place) -> Put:
    return put_below(place.uri, dict(place.options))


def _added(log: Path) -> list[AddAction]:
    (commit,) = log.glob("*.json")
    actions = [json.loads(line).get("add") for line in commit.read_text().splitlines()]
    return [
        AddAction(
            path=unquote(one["path"]),
            size=one["size"],
            partition_values=one["partitionValues"],
            modification_time=one["modificationTime"],
            data_change=True,
            stats=one["stats"],
        )
        for one in actions
        if one is not None
    ]


def replace_files(
    delta: DeltaTable,
    added: Sequence[AddAction],
    schema: pa.Schema,
    *,
    partition: tuple[str, str] | None = None,
    watermarks: Mapping[str, int],
) -> None:
    """Replace all rows of a table, and its schema, or those of one partition, in one commit.

    As any commit, a failure means *unknown*: the table is reopened, and searched for the files; if
    there are none to add, for none of what they replace, and for the watermarks. Commits of others
    to other partitions do no harm: all entities share the quarantine.

    Raises:
        RetryLaterError: the object store does not answer, or another program has changed these rows
            or watermarks since the table was opened.
    """
    paths = {one.path for one in added}
    opened = _state(delta, partition, watermarks)

    def is_made(found: "_State") -> bool:
        if paths:
            return paths <= found.paths
        return not found.paths and found.watermarks == dict(watermarks)

    def attempt() -> None:
        found = _state(delta, partition, watermarks)
        if found != opened:
            if is_made(found):
                return
            problem = f"{delta.table_uri} was changed by another program while it was computed"
            raise RetryLaterError(problem, "Run the same command again.")
        delta.create_write_transaction(
            list(added),
            "overwrite",
            schema,
            delta.metadata().partition_columns,
            [(partition[0], "=", partition[1])] if partition else None,
            commit_properties=with_watermarks(watermarks, is_alone=True),
            post_commithook_properties=CHECKPOINTS,
        )

    until_known(attempt, reopen=delta.update_incremental, wait=a_few_times(delta.table_uri))


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Files with the rows that are replaced, and the watermarks beside them."""

    paths: set[str]
    watermarks: dict[str, int | None]


def _state(
    delta: DeltaTable, partition: tuple[str, str] | None, watermarks: Mapping[str, int]
) -> _State:
    files = pl.DataFrame(pa.table(delta.get_add_actions(flatten=True)))
    if partition:
        files = files.filter(pl.col(f"partition.{partition[0]}") == partition[1])
    found = {app_id: delta.transaction_version(app_id) for app_id in watermarks}
    return _State(paths=set(files["path"]), watermarks=found)
