"""How late changes become readable in bronze, from its log."""

from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse.lake import BRONZE_SCHEMA
from monitoring.freshness import _changes

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMITTED_US = int(AT.timestamp() * 1e6)


def landed(offset):
    value = orjson.dumps({"source": {"ts_us": COMMITTED_US + offset}})
    row = {"value": value, "_partition": 0, "_offset": offset, "_timestamp": AT, "_date": AT.date()}
    return pa.Table.from_pylist([row], schema=BRONZE_SCHEMA)


def test_rows_that_a_compaction_writes_again_are_not_taken_for_new(tmp_path):
    uri = str(tmp_path / "orders")
    for offset in range(3):
        write_deltalake(uri, landed(offset), mode="append", partition_by=["_date"])
    DeltaTable(uri).optimize.compact()
    newest = DeltaTable(uri).version()
    assert newest == 3  # of the compaction, which has all three rows
    found = _changes(SimpleNamespace(bronze_uri=uri, bronze_options={}), {1: 10, 2: 20, newest: 30})
    assert found.select("committed", "readable").rows() == [
        (COMMITTED_US + 1, 10), (COMMITTED_US + 2, 20),
    ]  # fmt: skip
