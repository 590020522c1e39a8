"""A heartbeat is written when charts show all that Kafka had when it was read."""

from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from consumers.live.consumer import LiveConsumer, LiveOptions
from consumers.live.heartbeats import Heartbeats
from consumers.live.metrics import LiveMetrics
from lakehouse.offsets import TopicPartition

ORDERS = TopicPartition(topic="shop.public.orders", topic_id="o", partition=0)
LINES = TopicPartition(topic="shop.public.order_lines", topic_id="l", partition=0)


def at(second):
    """A heartbeat's instant."""
    return datetime(2026, 3, 10, 12, tzinfo=UTC) + timedelta(seconds=second)


def told(heartbeat):
    """The instant of the heartbeat that is passed, if one is."""
    return heartbeat and heartbeat.sent_at


class Broker:
    """Answers when it is told to."""

    def __init__(self):
        self.asked = []

    def ask_ends(self, partitions):
        self.asked.append({partition: Future() for partition in partitions})
        return self.asked[-1]

    def answer(self, number=-1, **ends):
        for partition, future in self.asked[number].items():
            future.set_result(SimpleNamespace(offset=ends[partition.topic_id]))


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def heartbeats(broker):
    return Heartbeats(ask_ends=broker.ask_ends)


def test_a_heartbeat_waits_for_the_ends_of_all_partitions(heartbeats, broker):
    heartbeats.hold(at(1), [ORDERS, LINES])
    assert heartbeats.passed({ORDERS: 10, LINES: 10}) is None
    broker.answer(o=10, l=20)
    assert heartbeats.passed({ORDERS: 10, LINES: 19}) is None
    assert told(heartbeats.passed({ORDERS: 10, LINES: 20})) == at(1)
    assert heartbeats.passed({ORDERS: 10, LINES: 20}) is None


def test_the_newest_that_is_passed_counts_and_the_newer_ones_wait(heartbeats, broker):
    for number, end in enumerate((5, 6, 9)):
        heartbeats.hold(at(number), [ORDERS])
        broker.answer(o=end)
    assert told(heartbeats.passed({ORDERS: 7})) == at(1)
    assert heartbeats.passed({ORDERS: 8}) is None
    assert told(heartbeats.passed({ORDERS: 9})) == at(2)


@pytest.mark.parametrize(
    ("had", "now"),
    [([ORDERS], {ORDERS: 99, LINES: 0}), ([ORDERS, LINES], {ORDERS: 99}), ([ORDERS], {})],
    ids=["came", "went", "all went"],
)
def test_a_heartbeat_says_nothing_of_partitions_that_came_or_went(had, now, heartbeats, broker):
    heartbeats.hold(at(1), had)
    broker.answer(o=5, l=5)
    assert heartbeats.passed(now) is None
    assert heartbeats.passed(dict.fromkeys(had, 99)) is None


def test_a_heartbeat_whose_ends_the_broker_does_not_tell_is_passed_over(heartbeats, broker):
    heartbeats.hold(at(1), [ORDERS])
    broker.asked[-1][ORDERS].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    heartbeats.hold(at(2), [ORDERS])
    broker.answer(o=5)
    assert told(heartbeats.passed({ORDERS: 5})) == at(2)


@given(
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 9)), min_size=1, max_size=59),
    st.integers(0, 9),
)
def test_the_last_that_came_counts_whatever_the_shop_s_clock_says(came, shown):
    """Neither the greatest instant nor the smallest."""
    broker = Broker()
    heartbeats = Heartbeats(ask_ends=broker.ask_ends)
    ends = []
    for second, grown in came:
        ends.append(grown + (ends[-1] if ends else 0))
        heartbeats.hold(at(second), [ORDERS])
        broker.answer(o=ends[-1])
    passed = [at(second) for (second, _), end in zip(came, ends, strict=True) if end <= shown]
    assert told(heartbeats.passed({ORDERS: shown})) == (passed[-1] if passed else None)


def test_a_backlog_of_hours_holds_few_heartbeats(heartbeats, broker):
    for number in range(3600):
        heartbeats.hold(at(number), [ORDERS])
    assert len(broker.asked) <= 60


class Message:
    """As Debezium writes it; an instant that only Postgres knows, as text."""

    def __init__(self, sent_at):
        self._value = orjson.dumps({"after": {"sent_at": sent_at}})

    def topic(self):
        return "heartbeats"

    def error(self):
        return None

    def value(self):
        return self._value


class Client:
    """A consumer that has nothing but what a test gives it."""

    def __init__(self):
        self.messages = []

    def poll(self, _seconds):
        return self.messages.pop(0) if self.messages else None

    def consume(self, _count, _seconds):
        return []

    def assignment(self):
        return []

    def pause(self, _partitions):
        pass

    def resume(self, _partitions):
        pass


@pytest.fixture
def live(heartbeats):
    client, written = Client(), []

    def heartbeat(sent_at, *, held_seconds):
        written.append((sent_at, held_seconds))

    overlay = SimpleNamespace(heartbeat=heartbeat)
    options = LiveOptions(
        pattern="^shop",
        heartbeats="heartbeats",
        batch_rows=10,
        batch_bytes=1_000_000,
        linger_seconds=0,
        patience_seconds=0,
        max_rows=10,
    )
    places = SimpleNamespace(starting_positions=None)
    consumer = LiveConsumer(client, overlay, places, heartbeats, LiveMetrics(), options)
    consumer._member.assigned.add({ORDERS: 3})
    return SimpleNamespace(consumer=consumer, client=client, written=written)


def read(live, sent_at):
    live.client.messages.append(Message(sent_at))
    live.consumer._poll()
    live.consumer._flush()


def instants(live):
    return [sent_at for sent_at, _ in live.written]


def test_live_writes_no_heartbeat_before_it_has_caught_up(live, broker):
    read(live, at(1))
    broker.answer(o=5)
    live.consumer._flush()
    assert instants(live) == []
    live.consumer._member.assigned.add({ORDERS: 5})
    live.consumer._flush()
    assert instants(live) == [at(1)]


def test_live_takes_no_heartbeat_while_it_polls_no_changes(live, broker):
    live.consumer._pause()
    live.client.messages.append(Message(at(1)))
    live.consumer._poll()
    assert broker.asked == []
    live.consumer._resume()
    read(live, at(2))
    broker.answer(o=3)
    live.consumer._flush()
    assert instants(live) == [at(2)]


def test_a_heartbeat_is_as_old_as_its_arrival_however_long_it_was_held(live, broker, monkeypatch):
    """By a clock of its own: the shop's may be an hour ahead."""
    now = [1000.0]
    monkeypatch.setattr("consumers.live.heartbeats.time.monotonic", lambda: now[0])
    read(live, at(3600))
    broker.answer(o=5)
    now[0] += 40
    live.consumer._member.assigned.add({ORDERS: 5})
    live.consumer._flush()
    assert live.written == [(at(3600), 40.0)]


@pytest.mark.parametrize("sent_at", ["+292278994-08-16T23:00:00Z", "-0044-03-15T12:00:00Z", None])
def test_a_heartbeat_of_another_calendar_is_no_heartbeat_and_live_continues(sent_at, live, broker):
    live.client.messages.append(Message(sent_at))
    live.consumer._poll()
    assert broker.asked == []
    read(live, at(2))
    broker.answer(o=3)
    live.consumer._flush()
    assert instants(live) == [at(2)]
