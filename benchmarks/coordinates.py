"""Rows of a table on MinIO, counted by the coordinate of the message that each came from."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow.fs as pafs
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a table calls partition, offset and value of a message."""

    partition: str = "partition"
    offset: str = "offset"
    value: str = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Rows, by the messages that they came from.

    Attributes:
        rows: all rows.
        lost: messages without a row.
        doubled: rows beyond the first of their message.
        bytes: of the values, each message counted once.
    """

    rows: int
    lost: int
    doubled: int
    bytes: int


def counted(coordinates: pl.LazyFrame, messages: int) -> Count:
    """Count rows.

    Args:
        coordinates: `partition`, `offset` and `bytes` of the value, of each row.
        messages: how many the topic has; their offsets have no holes.
    """
    once = coordinates.unique(["partition", "offset"]).select(pl.len(), pl.col("bytes").sum())
    rows, distinct = pl.collect_all([coordinates.select(pl.len()), once], engine="streaming")
    found, size = distinct.row(0)
    return Count(
        rows=rows.item(), lost=messages - found, doubled=rows.item() - found, bytes=size or 0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A Delta table, or Parquet files without a log, of any system."""

    uri: str
    options: Mapping[str, str]
    is_delta: bool = True
    columns: Columns = Columns()

    def coordinates(self) -> pl.LazyFrame:
        """Return `partition`, `offset` and `bytes` of the value, of each row."""
        value = pl.col(self.columns.value)
        return self._rows().select(
            pl.col(self.columns.partition).alias("partition"),
            pl.col(self.columns.offset).alias("offset"),
            value.cast(pl.Binary).bin.size().cast(pl.Int64).alias("bytes"),
        )

    def watched(self) -> Callable[[], int]:
        """Return what tells how many rows a reader sees at the moment.

        It asks for names, and reads only what is new: a commit is seen some milliseconds later.
        """
        files = pafs.S3FileSystem(
            access_key=self.options["AWS_ACCESS_KEY_ID"],
            secret_key=self.options["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self.options["AWS_ENDPOINT_URL"],
            region=self.options["AWS_REGION"],
        )
        path = self.uri.removeprefix("s3://")
        folder = f"{path}/_delta_log" if self.is_delta else path
        chosen = pafs.FileSelector(folder, allow_not_found=True)
        seen: dict[str, int] = {}

        def rows() -> int:
            for file in files.get_file_info(chosen):
                if file.path not in seen and self._counts(file):
                    seen[file.path] = self._rows_of(files, file.path)
            return sum(seen.values())

        return rows

    def _counts(self, file: pafs.FileInfo) -> bool:
        return bool(re.match(r"\d+\.json$" if self.is_delta else "part-", file.base_name))

    def _rows_of(self, files: pafs.FileSystem, path: str) -> int:
        if not self.is_delta:
            return int(pq.read_metadata(path, filesystem=files).num_rows)
        actions = map(json.loads, files.open_input_stream(path).read().splitlines())
        added = (json.loads(action["add"]["stats"]) for action in actions if "add" in action)
        return sum(int(stats["numRecords"]) for stats in added)

    def _rows(self) -> pl.LazyFrame:
        if self.is_delta:
            return pl.scan_delta(self.uri, storage_options=dict(self.options))
        return pl.scan_parquet(f"{self.uri}/part-*", storage_options=dict(self.options))
