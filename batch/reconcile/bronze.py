"""Bronze as reconciliation reads it: Delta tables, watermarks, and records in frames."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from deltalake.exceptions import TableNotFoundError

from batch.reconcile.records import COORDINATE, READ_COLUMNS
from lakehouse.delta import open_table, retry_later, scan
from lakehouse.lake import BRONZE_SCHEMA, table_uri
from lakehouse.offsets import TopicPartition

if TYPE_CHECKING:
    from deltalake import DeltaTable

_FRAME_ROWS = 32_768


class BronzeTable:
    """One version of a bronze table; `refresh` advances it to the newest. It may not exist yet."""

    def __init__(self, bucket: str, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self._uri = table_uri(bucket, name)
        self._options = dict(options)
        self._delta: DeltaTable | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the newest version.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        if self._delta is None:
            self._delta = open_table(self._uri, self._options)
            return
        with retry_later(f"{self._uri} does not open"), contextlib.suppress(TableNotFoundError):
            self._delta.update_incremental()

    def watermark(self, partition: TopicPartition) -> int | None:
        """Return the last offset landed; None if there is none."""
        return None if self._delta is None else self._delta.transaction_version(partition.app_id)

    @property
    def version(self) -> int | None:
        """Return the Delta version that is read; None if there is no table."""
        return None if self._delta is None else self._delta.version()

    @property
    def size(self) -> tuple[int, int]:
        """Return the number of records, and the size of their compressed files in bytes."""
        if self._delta is None:
            return 0, 0
        files = pl.DataFrame(self._delta.get_add_actions(flatten=True))
        return int(files["num_records"].sum()), int(files["size_bytes"].sum())

    def records_at(self, coordinates: pl.DataFrame) -> pl.DataFrame:
        """Return `key`, `value` and coordinate of the records at these coordinates."""
        if self._delta is None:
            return pl.DataFrame(schema=pl.Schema(BRONZE_SCHEMA)).select("key", "value", *COORDINATE)
        first, last = coordinates["_offset"].min(), coordinates["_offset"].max()
        rows = scan(self._delta).filter(pl.col("_offset").is_between(first, last))
        wanted = rows.select("key", "value", *COORDINATE)
        return wanted.join(
            coordinates.select(COORDINATE).lazy(), on=COORDINATE, how="semi"
        ).collect()

    def records(self) -> Iterator[pl.DataFrame]:
        """Yield `READ_COLUMNS` of every record, in no particular order."""
        if self._delta is None:
            return
        held: list[pl.DataFrame] = []
        for batch in pa.RecordBatchReader.from_stream(self._delta.scan(list(READ_COLUMNS))):
            held.append(pl.DataFrame(batch))
            if sum(frame.height for frame in held) >= _FRAME_ROWS:
                yield pl.concat(held)
                held = []
        if held:
            yield pl.concat(held)
