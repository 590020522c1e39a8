"""What consolidating the same changes costs on a small and on a large past.

A hundred thousand changes, as a shop makes them: new orders with lines, payments and stock, and
steps in the life of recent ones. The cost should follow the changes, so the ratio of the two times
should be near one. Beside it: another run right after it, which finds nothing new; rebuilding gold
and the warehouse from all of silver, and a floor for that, which is plain Polars over the same
Parquet files, computing what gold's sales need.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from batch.gold.transforms.sale_lines import sale_lines
from benchmarks.history import Change, History
from benchmarks.past import FRAMES, Size
from benchmarks.peak import watched
from devtools.test_stack import TestStack, new_stack
from lakehouse.contracts import ENTITIES, Type
from lakehouse.delta import scan
from lakehouse.lake import Lake

SMALL = {"small": 50_000, "large": 500_000, "changes": 10_000}
SMALL_LINES = 1_000_000
LARGE_LINES = 10_000_000
CHANGES = 100_000
PER_NEW_ORDER = 8
"""Changes of a new order."""
_SHARE_OF_NEW = 0.88
_RATE_SCALE = 100_000_000


def run(
    small: int = SMALL_LINES, large: int = LARGE_LINES, changes: int = CHANGES
) -> dict[str, object]:
    """Consolidate the same number of changes onto both.

    Returns:
        Of each: order lines before, seconds, the greatest resident memory in megabytes, and
        seconds of a run with nothing new; the ratio; seconds to rebuild gold and warehouse from the
        large past's silver, and the floor.
    """
    with new_stack() as stack:
        first, _, _ = _measure(stack, small, changes, is_rebuilding=False)
    with new_stack() as stack:
        second, rebuild, floor = _measure(stack, large, changes, is_rebuilding=True)
    return {
        "small": first,
        "large": second,
        "ratio": round(second["seconds"] / first["seconds"], 3),
        "rebuild_seconds": round(rebuild, 1),
        "floor_seconds": round(floor, 1),
        "changes": changes,
    }


def _measure(
    stack: TestStack, lines: int, changes: int, *, is_rebuilding: bool
) -> tuple[dict[str, float], float, float]:
    stack.up("minio", "warehouse")
    lake = Lake.of(stack.minio, stack.secrets, user="admin")
    history = History(lake=lake, size=Size(orders=lines // 2))
    history.write()
    # The first run reads all there is; what is measured comes after it.
    stack.run("consolidate", timeout=7200)
    landed = history.land(new_changes(history.size, changes))
    seconds, peak = _consolidate(stack)
    idle_seconds, _ = _consolidate(stack)
    metrics = {
        "rows": lines,
        "seconds": round(seconds, 2),
        "peak_rss_mb": round(peak),
        "nothing_new_seconds": round(idle_seconds, 2),
    }
    if landed < changes:
        message = f"made {landed} changes, not {changes}"
        raise RuntimeError(message)
    if not is_rebuilding:
        return metrics, 0.0, 0.0
    began = time.monotonic()
    for layer in ("gold", "warehouse"):
        stack.run("rebuild", "--layer", layer, timeout=7200)
    rebuilt = time.monotonic() - began
    return metrics, rebuilt, _floor(lake)


def _consolidate(stack: TestStack) -> tuple[float, float]:
    """Seconds of `./pipeline consolidate`, start of Python included, and megabytes at its peak."""
    done = watched(stack, "consolidate")
    if not json.loads(done.out)["tables"]:
        message = f"consolidate did nothing: {done.out}"
        raise RuntimeError(message)
    return done.seconds, done.peak_rss_mb


def _floor(lake: Lake) -> float:
    """Seconds for Polars alone, from silver's files to the sums of every day, written once."""
    began = time.monotonic()
    names = ("cleaned_sales", "cleaned_sale_lines", "cleaned_payments", "products_history")
    with tempfile.TemporaryDirectory() as folder:
        frames = [nw.from_native(_live(lake, name)) for name in names]
        lines = sale_lines(*frames).to_native()
        days = ["business_date", "country", "channel", "category"]
        sums = [c for c in lines.collect_schema().names() if c.endswith("_cents") or c == "units"]
        lines.group_by(days).agg(pl.col(sums).sum()).sink_parquet(Path(folder) / "days.parquet")
    return time.monotonic() - began


def _live(lake: Lake, name: str) -> pl.LazyFrame:
    delta = lake.open("silver", name)
    if delta is None:
        message = f"silver/{name} is not there"
        raise RuntimeError(message)
    return scan(delta).filter(pl.col("_deleted_at").is_null())


def new_changes(size: Size, count: int, *, turn: int = 0) -> Iterator[Change]:
    """New orders, each with all that goes with it; and returns of recent ones.

    Those of the next turn come after these, and return other orders.
    """
    fresh = int(count * _SHARE_OF_NEW) // PER_NEW_ORDER
    before = turn * fresh
    numbers = _numbers(size.orders + before, fresh)
    orders = as_sent("orders", numbers, size)
    lines = as_sent("order_lines", _numbers(2 * (size.orders + before), 2 * fresh), size)
    moved = size.rows("stock_movements") + 2 * before
    moves = as_sent("stock_movements", _numbers(moved, 2 * fresh), size)
    payments = as_sent("payments", numbers, size)
    for index, order in enumerate(orders):
        placed = {**order, "status": "placed", "paid_at": None, "version": 1}
        yield "orders", "c", placed
        for line in lines[2 * index : 2 * index + 2]:
            yield "order_lines", "c", line
        payment = payments[index]
        yield "payments", "c", {**payment, "status": "pending"}
        yield "payments", "u", {**payment, "version": 2}
        for move in moves[2 * index : 2 * index + 2]:
            yield "stock_movements", "c", move
        yield "orders", "u", {**order, "status": "paid", "version": 2}
    returned = count - fresh * PER_NEW_ORDER
    first = size.orders - (turn + 1) * returned
    for order in as_sent("orders", _numbers(first, returned), size):
        yield "orders", "u", {**order, "status": "returned", "version": 6}


def _numbers(first: int, count: int) -> pl.DataFrame:
    return pl.DataFrame(pl.int_range(first, first + count, eager=True).alias("n"))


def as_sent(table: str, numbers: pl.DataFrame, size: Size) -> list[dict[str, Any]]:
    """Rows as Debezium tells them: the shop's names, decimals and instants as text."""
    return frame_as_sent(table, numbers, size).to_dicts()


def frame_as_sent(table: str, numbers: pl.DataFrame, size: Size) -> pl.DataFrame:
    """Return `as_sent` as a frame."""
    frame = FRAMES[table](numbers, size)
    sent = []
    for column in ENTITIES[table].columns:
        value = pl.col(column.name)
        if column.name not in frame.columns:
            value = pl.lit(None)
        elif column.type is Type.CENTS:
            value = _decimal(value, 100, 2)
        elif column.type is Type.RATE:
            value = _decimal(value, _RATE_SCALE, 8)
        elif column.type is Type.TIMESTAMP:
            value = value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        sent.append(value.alias(column.source))
    # A row says when this version of it began: after all that it tells of.
    later = frame.with_columns(updated_at=pl.col("created_at") + timedelta(days=1))
    return later.select(sent)


def _decimal(value: pl.Expr, scale: int, digits: int) -> pl.Expr:
    fraction = (value % scale).cast(pl.String).str.zfill(digits)
    return pl.concat_str((value // scale).cast(pl.String), pl.lit("."), fraction)
