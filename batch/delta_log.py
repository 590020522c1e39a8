"""Entries of a Delta table's log that delta-rs does not expose.

Protocol: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, "Delta Log Entries" and
"Checkpoints".
"""

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakehouse.delta import files_of, retry_later

_ENTRY = re.compile(r"/(\d{20})\.json$")
_CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint(?:\.\d+\.\d+)?\.parquet$")
_READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One version. `changes_data` is false for compactions, vacuums and empty commits."""

    version: int
    at: datetime
    changes_data: bool


class DeltaLog:
    """The log of one table, up to the version of its handle.

    All methods raise RetryLaterError if the store does not answer, or if a log clean-up interferes.
    """

    def __init__(self, table: DeltaTable) -> None:
        self._table = table
        self._version = table.version()
        self._files = files_of(table)
        self._listed = self._list()
        self._entries: dict[int, str] = {}
        self._checkpoints: dict[int, list[str]] = {}
        for path in self._listed:
            if entry := _ENTRY.search(path):
                self._entries[int(entry[1])] = path
            elif part := _CHECKPOINT.search(path):
                self._checkpoints.setdefault(int(part[1]), []).append(path)
        self._entries = {v: path for v, path in self._entries.items() if v <= self._version}
        self._checkpoints = {v: p for v, p in self._checkpoints.items() if v <= self._version}
        self._known: tuple[int, dict[str, int]] = (-1, {})

    def again(self) -> "DeltaLog | None":
        """Bring the handle to the newest version and return its log; what is known is not read.

        None if the handle's version is gone, or another table was made in its place.
        """
        listed = self._list()
        path = self._entries.get(self._version, "")
        if path not in listed or listed[path] != self._listed[path]:
            return None
        entries = map(_ENTRY.search, listed)
        if max(int(entry[1]) for entry in entries if entry) == self._version:
            return self
        with retry_later(f"{self._table.table_uri}: its log cannot be read"):
            self._table.update_incremental()
        log = DeltaLog(self._table)
        log._known = self._version, self.transactions()
        return log

    @property
    def checkpoint(self) -> int | None:
        """Return the version of the newest checkpoint."""
        return max(self._checkpoints, default=None)

    def transactions(self) -> dict[str, int]:
        """Return the version of every app transaction, by app id."""
        version, known = self._known
        found = dict(known)
        if self.checkpoint is not None and self.checkpoint > version:
            version = self.checkpoint
            for path in self._checkpoints[version]:
                found |= self._in_checkpoint(path)
        newer = [number for number in sorted(self._entries) if number > version]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            for actions in pool.map(self._read, newer):
                found |= {a["txn"]["appId"]: a["txn"]["version"] for a in actions if "txn" in a}
        self._known = self._version, found
        return found

    def after(self, version: int) -> Iterator[Commit]:
        """Yield the commits after a version in order, each read when it is requested.

        Ends at the first commit that no longer exists.
        """
        for number in range(version + 1, self._version + 1):
            if number not in self._entries:
                return
            yield _commit(number, self._read(number))

    def before(self, version: int) -> Iterator[Commit]:
        """Yield the commits up to a version, inclusive, backwards."""
        for number in range(version, -1, -1):
            if number not in self._entries:
                return
            yield _commit(number, self._read(number))

    def holds_all_after(self, version: int) -> bool:
        """Return whether the log entries of all later commits still exist."""
        return all(n in self._entries for n in range(version + 1, self._version + 1))

    def _list(self) -> dict[str, tuple[int, int]]:
        """Return size and time of all files of the log, by path."""
        with retry_later(f"{self._table.table_uri}: its log cannot be listed"):
            files = self._files.get_file_info(pafs.FileSelector("_delta_log"))
        return {file.path: (file.size, file.mtime_ns) for file in files}

    def _in_checkpoint(self, path: str) -> dict[str, int]:
        with (
            retry_later(f"{self._table.table_uri}: {path} cannot be read"),
            self._files.open_input_file(path) as file,
        ):
            column = pq.read_table(file, columns=["txn"])["txn"]
        actions = [action for action in column.to_pylist() if action is not None]
        return {action["appId"]: action["version"] for action in actions}

    def _read(self, version: int) -> list[dict[str, Any]]:
        path = self._entries[version]
        with (
            retry_later(f"{self._table.table_uri}: {path} cannot be read"),
            self._files.open_input_stream(path) as file,
        ):
            lines = file.read().splitlines()
        return [json.loads(line) for line in lines if line]


def _commit(version: int, actions: list[dict[str, Any]]) -> Commit:
    milliseconds = next((a["commitInfo"]["timestamp"] for a in actions if "commitInfo" in a), 0)
    return Commit(
        version=version,
        at=datetime.fromtimestamp(milliseconds / 1000, tz=UTC),
        changes_data=any(map(_changes_data, actions)),
    )


def _changes_data(action: Mapping[str, Any]) -> bool:
    return "cdc" in action or any(
        action[kind]["dataChange"] for kind in ("add", "remove") if kind in action
    )
