"""How fresh charts and bronze are, hop by hop, with everything running, at two rates of orders."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.idle import cores_and_memory
from devtools.test_stack import TestStack, new_stack
from monitoring.freshness import Route, measure
from stack.catalog import DEFAULT

SMALL = {"seconds": 15}
RATES = (50, 200)
FLUSH_SECONDS = 0.5
WARM_UP_SECONDS = 20
SECONDS = 60
IDLE_SECONDS = 60


def run(seconds: float = SECONDS) -> dict[str, object]:
    """Let the simulator order at each rate, and watch.

    Returns:
        `hops`: for each rate and hop, percentiles in milliseconds; and what all services together
        take while nobody sells.
    """
    hops: list[dict[str, object]] = []
    with new_stack(LANDING_FLUSH_SECONDS=FLUSH_SECONDS) as stack:
        stack.run("up", *DEFAULT, timeout=900)
        time.sleep(IDLE_SECONDS)
        cores, memory_mb = cores_and_memory(stack, IDLE_SECONDS)
        for rate in RATES:
            with orders(stack, rate):
                time.sleep(WARM_UP_SECONDS)
                found = measure(_route(stack), seconds)
            hops += [{"orders_per_second": rate, **metrics} for metrics in found]
    return {
        "hops": hops,
        "flush_seconds": FLUSH_SECONDS,
        "idle_cores": round(cores, 2),
        "idle_memory_mb": memory_mb,
    }


def _route(stack: TestStack) -> Route:
    return Route.of(
        kafka=stack.kafka,
        connect=stack.connect,
        minio=stack.minio,
        warehouse=stack.warehouse,
        secrets=stack.secrets,
    )


@contextmanager
def orders(stack: TestStack, rate: int) -> Iterator[None]:
    """Let the simulator order at this rate meanwhile."""
    simulator = stack.popen(
        "simulate", "--orders-per-second", rate, "--seed", 1, "--dirt", 0, "--format", "json",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.wait(timeout=60)
