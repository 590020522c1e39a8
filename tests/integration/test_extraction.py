"""Extractions on the real services, and a replication slot that is lost while the shop sells."""

import json
import signal
import subprocess
import time
import uuid
from contextlib import contextmanager

import orjson
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from batch.extraction.deletes import Delete
from batch.extraction.writer import DeleteWriter
from connectors.rest import ConnectApi
from connectors.slot import drop_slot, make_slot, read_slot
from consumers.bronze.loss import LossLedger
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import QuietLog
from lakehouse.lake import LOSS_LEDGER, storage_options, table_uri
from lakehouse.postgres import oltp_dsn
from tests.stacks import tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
PATIENCE_SECONDS = 300  # a bound on waiting, not on being right: machines are busy
TRACKED = "id bigint primary key, v text, updated_at timestamptz default now(), version bigint"


@pytest.fixture(scope="module")
def shop():
    """A stack up to bronze, in which a shop has sold a little."""
    with tenant(LANDING_FLUSH_SECONDS=0.5, RECONCILE_TIMEOUT_SECONDS=PATIENCE_SECONDS) as stack:
        stack.up("lander")
        stack.run("simulate", "--history", 1, "--orders", 200)
        yield stack


@contextmanager
def selling(shop):
    """A simulator at work, until the block ends."""
    placed = count(shop, "orders")
    process = shop.fork(
        "simulate", "--orders-per-second", 15, "--format", "json",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: count(shop, "orders") > placed, "the first orders")
        yield
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, out
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def table(shop):
    """A table of its own, whose versions the shop's trigger counts."""
    name = f"things_{uuid.uuid4().hex[:8]}"
    run(
        shop,
        f"create table public.{name} ({TRACKED})",
        f"select public.track_versions('public.{name}', 'id')",
    )
    yield name
    run(shop, f"drop table public.{name}")


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def dsn(shop, role="admin"):
    return oltp_dsn(shop.oltp, shop.secrets, role=role)


