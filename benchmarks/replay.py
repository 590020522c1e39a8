"""How fast all of bronze is validated again into silver, beside plain Polars over the same files.

A shop of two million changes, made by the simulator and captured by Debezium. Timed are whole
processes, start of Python included: `./pipeline replay --into silver --all --only`, which validates
every change, compares silver with the outcome and takes digests; and `benchmarks.replay_floor`,
which only reads, parses and keeps the latest change of each key.
"""

import json
import subprocess
import sys
import time

from batch.reconcile import ReconcileConfig, settle
from benchmarks.peak import watched
from devtools.test_stack import TestStack, new_stack
from lakehouse.settings import ReconcileSettings

SMALL = {"changes": 100_000}
CHANGES = 2_000_000
_CHANGES_PER_ORDER = 15.5
_DAYS = 60


def run(changes: int = CHANGES) -> dict[str, object]:
    """Make the shop, and time both.

    Returns:
        Changes, seconds of both, their ratio, our greatest resident memory in megabytes, and
        changes a second of ours.
    """
    with new_stack(CONSOLIDATION_RETENTION_HOURS=168) as stack:
        stack.up()
        orders = int(changes / _CHANGES_PER_ORDER)
        command = ("simulate", "--history", _DAYS, "--orders", orders, "--seed", 3)
        stack.run(*command, timeout=3600)
        _settle(stack)
        stack.run("consolidate", "--layer", "silver", timeout=3600)
        ours, peak, read = _replay(stack)
        floor = _floor(stack)
    return {
        "changes": read,
        "ours_seconds": round(ours, 2),
        "floor_seconds": round(floor, 2),
        "ratio": round(ours / floor, 3),
        "peak_rss_mb": round(peak),
        "changes_per_second": round(read / ours),
    }


def _settle(stack: TestStack) -> None:
    built = stack.config
    config = ReconcileConfig(
        oltp=built.oltp, kafka=built.kafka, connect=built.connect, minio=built.minio,
        warehouse=built.warehouse, limits=ReconcileSettings(timeout_seconds=3600),
    )  # fmt: skip
    settle(stack.secrets, config)


def _replay(stack: TestStack) -> tuple[float, float, int]:
    done = watched(stack, "replay", "--into", "silver", "--all", "--only")
    found = json.loads(done.out)
    if not all(one["is_equal"] for one in found["tables"]):
        message = f"silver is not what it was: {done.out[-2000:]}"
        raise RuntimeError(message)
    return done.seconds, done.peak_rss_mb, found["changes_read"]


def _floor(stack: TestStack) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.replay_floor"], env=stack.env, check=True, timeout=3600
    )
    return time.monotonic() - began
