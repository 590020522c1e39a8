"""Bronze's Parquet files, written for the least work per record: the processor limits landing.

delta-rs would plan a query over the rows and copy them on the way. Here each column is encoded
straight from the buffered records, in the encoding that suits it. Names and statistics are those of
delta-rs (1.6).
"""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.object_store import Put

PARTITION = "_date"
STATISTICS = ("_partition", "_offset", "_timestamp")
"""Columns with statistics in the log: those of whole JSON documents would cost more than they could
save."""
_PAGE_BYTES = 256 * 1024
"""A page is encoded and compressed while the processor has it in its cache."""
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
# Columns of a few values, which repeat.
_DICTIONARY = ["_topic_id", "_epoch", "_partition"]
# Not for values: it copies them once more than the plain encoding, and saves 1 % of the file.
_ENCODINGS = {
    "key": "DELTA_LENGTH_BYTE_ARRAY",
    "_offset": "DELTA_BINARY_PACKED",
    "_timestamp": "DELTA_BINARY_PACKED",
}


def write_files(rows: pa.Table, put: Put) -> list[AddAction | RemoveAction]:
    """Write a file for each date, and return the actions that add them to the table.

    A file that no commit adds is invisible; vacuum removes it.

    Args:
        rows: columns of `BRONZE_SCHEMA`.
        put: stores a file below the table.
    """
    return [_write(part, day, put) for day, part in _by_date(rows)]


def _by_date(rows: pa.Table) -> Iterator[tuple[date | None, pa.Table]]:
    dates, data = rows[PARTITION], rows.drop_columns([PARTITION])
    days = pc.unique(dates)
    for day in days:
        is_of_day = pc.equal(dates, day) if day.is_valid else dates.is_null()
        yield day.as_py(), data if len(days) == 1 else data.filter(is_of_day)


def _write(rows: pa.Table, day: date | None, put: Put) -> AddAction:
    path = f"{PARTITION}={day or _NULL_PARTITION}/part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    file = pa.BufferOutputStream()
    encode(rows, file)
    content = file.getvalue()
    put(path, content)
    return AddAction(
        path=path,
        size=content.size,
        partition_values={PARTITION: None if day is None else day.isoformat()},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(_statistics(rows)),
    )


def encode(rows: pa.Table, file: pa.NativeFile) -> None:
    """Write rows to a Parquet file."""
    pq.write_table(
        rows,
        file,
        row_group_size=len(rows),
        compression="zstd",
        compression_level=1,
        use_dictionary=_DICTIONARY,
        column_encoding=_ENCODINGS,
        data_page_size=_PAGE_BYTES,
        write_statistics=[*_DICTIONARY, *STATISTICS],
        store_schema=False,
    )


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """Return statistics as in the protocol of Delta, "Per-file Statistics"."""
    found: dict[str, Any] = {"numRecords": len(rows), "minValues": {}, "maxValues": {}}
    for name in STATISTICS:
        bounds = pc.min_max(rows[name]).as_py()
        if bounds["min"] is not None:
            found["minValues"][name] = _json(bounds["min"])
            found["maxValues"][name] = _json(bounds["max"])
    return found | {"nullCount": {name: rows[name].null_count for name in STATISTICS}}


def _json(value: int | datetime) -> int | str:
    """Return a bound as JSON. Instants have milliseconds there, as Kafka's timestamps do."""
    if isinstance(value, int):
        return value
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
