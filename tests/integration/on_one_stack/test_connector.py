"""The connector on the real services: applied once, watched, broken, and repaired.

What is broken here is a second connector with a slot and topics of its own.
"""

import json
import socket
import statistics
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager, suppress

import orjson
import psycopg
import pytest
from confluent_kafka import Consumer

from connectors.definition import render
from connectors.registration import Content, apply
from connectors.rest import ConnectApi
from connectors.slot import drop_slot, read_slot
from connectors.source import prepare
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.kafka import QuietLog, admin_client, matching_topics
from lakehouse.postgres import oltp_dsn
from tests.stacks import popen_with

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 300  # a bound on waiting, not on being right: machines are busy


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # Whoever does not answer may later, and Connect refuses much while it rebalances.
        with suppress(RetryLaterError):
            if condition():
                return
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def dsn(stack, role="admin"):
    return oltp_dsn(stack.oltp, stack.secrets, role=role)


def run(stack, *statements):
    with psycopg.connect(dsn(stack), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def status(stack):
    told = stack.run("connect", "status", "--format", "json", check=False)
    return told.returncode, json.loads(told.stdout)


@pytest.fixture
def reader(stack):
    """Reads committed records of all topics with a prefix, from their beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 500,
        },
        logger=QuietLog(),
    )
    yield consumer
    consumer.close()


def read_until(reader, wanted, count=1):
    """All changes that came until `count` of them are such as `wanted` picks.

    Partitions come in any order, so that what comes along with the last one belongs to it.
    """
    changes = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(map(wanted, changes)) < count:
        assert time.monotonic() < deadline, f"did not come; {len(changes)} changes did"
        changes += [
            orjson.loads(message.value())
            for message in reader.consume(500, 0.05)
            if message.error() is None and message.value()
        ]
    return changes


@pytest.fixture
def table(stack):
    name = f"captured_{uuid.uuid4().hex[:8]}"
    yield name
    run(stack, f"drop table if exists {name}")


@pytest.fixture
def second(stack):
    """Settings of a connector that is not registered yet; nothing of it is left at the end."""
    name = f"second_{uuid.uuid4().hex[:8]}"
    settings = {
        "CONNECT_CONNECTOR_NAME": name,
        "CONNECT_SLOT_NAME": name,
        "CONNECT_TOPIC_PREFIX": name,
    }
    yield stack.with_settings(**settings)
    with ConnectApi(stack.connect.url, name) as api:
        until(
            lambda: api._request("DELETE", f"/connectors/{name}", absent_is_fine=True),
            "the connector to be deleted",
        )
    until(lambda: not is_read(stack, name), "the slot to be let go")
    drop_slot(dsn(stack), name)


def is_read(stack, slot_name):
    slot = read_slot(dsn(stack), slot_name)
    return slot is not None and slot.is_active


def test_applied_twice_is_applied_once(stack):
    stack.run("connect", "apply")
    secrets_file = stack.config.stack.connect_secrets_path
    applied = apply(stack.connect, stack.oltp, stack.kafka, secrets_file, Content())
    assert not applied.is_changed
    assert "is up to date" in stack.run("connect", "apply").stdout


def test_other_settings_are_applied_and_the_connector_continues(second, table, reader):
    second.run("connect", "apply")
    told = second.with_settings(CONNECT_POLL_INTERVAL_MS="20").run("connect", "apply")
    assert "was updated" in told.stdout
    run(second, f"create table {table} (id int primary key)", f"insert into {table} values (1)")
    reader.subscribe([f"^{second.connect.topic_prefix}\\.public\\..*"])
    read_until(reader, lambda change: (change["after"] or {}).get("id") == 1)


def test_connector_that_was_paused_continues_when_applied(second):
    second.run("connect", "apply")
    with ConnectApi(second.connect.url, second.connect.connector_name) as api:
        api._request("PUT", f"/connectors/{api.name}/pause")
        until(lambda: api.state().connector == "PAUSED", "the pause")
        code, told = status(second)
        assert code == 1
        assert "PAUSED" in told["problems"][0]
        second.run("connect", "apply")
        assert api.state().is_running


def test_status_tells_states_and_lag(stack):
    until(lambda: status(stack)[0] == 0, "a healthy connector")
    _, told = status(stack)
    assert (told["connector_state"], told["task_state"]) == ("RUNNING", "RUNNING")
    assert told["wal_status"] == "reserved"
    assert told["slot_lag_bytes"] >= 0
    assert told["slot_lag_seconds"] >= 0
    assert 0 <= told["wal_held_share"] < 1
    assert told["problems"] == []
    shown = stack.run("connect", "status").stdout
    assert told["slot"] in shown


def test_idle_shop_does_not_pin_wal(stack):
    """The heartbeat alone moves the position that the slot has confirmed."""
    before = read_slot(dsn(stack), stack.connect.slot_name).confirmed_position

    def has_moved():
        return read_slot(dsn(stack), stack.connect.slot_name).confirmed_position != before

    until(has_moved, "the slot's confirmed position to move")


def test_missing_publication_is_said_in_plain_words(second):
    constants = {"lakehouse.settings.servers.PUBLICATION": "nobody_made_it"}
    lost = popen_with(second, constants, "connect", "apply", stderr=subprocess.PIPE)
    _, told = lost.communicate(timeout=PATIENCE_SECONDS)
    assert lost.returncode != 0
    assert "The publication is missing" in told
    assert "Traceback" not in told
    code, report = status(second)
    assert code == 1
    assert "The publication is missing" in " ".join(report["problems"])
    assert "autocreation is disabled" in report["trace"]


@pytest.mark.long
def test_connector_that_failed_runs_again_by_itself_once_kafka_is_back(second):
    """Its task gives up on the broker at the one moment at which Connect itself does not wait."""
    kafka = (second.kafka.host, second.kafka.port)
    with unused_port() as door:
        config = render(second.connect, second.oltp, second.config.stack.connect_secrets_path) | {
            "admin.override.bootstrap.servers": f"127.0.0.1:{door.getsockname()[1]}",
            "admin.override.default.api.timeout.ms": "2000",
            "admin.override.request.timeout.ms": "1000",
        }
        with ConnectApi(second.connect.url, second.connect.connector_name) as api:
            until(lambda: api.put_config(config) or True, "the connector to be taken")
            until(lambda: (found := api.state()) and found.is_failed, "its failure")
            assert not api.state().waits_for_person
        restarting = second.fork("connect", "auto-restart")
        try:
            with opened(door, kafka):
                until(lambda: status(second)[0] == 0, "a healthy connector")
        finally:
            restarting.terminate()
            assert restarting.wait(timeout=PATIENCE_SECONDS) == 0


@contextmanager
def unused_port():
    """A port that is ours, and at which nobody answers before `opened`."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield door


@contextmanager
def opened(door, target):
    """Hands on to `target` what comes to the port."""
    door.listen()

    def hand_on(source, sink):
        with suppress(OSError), source, sink:
            while data := source.recv(65536):
                sink.sendall(data)

    def let_in():
        with suppress(OSError):
            while True:
                caller, _ = door.accept()
                callee = socket.create_connection(target)
                for pair in ((caller, callee), (callee, caller)):
                    threading.Thread(target=hand_on, args=pair, daemon=True).start()

    threading.Thread(target=let_in, daemon=True).start()
    try:
        yield
    finally:
        door.shutdown(socket.SHUT_RDWR)


def test_database_that_refuses_is_said_in_plain_words(second):
    nowhere = second.with_settings(OLTP_DATABASE="nowhere")
    secrets_file = second.config.stack.connect_secrets_path
    with pytest.raises(StopPipelineError, match="Database nowhere does not exist"):
        apply(nowhere.connect, nowhere.oltp, second.kafka, secrets_file, Content())


def test_lost_slot_is_told_and_all_tables_are_read_again(second, table, reader):
    run(second, f"create table {table} (id int primary key)")
    second.run("connect", "apply")
    name = second.connect.connector_name
    with ConnectApi(second.connect.url, name) as api:
        # Without a position nothing was sent yet, so nothing can be lost.
        until(lambda: api.stored().position is not None, "a position in Connect")
        api.stop()
        # A task that has only begun to start would make the slot again.
        until(api.is_stopped, "the connector to stop")
        until(lambda: not is_read(second, name), "the slot to be let go")
    drop_slot(dsn(second), name)
    run(second, f"insert into {table} values (1)")
    code, told = status(second)
    assert code == 1
    assert "does not exist" in told["problems"][0]
    second.run("connect", "apply", check=False)
    until(lambda: "--accept-loss" in " ".join(status(second)[1]["problems"]), "the advice")
    second.run("connect", "resnapshot", "--yes")
    reader.subscribe([f"^{name}\\.public\\.{table}$"])
    [change] = read_until(reader, lambda change: change["after"] == {"id": 1})
    assert change["op"] == "r"
    until(lambda: status(second)[0] == 0, "a healthy connector")


def test_row_too_large_stops_capture_until_the_advice_is_followed_to_the_letter(
    second, table, reader
):
    """The old and the new version, each below the limit, are together above it."""
    small = second.with_settings(CONNECT_MAX_ROW_MB=1)
    name = small.connect.connector_name
    run(
        small,
        f"create table {table} (id int primary key, v text)",
        f"create table {table}_other (id int primary key)",
    )
    try:
        small.run("connect", "apply")
        # Digests, which lz4 makes no smaller than half.
        letters = "(select string_agg(md5(random()::text), '') from generate_series(1, {}))"
        run(small, f"insert into {table} select 1, {letters.format(24_000)}")
        reader.subscribe([f"^{name}\\.public\\.{table}.*"])
        read_until(reader, lambda change: (change["after"] or {}).get("id") == 1)
        run(small, f"update {table} set v = {letters.format(90_000)}")
        with ConnectApi(small.connect.url, name) as api:
            until(lambda: (found := api.state()) and found.is_failed, "its failure")
            assert api.state().waits_for_person
        run(small, f"insert into {table}_other values (7)")
        [problem] = [text for text in status(small)[1]["problems"] if "larger than Kafka" in text]
        assert "Set CONNECT_MAX_ROW_MB to more than that" in problem
        assert "run ./pipeline connect apply" in problem
        size = int(problem.partition(" bytes)")[0].rpartition("(")[2])
        wanted = size // 2**20 + 1
        assert 3 < wanted < 8
        larger = second.with_settings(CONNECT_MAX_ROW_MB=wanted)
        larger.run("connect", "apply")
        changes = read_until(reader, lambda change: change["after"] == {"id": 7})
        [update] = [c for c in changes if c["op"] == "u"] or read_until(
            reader, lambda change: change["op"] == "u"
        )
        assert len(update["before"]["v"]) == 24_000 * 32
        assert len(update["after"]["v"]) == 90_000 * 32
        until(lambda: status(larger)[0] == 0, "a healthy connector")
    finally:
        run(small, f"drop table if exists {table}_other")


def test_table_added_while_running_loses_nothing(stack, table, reader):
    """From the transaction that makes it on, while others write to it at once."""
    reader.subscribe([f"^{stack.connect.topic_prefix}\\.public\\.{table}$"])
    with psycopg.connect(dsn(stack)) as connection:
        connection.execute(f"create table {table} (id int primary key)")
        connection.execute(f"insert into {table} select generate_series(1, 500)")
    for n in range(501, 600):
        run(stack, f"insert into {table} values ({n})")
    run(stack, f"update {table} set id = id where id = 1", f"delete from {table} where id = 600")
    changes = read_until(reader, lambda change: change["op"] in "cu", count=600)
    made = [change["after"]["id"] for change in changes if change["op"] == "c"]
    assert sorted(made) == list(range(1, 600))


def test_preparing_the_shop_does_not_hold_up_the_shop(stack, table):
    """What has to be altered is read by a transaction that does not end."""
    run(stack, f"drop table if exists public.{table}",
        "alter event trigger cdc_capture disable",
        f"create table public.{table} (id int primary key)",
        "alter event trigger cdc_capture enable")  # fmt: skip
    with psycopg.connect(dsn(stack)) as left_open:
        left_open.execute(f"select from public.{table}")
        with pytest.raises(RetryLaterError, match="has a table open"):
            prepare(dsn(stack), stack.connect)
        run(stack, "set statement_timeout = '20s'", f"insert into public.{table} values (1)")
    prepare(dsn(stack), stack.connect)


def test_deletes_and_updates_tell_the_whole_old_row(stack, table, reader):
    reader.subscribe([f"^{stack.connect.topic_prefix}\\.public\\.{table}$"])
    run(
        stack,
        f"create table {table} (id int primary key, v text)",
        f"insert into {table} values (1, 'a')",
        f"update {table} set v = 'b'",
        f"delete from {table}",
    )
    changes = read_until(reader, lambda change: change["op"] == "d")
    told = [(change["op"], change["before"], change["after"]) for change in changes]
    a, b = {"id": 1, "v": "a"}, {"id": 1, "v": "b"}
    assert told == [("c", None, a), ("u", a, b), ("d", b, None)]


def test_new_topics_have_the_partitions_that_the_settings_say(stack, table):
    run(stack, f"create table {table} (id int primary key)", f"insert into {table} values (1)")
    topic = f"{stack.connect.topic_prefix}.public.{table}"
    admin = admin_client(stack.kafka.client)
    until(lambda: topic in matching_topics(admin, ".*"), "the topic")
    found = admin.list_topics(timeout=PATIENCE_SECONDS).topics[topic]
    assert len(found.partitions) == stack.connect.topic_partitions


@pytest.mark.long
def test_commit_reaches_a_reader_of_kafka(stack, table, reader, capsys):
    """Prints how soon; how soon is soon enough is for the benchmark to say."""
    run(stack, f"create table {table} (id int primary key)", f"insert into {table} values (0)")
    reader.subscribe([f"^{stack.connect.topic_prefix}\\.public\\.{table}$"])
    read_until(reader, lambda change: change["after"] == {"id": 0})
    milliseconds = []
    with psycopg.connect(dsn(stack), autocommit=True) as connection:
        for n in range(1, 41):
            time.sleep(0.05)
            connection.execute(f"insert into {table} values ({n})")
            committed = time.monotonic()
            while not any(
                message.error() is None
                and message.value()
                and orjson.loads(message.value())["after"] == {"id": n}
                for message in reader.consume(10, 0.001)
            ):
                assert time.monotonic() - committed < PATIENCE_SECONDS
            milliseconds.append((time.monotonic() - committed) * 1000)
    with capsys.disabled():
        median = statistics.median(milliseconds)
        print(f"\ncommit to Kafka, idle: median {median:.0f} ms, worst {max(milliseconds):.0f} ms")  # noqa: T201
