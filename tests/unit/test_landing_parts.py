"""The lander's parts that need no service: positions, loss, records, the store's conformance."""

import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise, product

import polars as pl
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st
from minio import Minio
from prometheus_client import CollectorRegistry

from consumers.assignment import Assignment
from consumers.bronze.conformance import require_conditional_put
from consumers.bronze.loss import LossFoundError, LossKind, find_identity_loss, find_offset_loss
from consumers.buffer import Buffers
from consumers.client import OUT_OF_RANGE
from consumers.membership import Membership
from consumers.records import Polled, to_arrow
from consumers.serving import serve_metrics
from lakehouse.contracts.bronze import bronze_table
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.kafka import Topic
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import Epoch, OffsetRange, TopicIdentity, TopicPartition

TOPIC = "shop.public.orders"
P0 = TopicPartition(topic=TOPIC, topic_id="abc", partition=0)
P1 = TopicPartition(topic=TOPIC, topic_id="abc", partition=1)
START = datetime(1970, 1, 1, tzinfo=UTC)
offsets = st.integers(0, 10_000)


def chunk(*places):
    rows = [dict.fromkeys(BRONZE_SCHEMA.names) | {"_partition": p, "_offset": o} for p, o in places]
    return pa.RecordBatch.from_pylist(rows, schema=BRONZE_SCHEMA)


@given(wanted=offsets, oldest=offsets, length=offsets)
def test_loss_is_checked_by_the_brokers_ends_and_never_by_a_hole(wanted, oldest, length):
    end = oldest + length
    loss = find_offset_loss(P0, wanted=wanted, oldest=oldest, end=end)
    if oldest <= wanted <= end:
        assert loss is None
    elif wanted < oldest:
        assert (loss.kind, loss.first_offset, loss.last_offset) == (
            LossKind.EXPIRED, wanted, oldest - 1,
        )  # fmt: skip
    else:
        assert (loss.kind, loss.first_offset, loss.last_offset) == (
            LossKind.BEYOND_END, end, wanted - 1,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("topic_id", "partitions", "kind"),
    [
        pytest.param("abc", 2, None, id="same"),
        pytest.param("xyz", 2, LossKind.RECREATED, id="recreated"),
        pytest.param("abc", 4, LossKind.REPARTITIONED, id="repartitioned"),
        pytest.param("xyz", 4, LossKind.RECREATED, id="recreated with other partitions"),
    ],
)
def test_topic_that_is_another_one_is_a_loss_from_each_watermark_on(topic_id, partitions, kind):
    epoch = Epoch(epoch=0, topic_id="abc", partition_count=2)
    now = Topic(name=TOPIC, topic_id=topic_id, partition_count=partitions)
    losses = find_identity_loss(now, epoch, {P0: 9, P1: None})
    expected = [] if kind is None else [(kind, 0, 10), (kind, 1, 0)]
    assert [(loss.kind, loss.partition, loss.first_offset) for loss in losses] == expected


def test_loss_says_place_values_and_the_way_out():
    loss = find_offset_loss(P0, wanted=5, oldest=9, end=20)
    text = str(LossFoundError([loss]))
    assert f"{TOPIC}[0]: bronze needs offset 5, but the broker's oldest is 9." in text
    assert "Offsets 5 to 8" in text
    assert "./pipeline land --accept-loss" in text


def test_positions_step_over_records_and_holes_alike():
    mine = Assignment()
    mine.add({P0: 3, P1: 0})
    records = chunk((0, 5), (1, 0), (0, 9))
    taken, ranges = mine.advance(TOPIC, records)
    assert taken is records
    assert ranges == {P0: OffsetRange(start=3, stop=10), P1: OffsetRange(start=0, stop=1)}
    assert mine.positions == {P0: 10, P1: 1}


