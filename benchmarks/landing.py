"""How fast a backlog of changes lands in bronze, beside reading it and doing nothing with it.

Both read the same records of the same topic on the same machine, in turn, several times; the
metrics are medians. Two raw drains are measured, because a client's default settings decide more
than the machine: with `fetch.queue.backoff.ms` as it comes (1 s), librdkafka waits whenever its
queue was full. The ratio is against the faster one, with the lander's own client settings.
"""

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from minio.deleteobjects import DeleteObject

from devtools.test_stack import TestStack, new_stack
from lakehouse.contracts.bronze import bronze_table
from lakehouse.kafka import QuietLog, admin_client
from lakehouse.object_store import object_store

SMALL = {"messages": 200_000, "rounds": 1}
MESSAGES = 1_000_000
ROUNDS = 3
TOPIC = "shop.public.orders"
_PARTITIONS = 4
_STATUSES = ("placed", "paid", "packed", "shipped", "delivered")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Landed:
    per_second: float
    peak_rss_mb: float


def run(messages: int = MESSAGES, rounds: int = ROUNDS) -> dict[str, float | int]:
    """Fill a topic, drain it in turn by ours and by nothing at all.

    Returns:
        Messages per second, the ratio, and the lander's greatest resident memory in megabytes.
    """
    with new_stack() as stack:
        stack.up("kafka", "minio")
        make_topic(stack)
        fill(stack, messages)
        tuned, default, ours = [], [], []
        for _ in range(rounds):
            tuned.append(_raw_drain(stack, messages, "lander"))
            ours.append(_land(stack, messages))
            default.append(_raw_drain(stack, messages, "default"))
    raw = statistics.median(tuned)
    per_second = statistics.median(landed.per_second for landed in ours)
    return {
        "ours_per_second": round(per_second),
        "raw_drain_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "raw_drain_default_client_per_second": round(statistics.median(default)),
        "ratio_default_client": round(per_second / statistics.median(default), 3),
        "peak_rss_mb": round(max(landed.peak_rss_mb for landed in ours)),
        "messages": messages,
        "rounds": rounds,
    }


def make_topic(stack: TestStack, topic: str = TOPIC, partitions: int = _PARTITIONS) -> None:
    """Create a topic without messages."""
    admin = admin_client(stack.kafka.client)
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()


def fill(
    stack: TestStack, messages: int, topic: str = TOPIC, *, in_transaction: bool = False
) -> int:
    """Fill a topic; returns how many bytes its values have together."""
    transaction = {"transactional.id": topic, "transaction.timeout.ms": 900_000}
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka.bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 512 * 1024,
            "queue.buffering.max.messages": 200_000,
            **(transaction if in_transaction else {}),
        },
        logger=QuietLog(),
    )
    if in_transaction:
        producer.init_transactions()
        producer.begin_transaction()
    total = 0
    for number in range(messages):
        key, value = _change(number)
        total += len(value)
        _produce(producer, topic, key, value)
    producer.flush()
    if in_transaction:
        producer.commit_transaction()
    return total


def _produce(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key=key)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _change(number: int) -> tuple[bytes, bytes]:
    """A change of an order as Debezium writes it, of about 700 bytes."""
    cents = 1_000 + number * 7919 % 90_000
    before = _order(number, cents, _STATUSES[number % 4])
    after = _order(number, cents, _STATUSES[number % 4 + 1])
    source = {"version": "3.7.0.Final", "connector": "postgresql", "name": "shop",
              "db": "shop", "schema": "public", "table": "orders", "txId": 1_000 + number // 8,
              "lsn": 30_000_000 + number * 311, "ts_us": 1_780_000_000_000_000 + number * 137,
              "snapshot": "false"}  # fmt: skip
    change = {"before": before, "after": after, "source": source, "op": "u",
              "ts_us": 1_780_000_000_004_000 + number * 137}  # fmt: skip
    value = json.dumps(change, separators=(",", ":"))
    return b'{"order_id":%d}' % number, value.encode()


def _order(number: int, cents: int, status: str) -> dict[str, object]:
    amount = f"{cents // 100}.{cents % 100:02}"
    return {"order_id": number, "customer_id": number * 31 % 40_000, "channel": "web",
            "status": status, "currency": "EUR", "exchange_rate": "1.00000000",
            "total_amount": amount, "ship_country": "FR", "version": 2}  # fmt: skip


def _raw_drain(stack: TestStack, messages: int, client: str) -> float:
    """Messages per second of a process of its own, from its first message to its last."""
    command = [sys.executable, "-m", "benchmarks.raw_drain", TOPIC, str(messages), client]
    done = subprocess.run(command, env=stack.env, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _land(stack: TestStack, messages: int) -> _Landed:
    """One lander, from its assignment until all is readable in bronze."""
    empty(stack, stack.minio.bronze_bucket)
    # The last records wait for their flush, which is no part of the speed: 1 s instead of 5.
    lander = stack.with_settings(LANDING_FLUSH_SECONDS=1).popen("land", stderr=subprocess.PIPE)
    try:
        began = assigned_at(lander)
        peak = _wait_until_landed(stack, lander, messages)
        seconds = time.monotonic() - began
    finally:
        lander.terminate()
        lander.communicate(timeout=60)
    return _Landed(per_second=messages / seconds, peak_rss_mb=peak / 1024 / 1024)


def assigned_at(lander: subprocess.Popen[str], topic: str = TOPIC) -> float:
    """Wait until a lander has partitions of a topic; returns the moment."""
    for line in lander.stderr or ():
        if re.search(rf'"{re.escape(topic)}\[.*"event": "assigned"', line):
            return time.monotonic()
    message = "the lander ended before it was assigned anything"
    raise RuntimeError(message)


def _wait_until_landed(stack: TestStack, lander: subprocess.Popen[str], messages: int) -> int:
    """Returns the greatest resident memory seen, in bytes."""
    process, peak = psutil.Process(lander.pid), 0
    landed = _rows_landed(stack.config.monitoring.metrics_port("lander"))
    while landed() < messages:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.02)
    return max(peak, process.memory_info().rss)


def _rows_landed(port: int) -> Callable[[], float]:
    name = f'landing_rows_total{{table="{bronze_table(TOPIC)}"}} '
    client = httpx.Client(trust_env=False)

    def rows() -> float:
        page = client.get(f"http://127.0.0.1:{port}/metrics").text
        found = (line.removeprefix(name) for line in page.splitlines() if line.startswith(name))
        return float(next(found, "0"))

    return rows


def empty(stack: TestStack, bucket: str) -> None:
    """Delete all objects of a bucket."""
    store = object_store(stack.minio, stack.secrets, user="admin")
    for _ in range(2):  # versions of an object, if the bucket keeps any
        names = (item.object_name for item in store.list_objects(bucket, recursive=True))
        doomed = [DeleteObject(name) for name in names if name]
        list(store.remove_objects(bucket, doomed))