def run(shop, *statements):
    with psycopg.connect(dsn(shop), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def count(shop, table):
    with psycopg.connect(dsn(shop)) as connection:
        return connection.execute(f"select count(*) from public.{table}").fetchone()[0]


def extract(shop, *arguments, code=0):
    found = shop.run("extract", *arguments, "--format", "json", check=False, timeout=600)
    assert found.returncode == code, found.stdout + found.stderr
    return json.loads(found.stdout)


def refusal(shop, *arguments):
    found = shop.run("extract", *arguments, check=False)
    assert found.returncode != 0, found.stdout
    assert "Traceback" not in found.stderr
    return " ".join(found.stderr.split())


def under_way(shop):
    return extract(shop, "--status")["extraction"]


def extraction_id(shop):
    with ConnectApi(shop.connect.url, shop.connect.connector_name) as api:
        return api.stored().extraction_id


def reconcile(shop, *, code=0):
    found = shop.run("reconcile", "--format", "json", check=False, timeout=900)
    assert found.returncode == code, found.stdout + found.stderr
    report = json.loads(found.stdout)
    return report, {one["table"]: one for one in report["tables"]}


def records(shop, table):
    """All changes of a table in Kafka up to its end, by partition and in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": shop.kafka.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        },
        logger=QuietLog(),
    )
    try:
        unread, found = partitions(consumer, f"{shop.connect.topic_prefix}.public.{table}"), []
        consumer.assign([TopicPartition(*coordinate, OFFSET_BEGINNING) for coordinate in unread])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while unread:
            assert time.monotonic() < deadline, f"not read to the end: {unread}"
            for message in consumer.consume(500, 0.1):
                if message.error() is None:
                    change = orjson.loads(message.value())
                    found.append((message.partition(), message.offset(), change))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    unread.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
    return [change for *_, change in sorted(found, key=lambda one: one[:2])]


def partitions(consumer, topic):
    """None where the topic was not made yet."""
    topics = consumer.list_topics(timeout=PATIENCE_SECONDS).topics
    return {(topic, number) for number in topics[topic].partitions} if topic in topics else set()


def read_keys(shop, table):
    return sorted(one["after"]["id"] for one in records(shop, table) if one["op"] == "r")


def test_full_extraction_reads_every_row_while_the_shop_sells(shop):
    losses = ledger(shop)
    with selling(shop):
        told = extract(shop, "--full")
    assert told["extraction"]["is_complete"]
    states = {one["table"]: one["state"] for one in told["extraction"]["tables"]}
    assert states.keys() >= {"orders", "order_lines", "customers", "interactions", "payments"}
    assert set(states.values()) == {"read"}
    rows = {one["table"]: one["rows"] for one in told["extraction"]["tables"]}
    assert rows["products"] > 0
    assert told["deletes"] == []
    report, _ = reconcile(shop)
    assert report["exact"]
    assert ledger(shop) == losses


def test_rows_of_some_days_are_read_and_no_others(shop, table):
    run(
        shop,
        f"insert into {table} (id, updated_at) values (1, '2026-06-30 21:59:59+00'), "
        "(2, '2026-06-30 22:00:00+00'), (3, '2026-07-02 21:59:59+00'), "
        "(4, '2026-07-02 22:00:00+00')",
    )
    told = extract(shop, table, "--since", "2026-07-01", "--until", "2026-07-02")
    assert told["days"]["columns"] == {table: "updated_at"}
    assert read_keys(shop, table) == [2, 3], "days are those of Paris"
    extract(shop, table, "--since", "2026-07-02")
    assert read_keys(shop, table) == [2, 3, 3, 4]


@pytest.mark.long
def test_extraction_rests_continues_and_is_ended(shop, table):
    fill(shop, table, 20_000)
    for end in ("--resume", "--stop"):
        # While the table is locked, nothing is read: so the pause is there in time.
        with psycopg.connect(dsn(shop)) as connection:
            connection.execute(f"lock table {table} in access exclusive mode")
            reading = shop.fork(
                "extract", table, "--full", "--format", "json",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            until(lambda: extraction_id(shop) is not None, "the extraction")
            resting = shop.fork("extract", "--pause", stdout=subprocess.PIPE)
            until(lambda: signals(shop, "pause-snapshot"), "the signal")
        assert "paused" in resting.communicate(timeout=PATIENCE_SECONDS)[0]
        rests = under_way(shop)
        assert rests["state"] == "paused"
        assert "Another extraction is running" in refusal(shop, "orders", "--full")
        time.sleep(1)
        assert under_way(shop) == rests
        extract(shop, end)
        out, errors = reading.communicate(timeout=PATIENCE_SECONDS)
        told = json.loads(out)["extraction"]
        assert told["is_complete"] == (end == "--resume"), errors
        assert reading.returncode == (0 if end == "--resume" else 1)
        run(shop, "delete from cdc.signal")
    assert under_way(shop) is None
    assert len(set(read_keys(shop, table))) == 20_000


def fill(shop, table, rows):
    """Rows, told already: of a table that is locked, Debezium could not learn its columns."""
    run(shop, f"insert into {table} (id) select generate_series(1, {rows})")
    until(lambda: len(records(shop, table)) == rows, "the rows")


def signals(shop, kind):
    with psycopg.connect(dsn(shop)) as connection:
        asked = "select count(*) from cdc.signal where type = %s"
        return connection.execute(asked, [kind]).fetchone()[0]


@pytest.mark.long
def test_interrupted_command_leaves_the_extraction_running_and_the_same_again_follows_it(
    shop, table
):
    fill(shop, table, 10_000)
    with psycopg.connect(dsn(shop)) as connection:
        connection.execute(f"lock table {table} in access exclusive mode")
        reading = shop.fork("extract", table, "--full", stderr=subprocess.PIPE)
        until(lambda: extraction_id(shop) is not None, "the extraction")
        begun = extraction_id(shop)
        time.sleep(1)
        reading.send_signal(signal.SIGINT)
        _, errors = reading.communicate(timeout=PATIENCE_SECONDS)
        assert reading.returncode == 130
        assert "The extraction continues" in errors
        assert "extract --stop" in errors
        again = shop.fork(
            "extract", table, "--full", "--format", "json",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert "this command follows it" in again.stderr.readline()
    told = json.loads(again.communicate(timeout=PATIENCE_SECONDS)[0])
    assert told["extraction"]["id"] == begun
    assert told["extraction"]["is_complete"]


def test_what_cannot_be_extracted_is_refused_before_anything_starts(shop, table):
    keyless, before = f"{table}_notes", signals(shop, "execute-snapshot")
    run(shop, f"create table public.{keyless} (note text)")
    assert "The shop has no table ordres. Did you mean orders? Tables:" in refusal(
        shop, "ordres", "--full"
    )
    assert "has no primary key" in refusal(shop, keyless, "--full")
    assert "not a date" in refusal(shop, table, "--since", "2026-13-01")
    assert "lies before" in refusal(shop, table, "--since", "2026-11-02", "--until", "2026-11-01")
    assert "give either --full" in refusal(shop, table)
    assert "No extraction is running" in refusal(shop, "--pause")
    assert signals(shop, "execute-snapshot") == before
    run(shop, f"drop table public.{keyless}")


def synthetic(shop, table):
    """How many deletes extractions have written; other tests of this file let them."""
    return sum("synthetic" in one["source"] for one in records(shop, table))


@pytest.mark.long
def test_extraction_is_refused_where_a_policy_hides_rows_and_the_advice_reads_them_all(shop):
    """The issue's own example, on a table of the contracts."""
    run(
        shop,
        "alter table customers enable row level security",
        "create policy app on customers to simulator using (true)",
    )
    try:
        before = signals(shop, "execute-snapshot"), synthetic(shop, "customers")
        told = refusal(shop, "customers", "--full")
        assert "customers has row-level security" in told
        assert (signals(shop, "execute-snapshot"), synthetic(shop, "customers")) == before
        report, tables = reconcile(shop, code=2)
        assert not report["exact"]
        assert "alter role reconcile bypassrls" in tables["customers"]["note"]
        assert all(not one["note"] for name, one in tables.items() if name != "customers")
        advice = told.split("As admin: ")[1].split(". Then")[0]
        run(shop, *advice.split("; "))
        found = extract(shop, "customers", "--full")
        assert found["deletes"] == []
        assert found["extraction"]["tables"][0]["rows"] == count(shop, "customers")
        report, _ = reconcile(shop)
        assert report["exact"]
    finally:
        run(
            shop,
            "alter role debezium nobypassrls", "alter role reconcile nobypassrls",
            "drop policy app on customers", "alter table customers disable row level security",
        )  # fmt: skip


def test_debezium_reads_no_row_of_a_table_that_hides_some_and_streams_on(shop, table):
    """Where the policy comes when the extraction is under way: it is not read, and others are."""
    fill(shop, table, 3)
    run(shop, f"alter table {table} enable row level security")
    signal_id = uuid.uuid4().hex
    asked = json.dumps({"type": "incremental", "data-collections": [f"public.{table}"]})
    with psycopg.connect(dsn(shop)) as connection:
        connection.execute(
            "insert into cdc.signal values (%s, 'execute-snapshot', %s)", [signal_id, asked]
        )
    run(shop, f"insert into {table} (id) values (4)")
    until(lambda: len(records(shop, table)) == 4, "the change behind the signal")
    assert read_keys(shop, table) == []
    assert status(shop)[0] == 0


@pytest.mark.long
def test_parent_is_read_without_the_rows_of_those_that_inherit_from_it(shop, table):
    child = f"{table}_child"
    run(
        shop,
        f"create table {child} (primary key (id)) inherits ({table})",
        f"insert into {child} (id) values (1), (3)",
    )
    fill(shop, table, 2)
    try:
        assert extract(shop, table, child, "--full")["deletes"] == []
        assert read_keys(shop, table) == [1, 2]
        assert read_keys(shop, child) == [1, 3]
    finally:
        run(shop, f"drop table {child}")


def test_many_deletes_at_once_are_written_when_somebody_allows_them(shop, table):
    """A table that was swapped for an emptier one: nothing in the log tells of its rows."""
    few = f"{table}_few"
    run(
        shop,
        f"create table {few} (id bigint primary key)",
        f"insert into {few} select generate_series(1, 99)",
    )
    fill(shop, table, 200)
    until(lambda: len(records(shop, few)) == 99, "the rows")
    run(
        shop,
        *(f"alter table {name} rename to {name}_old" for name in (table, few)),
        f"create table {table} ({TRACKED})",
        f"create table {few} (id bigint primary key)",
        f"insert into {table} (id) values (1)",
    )
    try:
        told = refusal(shop, table, few, "--full")
        assert f"{table} 199 of 200 rows (99.5%)" in told
        assert "--allow-deletes 298 " in told, "with those of the smaller table"
        assert {one["op"] for one in records(shop, table)} <= {"c", "r"}
        assert len(extract(shop, table, few, "--full", "--allow-deletes", 298)["deletes"]) == 298
        found = shop.run("reconcile", "--format", "json", check=False, timeout=900)
        extra = {one["table"]: one["extra"] for one in json.loads(found.stdout)["tables"]}
        assert extra[table] == extra[few] == 0
    finally:
        run(shop, f"drop table {table}_old, {few}_old, {few}")


def deletes_of(table, *keys):
    last = {"after": {"id": 0}, "source": {"table": table}}
    return [
        Delete(
            label=str(key),
            key=orjson.dumps({"id": key}),
            columns={"id": key},
            value=orjson.dumps({**last, "op": "d", "before": {"id": key}, "after": None}),
            partition=None,
        )
        for key in keys
    ]


def test_row_that_lives_after_all_is_not_deleted_and_the_others_are(shop, table):
    fill(shop, table, 3)
    topic = f"{shop.connect.topic_prefix}.public.{table}"
    asked = []

    def living(some):
        asked.append([one.label for one in some])
        return {1} if len(asked) == 1 else set()

    def away(some):
        raise RetryLaterError

    with DeleteWriter(
        shop.kafka.client, f"test-{table}", max_row_bytes=shop.connect.max_row_bytes
    ) as writer:
        with pytest.raises(RetryLaterError):
            writer.write(topic, deletes_of(table, 3), away)
        written = writer.write(topic, deletes_of(table, 1, 2, 3), living)
    assert asked == [["1", "2", "3"], ["1", "3"]]
    assert sorted(one.delete.label for one in written) == ["1", "3"]
    gone = [one["before"]["id"] for one in records(shop, table) if one["op"] == "d"]
    assert sorted(gone) == [1, 3]


def status(shop):
    told = shop.run("connect", "status", "--format", "json", check=False)
    return told.returncode, " ".join(json.loads(told.stdout)["problems"])


def lose_slot(shop):
    with ConnectApi(shop.connect.url, shop.connect.connector_name) as api:
        api.stop()
        until(api.is_stopped, "the connector to stop")
    name = shop.connect.slot_name
    until(lambda: not read_slot(dsn(shop), name).is_active, "the slot to be let go")
    drop_slot(dsn(shop), name)


def ledger(shop):
    options = storage_options(shop.minio, shop.secrets, user="admin")
    return LossLedger(table_uri(shop.minio.bronze_bucket, LOSS_LEDGER), options).rows()


@pytest.mark.long
def test_slot_that_was_lost_while_the_shop_sells_heals(shop, table):
    run(shop, f"insert into {table} (id) select generate_series(1, 9)")
    with selling(shop):
        until(lambda: len(records(shop, table)) == 9, "the table's rows in its topic")
        gone = lose_deletes(shop, table)
        lose_and_make_again(shop, table)
        _, before = reconcile(shop, code=1)
        assert before[table]["missing_versions"] > 0
        assert before[table]["excused_versions"] == 0
        told = extract(shop, "--full")
        found = {(one["table"], one["key"]) for one in told["deletes"]}
        assert found >= {(table, "2"), *(("interactions", key) for key in gone)}
        assert not found & {(table, str(key)) for key in (1, 3, 4, 5, 6, 7, 8, 9, 10, 11)}
    _, after = reconcile(shop)
    assert after[table]["excused_versions"] > 0
    shop.run("consolidate", timeout=600)
    report, _ = reconcile(shop)
    assert {"silver", "warehouse", "gold"} <= {one["layer"] for one in report["layers"]}
    # What was recorded excuses nothing that is missing later.
    assert extract(shop, table, "--full")["deletes"] == []
    # Other tests of this file truncate tables of their own.
    kinds = {row["kind"] for row in ledger(shop) if row["topic"].endswith(f".{table}")}
    assert kinds == {"slot_lost", "read_again"}


def lose_deletes(shop, table):
    """The slot is gone, and made by us; returns keys of interactions that went meanwhile."""
    lose_slot(shop)
    code, problems = status(shop)
    assert code == 1
    assert "does not exist" in problems
    assert "connect apply --accept-loss" in problems
    with psycopg.connect(dsn(shop)) as connection:
        rows = connection.execute(
            "delete from interactions where interaction_id in "
            "(select interaction_id from interactions order by 1 limit 20) returning interaction_id"
        ).fetchall()
    run(
        shop,
        f"update {table} set v = 'lost'",
        f"delete from {table} where id in (2, 3)",
        f"insert into {table} (id, v) values (3, 'again'), (10, 'new'), (12, 'short')",
        f"delete from {table} where id = 12",
    )
    refused = shop.run("connect", "apply", check=False)
    assert refused.returncode != 0
    assert "connect apply --accept-loss" in refused.stderr
    assert "Recorded in bronze/_loss_ledger" in shop.run("connect", "apply", "--accept-loss").stdout
    until(lambda: status(shop)[0] == 0, "a healthy connector")
    lost = [row for row in ledger(shop) if row["kind"] == "slot_lost"]
    topic = f"{shop.connect.topic_prefix}.public.{table}"
    assert sorted(row["partition"] for row in lost if row["topic"] == topic) == [0, 1, 2, 3]
    run(shop, f"update {table} set v = 'streamed' where id in (4, 10)")
    assert "Nothing is lost" in shop.run("connect", "apply", "--accept-loss").stdout
    return {str(key) for (key,) in rows}


def lose_and_make_again(shop, table):
    """The slot is lost once more, and there again when somebody looks."""
    lose_slot(shop)
    run(shop, f"update {table} set v = 'lost again' where id in (4, 5)")
    make_slot(dsn(shop), shop.connect.slot_name)
    run(
        shop,
        f"update {table} set v = 'kept' where id in (4, 6)",
        f"insert into {table} values (11)",
    )
    code, problems = status(shop)
    assert code == 1
    assert "was dropped and recreated" in problems
    assert shop.run("connect", "apply", check=False).returncode != 0
    shop.run("connect", "apply", "--accept-loss")
    until(lambda: status(shop)[0] == 0, "a healthy connector")