def test_lag_counts_what_is_not_polled_what_waits_and_what_is_under_way():
    class Ends:
        def get_watermark_offsets(self, coordinate, cached):
            return 0, {0: 20, 1: 7}[coordinate.partition]

    buffers = Buffers()
    member = Membership(Ends(), dict, buffers, name="the lander")
    member.assigned.add({P0: 10, P1: 7})
    assert member.lags(TOPIC) == {P0: 10, P1: 0}
    identity = TopicIdentity(topic_id="abc", epoch=0)
    member.take([message(TOPIC, 0, 10), message(TOPIC, 0, 14)], {TOPIC: identity})
    assert member.lags(TOPIC) == {P0: 10, P1: 0}
    buffers.discard(buffers)
    assert member.lags(TOPIC) == {P0: 5, P1: 0}
    assert member.lags(TOPIC, {P0: 2, P1: 6}) == {P0: 18, P1: 1}


def test_end_behind_the_last_record_is_stepped_over_once_and_never_back():
    mine = Assignment()
    mine.add({P0: 10})
    assert mine.see_end(P0, 12) == OffsetRange(start=10, stop=12)
    assert mine.see_end(P0, 12) is None
    assert mine.see_end(P0, 4) is None
    assert mine.advance(TOPIC, chunk((0, 14)))[1] == {P0: OffsetRange(start=12, stop=15)}


def test_records_of_a_revoked_partition_are_left_to_its_next_owner():
    """librdkafka may still return some: its fetchers stop in the background."""
    buffers = Buffers()
    member = Membership(None, dict, buffers, name="the lander")
    member.assigned.add({P0: 0})
    identities = {TOPIC: TopicIdentity(topic_id="abc", epoch=0)}
    member.take([message(TOPIC, 1, 7)], identities)
    assert not buffers
    member.take([message(TOPIC, 1, 7), message(TOPIC, 0, 3), message(TOPIC, 1, 8)], identities)
    held = buffers.take(TOPIC)
    assert held.ranges == {P0: OffsetRange(start=0, stop=4)}
    assert held.rows.select(["_partition", "_offset"]).to_pylist() == [
        {"_partition": 0, "_offset": 3}
    ]
    assert member.assigned.positions == {P0: 4}


