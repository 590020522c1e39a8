"""How long after its commit in the shop an order's change is readable in bronze, hop by hop.

All three instants are of one machine: the source's commit (`source.ts_us`), the Kafka record's
timestamp, and the moment when a reader that looks for the table's next version finds it.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from deltalake import DeltaTable

from lakehouse.lake import storage_options, table_uri
from stack.isolated import IsolatedStack, new_stack

RATES = (50, 300)
FLUSH_SECONDS = 0.5
WARM_UP_SECONDS = 15
SECONDS = 60
_TABLE = "raw_sales"
_LOOK_SECONDS = 0.01
_COMMITTED = pl.col("value").cast(pl.String).str.json_path_match("$.source.ts_us").cast(pl.Int64)


def run(seconds: float = SECONDS) -> dict[str, object]:
    """Let the simulator order at each rate, and watch bronze.

    Returns:
        `hops`: for each rate and hop, percentiles in milliseconds over all changes of orders.
    """
    settings = {"LANDING_FLUSH_SECONDS": FLUSH_SECONDS, "LANDING_COMPACT_COMMITS": 1_000_000}
    hops: list[dict[str, object]] = []
    with new_stack(**settings) as stack:
        stack.up()
        for rate in RATES:
            with _orders(stack, rate):
                time.sleep(WARM_UP_SECONDS)
                seen = _watch(stack, seconds)
            hops += _percentiles(_changes(stack, seen), rate)
    return {"hops": hops, "flush_seconds": FLUSH_SECONDS}


@contextmanager
def _orders(stack: IsolatedStack, rate: int) -> Iterator[None]:
    simulator = stack.popen(
        "simulate", "--orders-per-second", rate, "--seed", 1, "--format", "json",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.wait(timeout=60)


def _watch(stack: IsolatedStack, seconds: float) -> dict[int, int]:
    """When each version of the table was first readable, in microseconds since 1970."""
    table = _open(stack)
    seen: dict[int, int] = {}
    version = table.version()
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    while not stop.wait(_LOOK_SECONDS):
        table.update_incremental()
        if table.version() > version:
            now = time.time_ns() // 1_000
            seen |= dict.fromkeys(range(version + 1, table.version() + 1), now)
            version = table.version()
    return seen


def _open(stack: IsolatedStack) -> DeltaTable:
    uri = table_uri(stack.minio.bronze_bucket, _TABLE)
    return DeltaTable(uri, storage_options=_options(stack))


def _options(stack: IsolatedStack) -> dict[str, str]:
    return storage_options(stack.minio, stack.secrets, user="reader")


def _changes(stack: IsolatedStack, seen: dict[int, int]) -> pl.DataFrame:
    """Grain: one row per change in those versions. Instants in microseconds since 1970."""
    frames = []
    for version, at in seen.items():
        paths = _files_of(stack, version)
        if paths:
            rows = pl.read_parquet(paths, storage_options=_options(stack), hive_partitioning=False)
            frames.append(
                rows.select(
                    committed=_COMMITTED,
                    in_kafka=pl.col("_timestamp").dt.epoch("us"),
                    readable=pl.lit(at),
                )
            )
    return pl.concat(frames)


def _files_of(stack: IsolatedStack, version: int) -> list[str]:
    uri = table_uri(stack.minio.bronze_bucket, _TABLE)
    log = f"{uri}/_delta_log/{version:020}.json"
    actions = pl.scan_lines(log, storage_options=_options(stack)).collect().to_series()
    found = (json.loads(line) for line in actions)
    return [f"{uri}/{action['add']['path']}" for action in found if "add" in action]


def _percentiles(changes: pl.DataFrame, rate: int) -> list[dict[str, object]]:
    hops = {
        "shop to Kafka": pl.col("in_kafka") - pl.col("committed"),
        "Kafka to bronze": pl.col("readable") - pl.col("in_kafka"),
        "shop to bronze": pl.col("readable") - pl.col("committed"),
    }
    return [
        {
            "hop": hop,
            "orders_per_second": rate,
            "p50_ms": round(milliseconds.quantile(0.5) or 0.0, 1),
            "p99_ms": round(milliseconds.quantile(0.99) or 0.0, 1),
            "samples": milliseconds.len(),
        }
        for hop, microseconds in hops.items()
        for milliseconds in (changes.select(microseconds / 1_000).to_series(),)
    ]
