"""Live applies what a sale consists of at once, and the other tables in turn."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from consumers.live.consumer import LiveConsumer, LiveOptions
from consumers.live.metrics import LiveMetrics
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicPartition

PATIENCE = 3600.0


def partition(table):
    return TopicPartition(topic=f"shop.public.{table}", topic_id=table, partition=0)


def put(buffers, table, records, *, age=0.0, size=0, now=10_000.0):
    """Buffer so many records of a table, the first of which came so many seconds ago."""
    rows = [
        {"_topic_id": table, "_partition": 0, "_offset": n, "value": bytes(size)}
        for n in range(records)
    ]
    chunk = pa.Table.from_pylist(rows, schema=BRONZE_SCHEMA).combine_chunks().to_batches()
    batch = chunk[0] if chunk else pa.RecordBatch.from_pylist([], schema=BRONZE_SCHEMA)
    ranges = {partition(table): OffsetRange(start=7, stop=7 + max(records, 1))}
    buffers.add(partition(table).topic, batch, ranges, now - age)


@pytest.fixture
def due(monkeypatch):
    """Which of these tables are applied now: names, with what `put` takes."""
    monkeypatch.setattr("consumers.live.consumer.time.monotonic", lambda: 10_000.0)
    options = LiveOptions(
        pattern="^shop", heartbeats="heartbeats", batch_rows=100, batch_bytes=20_000,
        linger_seconds=0, patience_seconds=PATIENCE, max_rows=10,
    )  # fmt: skip
    places = SimpleNamespace(starting_positions=None)
    consumer = LiveConsumer(SimpleNamespace(), None, places, None, LiveMetrics(), options)

    def ask(**tables):
        consumer._buffers.discard(consumer._buffers)
        for table, (records, age, *size) in tables.items():
            put(consumer._buffers, table, records, age=age, size=sum(size))
        return [topic.rsplit(".", 1)[1] for topic in consumer._due()]

    ask.consumer = consumer
    return ask


def test_a_sale_is_applied_at_once_and_waits_for_nothing_else(due):
    assert due(interactions=(5, 0), orders=(1, 0), payments=(5, 0)) == ["orders"]
    assert due(order_lines=(2, 0), orders=(1, 0)) == ["order_lines", "orders"]


def test_of_the_others_the_one_that_has_waited_longest_comes_along(due):
    late = PATIENCE + 1
    assert due(orders=(1, 0), payments=(1, late), interactions=(9, late)) == ["orders", "payments"]
    assert due(interactions=(9, late), payments=(1, late)) == ["interactions"]
    assert due(interactions=(9, 0)) == []


def test_a_full_buffer_does_not_wait(due):
    assert due(interactions=(100, 0)) == ["interactions"]


def test_all_are_applied_at_once_when_they_have_many_bytes_whatever_their_number(due):
    assert due(interactions=(3, 0, 4000), payments=(1, 0, 4000)) == []
    assert due(interactions=(3, 0, 4000), payments=(1, 0, 9000)) == ["interactions", "payments"]


def test_the_end_of_a_partition_waits_a_second(due):
    assert due(orders=(0, 0), interactions=(0, 0)) == []
    assert due(orders=(0, 1), interactions=(0, 1), payments=(0, 1)) == [
        "orders", "interactions", "payments"
    ]  # fmt: skip


def test_charts_show_nothing_of_what_is_buffered(due):
    orders, payments = partition("orders"), partition("payments")
    due.consumer._member.assigned.add({orders: 12, payments: 8})
    due(orders=(5, 0))
    assert due.consumer._shown() == {orders: 7, payments: 8}
    due(orders=(0, 0))
    assert due.consumer._shown() == {orders: 12, payments: 8}