@given(
    starts=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    places=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
def test_each_record_is_taken_once_however_often_it_is_polled(starts, places, cuts):
    """librdkafka may step back in a partition that is kept while others are rebalanced."""
    mine, each = Assignment(), Assignment()
    for one in (mine, each):
        one.add(dict(zip((P0, P1), starts, strict=True)))
    positions = dict(enumerate(starts))
    taken, taken_each, ranges = [], [], {}
    borders = [0, *sorted(cuts), len(places)]
    for polled in (places[a:b] for a, b in pairwise(borders) if places[a:b]):
        records, covered = mine.advance(TOPIC, chunk(*polled))
        taken += zip(*(records[n].to_pylist() for n in ("_partition", "_offset")), strict=True)
        kept, covered_each = each.advance_each(TOPIC, [message(TOPIC, *one) for one in polled])
        taken_each += ((one.partition(), one.offset()) for one in kept)
        assert covered_each == covered
        for partition, one in covered.items():
            assert one.start == ranges.get(partition, starts[partition.partition])
            ranges[partition] = one.stop
    expected = []
    for number, offset in places:
        if number in positions and offset >= positions[number]:
            positions[number] = offset + 1
            expected.append((number, offset))
    assert taken == taken_each == expected
    assert mine.positions == each.positions == {P0: positions[0], P1: positions[1]}


def test_messages_of_a_dropped_partition_are_discarded_and_no_others():
    buffers = Buffers()
    member = Membership(None, dict, buffers, name="live")
    member.assigned.add({P0: 0, P1: 0})
    identities = {TOPIC: TopicIdentity(topic_id="abc", epoch=0)}
    for number, offset in ((0, 3), (1, 4)):
        member.take_each(TOPIC, [message(TOPIC, number, offset)], identities)
    buffers.drop(P0)
    batch = buffers[TOPIC].polled()
    assert batch.rows.coordinates() == [("abc", 0, 1, 4)]
    assert batch.ranges == {P1: OffsetRange(start=0, stop=5)}
    assert buffers[TOPIC].rows == 1


@pytest.mark.parametrize("kinds", list(product(["columns", "messages", "others"], repeat=2)))
def test_buffer_keeps_each_record_whichever_way_it_was_added(kinds):
    """A range without its records would be committed as if they were."""
    buffers, expected = Buffers(), []
    member = Membership(None, dict, buffers, name="any")
    for offset, kind in enumerate(kinds):
        topic_id = "xyz" if kind == "others" else "abc"
        member.assigned.add({replace(P0, topic_id=topic_id): offset})
        identities = {TOPIC: TopicIdentity(topic_id=topic_id, epoch=0)}
        if kind == "columns":
            member.take([message(TOPIC, 0, offset)], identities)
        else:
            member.take_each(TOPIC, [message(TOPIC, 0, offset)], identities)
        expected.append((topic_id, offset))
    polled = buffers[TOPIC].polled()
    assert isinstance(polled.rows, Polled) == (kinds in {("messages",) * 2, ("others",) * 2})
    held = buffers.take(TOPIC)
    assert held.ranges == polled.ranges
    for rows in (held.rows, polled.rows):
        table = rows.columns() if isinstance(rows, Polled) else rows
        found = table.select(["_topic_id", "_offset"]).to_pylist()
        assert [(row["_topic_id"], row["_offset"]) for row in found] == expected


@pytest.mark.parametrize("place", ["key", "value", "headers"])
def test_size_of_messages_counts_all_that_may_be_long(place):
    """Otherwise the limit in bytes of what waits would not hold."""
    long = {"headers": [("none", None), ("long", b"x" * 10**6)]}.get(place, b"x" * 10**6)
    one = Message(**{"topic": TOPIC, "partition": 0, "offset": 0} | {place: long})
    assert 10**6 < sized([one]) < 10**6 + 2_000


def test_size_of_messages_counts_each_however_short():
    bare = Message(topic=TOPIC, partition=0, offset=0)
    assert sized([bare] * 1_000) >= 1_000 * sys.getsizeof(bare)


def sized(messages):
    return Polled(messages=messages, identity=TopicIdentity(topic_id="abc", epoch=0)).nbytes


@pytest.mark.parametrize("code", OUT_OF_RANGE)
def test_position_of_a_revoked_partition_is_its_next_owners_matter(code):
    member = Membership(None, dict, Buffers(), name="the lander")
    member.assigned.add({P0: 0})
    seen = []
    for partition in (0, 1):
        event = Message(topic=TOPIC, partition=partition, error=KafkaError(code))
        member.see(event, lambda event: seen.append(event.partition()))
    assert seen == [0]


@pytest.mark.parametrize(
    ("topic", "table"),
    [
        ("shop.public.orders", "raw_sales"),
        ("shop.public.stock_movements", "raw_stock_movements"),
        ("shop.public.gift_cards", "raw_gift_cards"),
        ("my.shop.public.gift_cards", "raw_gift_cards"),
        ("shop.public.users", "raw_public.users"),
        ("shop.public.customers", "raw_users"),
    ],
)
def test_bronze_tables_are_named_after_the_shops(topic, table):
    assert bronze_table(topic) == table


@pytest.mark.parametrize("topic", ["orders", "shop.orders", "shop..orders", "shop.public."])
def test_topic_of_another_form_is_refused(topic):
    with pytest.raises(StopPipelineError, match="not named <prefix>"):
        bronze_table(topic)


def message(topic, partition, offset, headers=None):
    return Message(
        topic=topic, partition=partition, offset=offset, key=b"k%d" % offset, value=None,
        headers=headers, timestamp=(1, 1_700_000_000_123 + offset),
    )  # fmt: skip


def test_records_of_several_topics_keep_their_order_and_their_identity():
    found = to_arrow(
        [message("a", 1, 7), message("b", 0, 3, [("h", b"x")]), message("a", 0, 2)],
        {"a": TopicIdentity(topic_id="A", epoch=0), "b": TopicIdentity(topic_id="B", epoch=4)},
    )
    a, b = pl.from_arrow(found["a"]), pl.from_arrow(found["b"])
    assert a.select("_topic_id", "_epoch", "_partition", "_offset", "key").rows() == [
        ("A", 0, 1, 7, b"k7"),
        ("A", 0, 0, 2, b"k2"),
    ]
    assert b.select("_topic_id", "_epoch", "_offset").rows() == [("B", 4, 3)]
    assert b["_headers"].to_list() == [[{"key": "h", "value": b"x"}]]
    assert a["_timestamp"].dt.epoch("ms").to_list() == [1_700_000_000_130, 1_700_000_000_125]
    assert str(a["_date"][0]) == "2023-11-14"


@given(
    st.lists(
        st.fixed_dictionaries({
            "topic": st.sampled_from(["a", "b"]),
            "key": st.none() | st.binary(max_size=9), "value": st.none() | st.binary(max_size=99),
            "partition": st.integers(0, 2**31 - 1), "offset": st.integers(0, 2**63 - 1),
            "timestamp": st.tuples(st.just(1), st.integers(0, 10**13)),
            "headers": st.none() | st.lists(st.tuples(st.just("h"), st.binary(max_size=3))),
        }),
        min_size=1,
    )
)  # fmt: skip
def test_column_holds_what_each_message_has(given):
    identities = {name: TopicIdentity(topic_id=name.upper(), epoch=4) for name in ("a", "b")}
    found = to_arrow([Message(**one) for one in given], identities)
    assert set(found) == {one["topic"] for one in given}
    for topic, chunk in found.items():
        chunk.validate(full=True)
        expected = [
            {
                **{name: one[name] for name in ("key", "value")},
                "_topic_id": topic.upper(), "_epoch": 4,
                "_partition": one["partition"], "_offset": one["offset"],
                "_timestamp": START + timedelta(milliseconds=one["timestamp"][1]),
                "_headers": one["headers"]
                and [{"key": name, "value": value} for name, value in one["headers"]],
                "_date": (START + timedelta(milliseconds=one["timestamp"][1])).date(),
            }
            for one in given if one["topic"] == topic
        ]  # fmt: skip
        assert [{**row, "_headers": row["_headers"] or None} for row in chunk.to_pylist()] == [
            {**row, "_headers": row["_headers"] or None} for row in expected
        ]


@contextmanager
def store_that_answers(answers):
    """An object store that gives these answers to PUT, one after the other."""
    left, lock = list(answers), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                self.send_response(left.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_DELETE(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Minio(
        f"127.0.0.1:{server.server_port}",
        access_key="user", secret_key="anything", secure=False, region="us-east-1",  # noqa: S106
    )  # fmt: skip
    try:
        yield client
    finally:
        server.shutdown()
        server.server_close()


def test_store_in_which_one_of_the_racing_writers_wins_is_trusted():
    with store_that_answers([412, 200, 409, 412]) as client:
        require_conditional_put(client, "bronze")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        pytest.param([200, 200, 200, 200], "does not honour conditional PUT", id="ignores it"),
        pytest.param([200, 200, 412, 412], "does not honour conditional PUT", id="lets two win"),
        pytest.param([412, 412, 412, 412], "does not honour conditional PUT", id="none wins"),
        pytest.param([403, 403, 403, 403], "refuses this user", id="not allowed"),
        pytest.param([404, 404, 404, 404], "refuses this user", id="no bucket"),
    ],
)
def test_store_that_cannot_be_trusted_is_refused(answers, message):
    with (
        store_that_answers(answers) as client,
        pytest.raises(StopPipelineError, match=message),
    ):
        require_conditional_put(client, "bronze")


@pytest.mark.parametrize("answers", [[503] * 4, [200, 412, 412, 503]])
def test_store_that_has_only_just_started_is_asked_again(answers):
    """A person has nothing to do: it is ready a moment later."""
    with (
        store_that_answers(answers) as client,
        pytest.raises(RetryLaterError, match="not ready"),
    ):
        require_conditional_put(client, "bronze")


def test_metrics_are_not_served_at_port_0_and_a_taken_port_is_told_with_the_way_out():
    serve_metrics(CollectorRegistry(), "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RetryLaterError, match=rf"127\.0\.0\.1:{port}.*--metrics-port"):
            serve_metrics(CollectorRegistry(), "127.0.0.1", port)
