"""What a change costs at each hop, from the shop to the warehouse: docs/SCALING.md reckons with it.

The shop sells at a steady rate, with all services on this machine. What each service has used in
that time, less what it uses while nobody sells, is divided by the changes that reached Kafka. Then
one consolidation takes all of them.
"""

import re
import subprocess
import time
from collections.abc import Mapping

import httpx
import psycopg

from benchmarks.freshness import orders
from benchmarks.idle import processor_seconds
from benchmarks.peak import seconds_of_ended_children
from devtools.test_stack import TestStack, new_stack
from lakehouse.contracts import ENTITIES
from lakehouse.lake import Lake
from lakehouse.object_store import object_store
from lakehouse.postgres import oltp_dsn, warehouse_dsn

SMALL = {"seconds": 30}
RATE = 50
SECONDS = 120
IDLE_SECONDS = 60
_WARM_UP_SECONDS = 20
_REQUEST = re.compile(r'^minio_s3_requests_total\{.*?api="(\w+)".*\} (\S+)$', re.MULTILINE)

Amounts = Mapping[str, float]


def run(seconds: float = SECONDS) -> dict[str, object]:
    """Sell for so long, and consolidate.

    Returns:
        `landing`, with live beside it, then `consolidation` of all changes so far: by what is used,
        microseconds of one core, bytes on disk (the copies and the compression that this machine
        has), and requests to the object store, each for a change; and what each service uses while
        nobody sells, in cores.
    """
    with new_stack() as stack:
        stack.run("up", "lander", "live", timeout=900)
        with orders(stack, RATE):
            time.sleep(_WARM_UP_SECONDS)
        time.sleep(_WARM_UP_SECONDS)
        idle = _grown(stack, IDLE_SECONDS)
        with orders(stack, RATE):
            time.sleep(_WARM_UP_SECONDS)
            before = _changes(stack)
            sold = _grown(stack, seconds)
            changes = _changes(stack) - before
        time.sleep(_WARM_UP_SECONDS)
        behind, began = _state(stack), seconds_of_ended_children()
        if stack.popen("consolidate", stdout=subprocess.DEVNULL).wait() != 0:
            message = "consolidate did not succeed"
            raise RuntimeError(message)
        merged = _minus(_state(stack), behind)
        merged["cpu us: consolidate"] = (seconds_of_ended_children() - began) * 1e6
        everything = _changes(stack)
    idle_for_as_long = {name: used * seconds / IDLE_SECONDS for name, used in idle.items()}
    return {
        "changes": changes,
        "changes_per_second": round(changes / seconds),
        "consolidated_changes": everything,
        "landing": _for_a_change(_minus(sold, idle_for_as_long), changes),
        "consolidation": _for_a_change(merged, everything),
        "idle": [
            {"service": name.partition(": ")[2], "cores": round(used / IDLE_SECONDS / 1e6, 3)}
            for name, used in idle.items()
            if name.startswith("cpu")
        ],
    }


def _for_a_change(used: Amounts, changes: int) -> list[dict[str, object]]:
    rows = [(name, amount / changes) for name, amount in sorted(used.items())]
    return [{"what": name, "for_a_change": float(f"{one:.3g}")} for name, one in rows if one > 0]


def _grown(stack: TestStack, seconds: float) -> dict[str, float]:
    before = _state(stack)
    time.sleep(seconds)
    return _minus(_state(stack), before)


def _minus(after: Amounts, before: Amounts) -> dict[str, float]:
    return {name: amount - before.get(name, 0) for name, amount in after.items()}


def _changes(stack: TestStack) -> int:
    lake = Lake.of(stack.minio, stack.secrets, user="admin")
    tables = [lake.open("bronze", entity.raw) for entity in ENTITIES.values()]
    return sum(table.count() for table in tables if table is not None)


def _state(stack: TestStack) -> dict[str, float]:
    """All that only grows: microseconds of services, bytes on disk, requests."""
    cpu = {f"cpu us: {name}": used * 1e6 for name, used in processor_seconds(stack).items()}
    metrics = httpx.get(f"{stack.minio.url}/minio/v2/metrics/cluster").text
    requests = {f"requests: {api}": float(count) for api, count in _REQUEST.findall(metrics)}
    kafka = sum(f.stat().st_size for f in (stack.data_dir / "kafka").rglob("*.log"))
    return {**cpu, **requests, **_of_store(stack), **_of_databases(stack), "bytes: Kafka": kafka}


def _of_store(stack: TestStack) -> dict[str, float]:
    store = object_store(stack.minio, stack.secrets, user="admin")
    buckets = (stack.minio.bronze_bucket, stack.minio.silver_bucket, stack.minio.gold_bucket)
    return {
        f"bytes: {bucket}": sum(o.size or 0 for o in store.list_objects(bucket, recursive=True))
        for bucket in buckets
        if store.bucket_exists(bucket)
    }


def _of_databases(stack: TestStack) -> dict[str, float]:
    shop = oltp_dsn(stack.oltp, stack.secrets, role="admin")
    warehouse = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    found = {}
    for name, dsn in (("shop", shop), ("warehouse", warehouse)):
        with psycopg.connect(dsn) as connection:
            size, log = connection.execute(_SIZES).fetchone() or (0, 0)
        found[f"bytes: {name}"], found[f"bytes: WAL of the {name}"] = float(size), float(log)
    return found


_SIZES = """
select
    pg_database_size(current_database()),
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"""
