"""Landing, on a real broker and a real object store: each test has topics and tables of its own."""

import contextlib
import signal
import subprocess
import sys
import time
import uuid

import httpx
import polars as pl
import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lakehouse.contracts.bronze import bronze_table
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import QuietLog, admin_client, describe_topics
from lakehouse.lake import BRONZE_SCHEMA, LOSS_LEDGER, storage_options, table_uri
from tests.stacks import free_ports, popen_with

pytestmark = pytest.mark.integration
PATIENCE_SECONDS = 300  # a bound on waiting, not on being right: machines are busy


class Shop:
    """A topic prefix of its own, so that landers of different tests never meet."""

    def __init__(self, stack):
        self.stack = stack
        self.prefix = f"t{uuid.uuid4().hex[:10]}"
        self.group = f"{self.prefix}-landing"
        self.admin = admin_client(stack.kafka.client)
        self.producer = Producer(
            {"bootstrap.servers": stack.kafka.bootstrap_servers}, logger=QuietLog()
        )
        self.options = storage_options(stack.minio, stack.secrets, user="admin")
        self.landers = []

    def topic(self, name="things", partitions=2):
        topic = f"{self.prefix}.public.{self.prefix}{name}"
        self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        return topic

    def uri(self, topic):
        return table_uri(self.stack.minio.bronze_bucket, bronze_table(topic))

    def send(self, topic, count, *, first=0, partition=0):
        for n in range(first, first + count):
            self.producer.produce(topic, b"v%d" % n, key=b"k%d" % n, partition=partition)
        assert self.producer.flush(PATIENCE_SECONDS) == 0

    def owners(self):
        """How many landers have partitions."""
        groups = self.admin.describe_consumer_groups([self.group])
        members = groups[self.group].result().members
        return sum(bool(member.assignment.topic_partitions) for member in members)

    def forget_group(self):
        """Succeeds once the group has no member; with it goes what it committed."""
        try:
            self.admin.delete_consumer_groups([self.group])[self.group].result()
        except KafkaException as error:
            return error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
        return True

    def land(self, *arguments, metrics_port=0, constants=None, **settings):
        mine = {
            "CONNECT_TOPIC_PREFIX": self.prefix,
            "LANDING_FLUSH_SECONDS": "0.25",
        }
        words = ("land", "--metrics-port", metrics_port, *arguments)
        stack = self.stack.with_settings(**mine | settings)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        lander = (
            popen_with(stack, constants, *words, **pipes)
            if constants
            else stack.fork(*words, **pipes)
        )
        self.landers.append(lander)
        return lander

    def send_and_land(self, topic, count):
        """Leaves no lander behind."""
        self.send(topic, count)
        lander = self.land()
        self.wait_for_rows(topic, count)
        lander.send_signal(signal.SIGTERM)
        lander.wait(timeout=PATIENCE_SECONDS)

    def table(self, topic):
        return DeltaTable(self.uri(topic), storage_options=self.options)

    def rows(self, topic, count):
        """A frame in a list; None while it cannot be read, or its log tells of fewer rows."""
        with contextlib.suppress(Exception):
            table = self.table(topic)
            landed = pl.DataFrame(table.get_add_actions(flatten=True))["num_records"].sum()
            return [pl.scan_delta(table).collect()] if landed >= count else None

    def wait_for_rows(self, topic, count):
        [rows] = until(lambda: self.rows(topic, count), f"{count} rows of {topic} in bronze")
        assert rows.height == count
        coordinates = rows.select("_topic_id", "_partition", "_offset")
        assert coordinates.n_unique() == count
        return rows

    def close(self):
        for lander in self.landers:
            if lander.poll() is None:
                lander.kill()
            sys.stderr.write("\n".join(lander.communicate()))  # shown when a test fails


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # Whoever does not answer may later.
        with contextlib.suppress(RetryLaterError, httpx.TransportError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def shop(stack):
    shop = Shop(stack)
    yield shop
    shop.close()


def test_records_land_as_the_bytes_that_kafka_held(shop):
    topic = shop.topic(partitions=1)
    shop.producer.produce(
        topic, b"\x00\xff not json", key=b"k", headers=[("h", b"\x01"), ("n", None)]
    )
    shop.producer.produce(topic, None, key=b"tombstone")
    shop.producer.produce(topic, b"", key=None)
    shop.producer.flush(PATIENCE_SECONDS)
    shop.land()
    rows = shop.wait_for_rows(topic, 3).sort("_offset")
    assert rows["value"].to_list() == [b"\x00\xff not json", None, b""]
    assert rows["key"].to_list() == [b"k", b"tombstone", None]
    assert rows["_headers"].to_list()[0] == [
        {"key": "h", "value": b"\x01"},
        {"key": "n", "value": None},
    ]
    assert rows["_offset"].to_list() == [0, 1, 2]
    assert rows["_epoch"].unique().to_list() == [0]
    described = describe_topics(shop.admin, [topic])[topic]
    assert rows["_topic_id"].unique().to_list() == [described.topic_id]
    assert (rows["_timestamp"].dt.date() == rows["_date"]).all()


def test_topic_made_while_running_lands_without_a_restart(shop):
    first = shop.topic("first")
    shop.send(first, 10)
    shop.land()
    shop.wait_for_rows(first, 10)
    second = shop.topic("second")
    shop.send(second, 10)
    shop.wait_for_rows(second, 10)


def test_restart_continues_from_the_table_whatever_the_group_committed(shop):
    topic = shop.topic()
    shop.send(topic, 10)
    lander = shop.land()
    shop.wait_for_rows(topic, 10)
    # One that is killed is a member until its session ends.
    lander.send_signal(signal.SIGTERM)
    assert lander.wait(timeout=PATIENCE_SECONDS) == 0
    shop.send(topic, 10, first=10)
    until(shop.forget_group, "the group to be empty")
    shop.land()
    shop.wait_for_rows(topic, 20)


def test_sigterm_flushes_what_was_polled_and_leaves_within_ten_seconds(shop):
    topic, (port,) = shop.topic(), free_ports(1)
    shop.send(topic, 100)
    lander = shop.land(LANDING_FLUSH_SECONDS="3600", metrics_port=port)
    until(lambda: metric(port, "landing_buffer_bytes") > 0, "the first records")
    time.sleep(3)
    lander.send_signal(signal.SIGTERM)
    assert lander.wait(timeout=10) == 0
    shop.wait_for_rows(topic, 100)


def test_second_lander_shares_the_partitions_and_nothing_lands_twice(shop):
    topic = shop.topic(partitions=4)
    landers = [shop.land(), shop.land()]
    until(lambda: shop.owners() == 2, "both to have partitions")
    for n in range(60):
        shop.send(topic, 25, first=n * 25, partition=n % 4)
        time.sleep(0.1)
    shop.wait_for_rows(topic, 1500)
    for lander in landers:
        lander.send_signal(signal.SIGTERM)
    logs = [lander.communicate(timeout=PATIENCE_SECONDS)[1] for lander in landers]
    for log in logs:
        assigned = [line for line in log.splitlines() if '"event": "assigned"' in line]
        assert any(topic in line for line in assigned), f"never had a partition:\n{log}"


@pytest.mark.long
def test_zombie_stopped_past_its_session_lands_nothing_twice(shop):
    topic = shop.topic(partitions=1)
    shop.send(topic, 100)
    zombie = shop.land(LANDING_FLUSH_SECONDS="2")
    until(lambda: DeltaTable.is_deltatable(shop.uri(topic), shop.options), "assignment")
    time.sleep(1)
    zombie.send_signal(signal.SIGSTOP)
    shop.land()
    shop.wait_for_rows(topic, 100)
    shop.send(topic, 100, first=100)
    shop.wait_for_rows(topic, 200)
    zombie.send_signal(signal.SIGCONT)
    shop.send(topic, 100, first=200)
    shop.wait_for_rows(topic, 300)
    time.sleep(3)
    shop.wait_for_rows(topic, 300)


def expire(shop, topic, before):
    partition = TopicPartition(topic, 0, before)
    shop.admin.delete_records([partition])[partition].result()


def stopped(lander):
    out, err = lander.communicate(timeout=PATIENCE_SECONDS)
    assert lander.returncode == 3, out
    return " ".join(err.split())


def test_retention_that_overtook_the_lander_stops_it_and_says_what_was_lost(shop):
    topic = shop.topic()
    shop.send_and_land(topic, 10)
    shop.send(topic, 10, first=10)
    expire(shop, topic, 15)
    message = stopped(shop.land())
    assert "bronze needs offset 10, but the broker's oldest is 15" in message
    assert "--accept-loss" in message
    shop.wait_for_rows(topic, 10)


def test_accepted_loss_is_in_the_ledger_and_landing_continues_behind_it(shop):
    topic = shop.topic()
    shop.send(topic, 20)
    expire(shop, topic, 15)
    lander = shop.land("--accept-loss")
    rows = shop.wait_for_rows(topic, 5)
    assert sorted(rows["_offset"].to_list()) == [15, 16, 17, 18, 19]
    lander.send_signal(signal.SIGTERM)
    lander.wait(timeout=PATIENCE_SECONDS)
    uri = table_uri(shop.stack.minio.bronze_bucket, LOSS_LEDGER)
    ledger = pl.scan_delta(uri, storage_options=shop.options)
    lost = ledger.filter(pl.col("topic") == topic).collect()
    assert lost.select("kind", "partition", "first_offset", "last_offset").rows() == [
        ("expired", 0, 0, 14)
    ]
    shop.send(topic, 5, first=20)
    shop.land()
    shop.wait_for_rows(topic, 10)


@pytest.mark.long
def test_retention_that_overtakes_a_running_lander_stops_it(shop):
    topic = shop.topic(partitions=1)
    shop.send(topic, 10)
    lander = shop.land()
    shop.wait_for_rows(topic, 10)
    lander.send_signal(signal.SIGSTOP)
    time.sleep(1)  # lets the fetch that is under way come back empty
    shop.send(topic, 10, first=10)
    expire(shop, topic, 20)
    lander.send_signal(signal.SIGCONT)
    shop.send(topic, 10, first=20)
    assert "bronze needs offset" in stopped(lander)


def test_recreated_topic_stops_the_lander_and_starts_an_epoch_once_accepted(shop):
    topic = shop.topic()
    shop.send_and_land(topic, 10)
    shop.admin.delete_topics([topic])[topic].result()
    until(lambda: not describe_topics(shop.admin, [topic]), "the topic to be gone")
    shop.admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
    shop.send(topic, 4)
    assert "the topic was recreated" in stopped(shop.land())
    shop.land("--accept-loss")
    rows = shop.wait_for_rows(topic, 14)
    assert rows.group_by("_epoch").len().sort("_epoch").rows() == [(0, 10), (1, 4)]


@pytest.mark.long
def test_topic_recreated_under_a_running_lander_stops_it(shop):
    topic = shop.topic()
    shop.send(topic, 10)
    lander = shop.land()
    shop.wait_for_rows(topic, 10)
    shop.admin.delete_topics([topic])[topic].result()
    until(lambda: not describe_topics(shop.admin, [topic]), "the topic to be gone")
    shop.admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
    shop.send(topic, 20)
    assert "recreated" in stopped(lander)
    shop.wait_for_rows(topic, 10)


def test_repartitioned_topic_stops_the_lander(shop):
    topic = shop.topic(partitions=2)
    shop.send_and_land(topic, 10)
    shop.admin.create_partitions([NewPartitions(topic, 3)])[topic].result()
    assert "had 2 partitions, now 3" in stopped(shop.land())


def test_watermark_beyond_the_end_stops_the_lander(shop):
    topic = shop.topic(partitions=1)
    shop.send_and_land(topic, 10)
    app_id = describe_topics(shop.admin, [topic])[topic].partitions[0].app_id
    write_deltalake(
        shop.table(topic),
        BRONZE_SCHEMA.empty_table(),
        mode="append",
        commit_properties=CommitProperties(app_transactions=[Transaction(app_id, 99)]),
    )
    assert "bronze has landed up to 99, but the topic ends at 10" in stopped(shop.land())
    shop.land("--accept-loss")
    # It continues from the end as it is then: what is sent before belongs to the gap.
    until(lambda: shop.table(topic).transaction_version(app_id) == 9, "the gap to be accepted")
    shop.send(topic, 5, first=10)
    rows = shop.wait_for_rows(topic, 15)
    assert rows.filter(pl.col("_epoch") == 1)["_offset"].sort().to_list() == [10, 11, 12, 13, 14]


def test_small_files_are_compacted_while_landing_and_no_row_is_lost(shop):
    topic = shop.topic(partitions=1)
    shop.land(constants={"consumers.bronze.service.COMPACT_COMMITS": 5})
    for n in range(30):
        shop.send(topic, 5, first=n * 5)
        time.sleep(0.3)
    shop.wait_for_rows(topic, 150)
    until(lambda: len(shop.table(topic).file_uris()) < 12, "compaction")
    shop.wait_for_rows(topic, 150)


def test_metrics_tell_rows_lag_and_freshness_of_each_table(shop):
    topic = shop.topic()
    [port] = free_ports(1)
    shop.send(topic, 10)
    shop.land(metrics_port=port)
    shop.wait_for_rows(topic, 10)
    name = bronze_table(topic)

    def metrics():
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text

    until(lambda: f'landing_rows_total{{table="{name}"}} 10.0' in metrics(), "rows")
    first = f'partition="0",table="{name}"'
    until(lambda: f"landing_lag_offsets{{{first}}} 0.0" in metrics(), "lag")
    until(lambda: f"landing_lag_seconds{{{first}}} 0.0" in metrics(), "lag in seconds")
    assert f'landing_freshness_seconds{{table="{name}"}}' in metrics()
    assert f'landing_commits_total{{table="{name}"}}' in metrics()


def test_transaction_marks_that_expire_behind_the_last_record_are_no_loss(shop):
    topic = shop.topic(partitions=1)
    producer = Producer(
        {
            "bootstrap.servers": shop.stack.kafka.bootstrap_servers,
            "transactional.id": shop.prefix,
        },
        logger=QuietLog(),
    )
    producer.init_transactions()
    producer.begin_transaction()
    for n in range(5):
        producer.produce(topic, b"v%d" % n, key=b"k%d" % n)
    producer.commit_transaction()
    lander = shop.land()
    shop.wait_for_rows(topic, 5)
    app_id = describe_topics(shop.admin, [topic])[topic].partitions[0].app_id
    until(lambda: shop.table(topic).transaction_version(app_id) == 5, "the mark to be passed")
    lander.send_signal(signal.SIGTERM)
    lander.wait(timeout=PATIENCE_SECONDS)
    expire(shop, topic, before=6)
    shop.land()
    shop.send(topic, 2, first=5)
    shop.wait_for_rows(topic, 7)


def test_memory_stays_bounded_while_the_store_is_away_and_all_lands_afterwards(shop):
    topic, (port,) = shop.topic(partitions=4), free_ports(1)
    shop.send(topic, 4)
    lander = shop.land(metrics_port=port, LANDING_MEMORY_MB="32")
    shop.wait_for_rows(topic, 4)
    shop.stack.stop("minio")
    try:
        for n in range(120_000):
            shop.producer.produce(topic, b"x" * 1_000, key=b"k%d" % n, partition=n % 4)
            if n % 10_000 == 0:
                shop.producer.flush(PATIENCE_SECONDS)
        assert shop.producer.flush(PATIENCE_SECONDS) == 0
        until(lambda: metric(port, "landing_paused") == 1, "a pause")
        time.sleep(2)
        assert metric(port, "landing_buffer_bytes") < 64 * 1024 * 1024
        assert psutil.Process(lander.pid).memory_info().rss < 500 * 1024 * 1024
    finally:
        shop.stack.start("minio")
    shop.wait_for_rows(topic, 120_004)
    until(lambda: metric(port, "landing_paused") == 0, "an end of the pause")


def metric(port, name):
    page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False).text
    return float(next(line for line in page.splitlines() if line.startswith(f"{name} ")).split()[1])
