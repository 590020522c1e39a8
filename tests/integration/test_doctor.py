"""The doctor on the real services: damage turns a finding wrong, and the remedy repairs it.

Each test leaves the stack as it found it, by typing what the doctor says.
"""

import json
import signal
import socket
import time
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from confluent_kafka.admin import NewPartitions

from batch.catalogue import LakeReader
from connectors.slot import drop_slot, read_slot
from lakehouse.kafka import admin_client, describe_topics
from lakehouse.lake import Lake
from lakehouse.object_store import object_store
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from stack.doctor import Measurements, all_checks, examine
from stack.minio.buckets import admin_of, policies
from tests.stacks import new_stack, settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
PATIENCE_SECONDS = 300  # a bound on waiting, not on being right: machines are busy
LEFT_OUT = {
    ("airflow", "parts"), ("airflow", "DAGs"), ("superset", "log-in"), ("superset", "dashboards"),
}  # fmt: skip


def findings(stack):
    """What it finds. In this process: a command of its own would take longer than the look."""
    measurements = Measurements(stack.config, patience_seconds=60, reader=reader(stack))
    return [one.to_json() for one in examine(all_checks(), measurements, limit_seconds=120)]


def if_long(*values):
    """Another case of what the others prove."""
    return pytest.param(*values, marks=pytest.mark.long)


READERS = {}


def reader(stack):
    if not stack.config.stack.secrets_path.exists():
        return None  # It never ran.
    lake = Lake.of(stack.minio, stack.secrets, user="reader")
    return READERS.setdefault((stack.minio.url, lake.bronze), LakeReader(lake))


def by_verdict(found, verdict):
    return {(one["area"], one["title"]): one for one in found if one["verdict"] == verdict}


def until_found(stack, is_right):
    """What it finds once that is right: a busy machine answers late, which is not fine, too."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_right(found := findings(stack)):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def found_at(stack, partition, verdict):
    """The finding there, once it is such."""
    found = until_found(stack, lambda found: partition in by_verdict(found, verdict))
    return by_verdict(found, verdict)[partition]


def only_wrong(stack, *places):
    """The findings at these places, once they are all that is wrong."""
    found = until_found(stack, lambda found: set(by_verdict(found, "wrong")) == set(places))
    return [by_verdict(found, "wrong")[partition] for partition in places]


def until_fine(stack):
    """What was repaired may need a moment, until the first change has come through."""
    only_wrong(stack)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def type_in(stack, remedy):
    """The commands of a remedy, one after the other."""
    commands = [part.strip() for part in remedy.replace("; then ", ";").split(";")]
    for command in commands:
        _, *words = command.split()
        stack.run(*words)


@contextmanager
def as_admin(stack, server):
    dsn = {"oltp": oltp_dsn, "warehouse": warehouse_dsn}[server]
    settings = getattr(stack, server)
    with psycopg.connect(dsn(settings, stack.secrets, role="admin"), autocommit=True) as connection:
        yield connection


def execute(stack, server, statement):
    with as_admin(stack, server) as connection:
        connection.execute(statement)


@pytest.fixture(scope="module")
def shop():
    """Three days of a shop, consolidated."""
    with tenant(LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up()
        stack.run("simulate", "--history", 3, "--orders", 400, "--seed", 5, "--dirt", 3)
        settle(stack)
        stack.run("consolidate")
        yield stack


def test_healthy_stack_is_fine_and_what_was_left_out_is_not_checked(shop):
    found = until_found(
        shop,
        lambda found: (
            not by_verdict(found, "wrong") and set(by_verdict(found, "not checked")) == LEFT_OUT
        ),
    )
    assert all(one["words"] for one in found)


@pytest.mark.long
def test_command_tells_the_same_and_its_exit_status_says_whether_anything_is_wrong(shop):
    def told():
        result = shop.run("doctor", "--timeout", 120, "--format", "json", check=False)
        found = json.loads(result.stdout)
        faults = set(by_verdict(found, "wrong"))
        assert result.returncode == (1 if faults else 0)
        return faults, places(found)

    def places(found):
        return [(one["area"], one["title"]) for one in found]

    until(lambda: told() == (set(), places(findings(shop))), "everything to be fine")
    shop.stop("live")
    until(lambda: told()[0] == {("services", "services")}, "the service that is stopped")
    shop.run("up", "live")
    until_fine(shop)


def test_looking_changes_nothing(shop):
    lake = Lake.of(shop.minio, shop.secrets, user="reader")
    store = object_store(shop.minio, shop.secrets, user="admin")
    admin = admin_client(shop.kafka.client)

    def state():
        tables = ("cleaned_sales", "quarantine", "users_history")
        versions = [lake.open("silver", name).version() for name in tables]
        minio = shop.minio
        buckets = (minio.bronze_bucket, minio.silver_bucket, minio.gold_bucket)
        tried = [
            one.object_name
            for bucket in buckets
            for one in store.list_objects(bucket, prefix="_conformance/", recursive=True)
        ]
        return versions, tried

    before = state()
    until_fine(shop)
    assert state() == before
    assert before[1] == []
    groups = {group.group_id for group in admin.list_consumer_groups().result().valid}
    assert "doctor" not in groups


def test_with_nothing_running_it_says_so_and_continues():
    with new_stack() as stack:
        (told,) = only_wrong(stack, ("services", "services"))
        assert (told["words"], told["remedy"]) == ("nothing runs", "./pipeline up")
        unchecked = by_verdict(findings(stack), "not checked")
        assert ("kafka", "topics") in unchecked
        assert unchecked["lake", "store"]["words"] == "minio is not up"


@pytest.mark.long
def test_lander_that_was_stopped_is_named(shop):
    shop.stop("lander")
    (told,) = only_wrong(shop, ("services", "services"))
    assert told["remedy"] == "./pipeline up lander"
    type_in(shop, told["remedy"])
    until_fine(shop)


def test_connector_that_is_paused_is_named(shop):
    httpx.put(
        f"{shop.connect.url}/connectors/{shop.connect.connector_name}/pause"
    ).raise_for_status()
    (told,) = only_wrong(shop, ("capture", "connector and slot"))
    assert told["words"] == f"connector {shop.connect.connector_name} is paused"
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.long
def test_slot_that_is_gone_is_named_and_then_the_loss_that_is_open(shop):
    partition, name = ("capture", "connector and slot"), shop.connect.slot_name
    monitor = oltp_dsn(shop.oltp, shop.secrets, role="monitor")
    httpx.put(
        f"{shop.connect.url}/connectors/{shop.connect.connector_name}/stop"
    ).raise_for_status()
    until(lambda: not read_slot(monitor, name).is_active, "the connector to let go of its slot")
    drop_slot(oltp_dsn(shop.oltp, shop.secrets, role="debezium"), name)
    told = found_at(shop, partition, "wrong")
    accept, extract = told["remedy"].split("; then ")
    type_in(shop, accept)
    (told,) = only_wrong(shop, ("runs", "loss ledger"))
    assert told["remedy"] == extract == "./pipeline extract --full"
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.parametrize(("server", "taken", "words"), [
    if_long(
        "oltp", "select on public.orders from reconcile", "reconcile lacks select public.orders"
    ),
    if_long(
        "oltp", "update on public.orders from simulator", "simulator lacks update public.orders"
    ),
    if_long("oltp", "insert on cdc.signal from extract", "extract lacks insert cdc.signal"),
    ("warehouse", "select on mart.daily_sales from reader", "reader lacks select mart.daily_sales"),
    if_long("warehouse", "insert on live.orders from live", "live lacks insert live.orders"),
])  # fmt: skip
def test_grant_that_was_taken_is_named(shop, server, taken, words):
    title = {"oltp": "of the shop", "warehouse": "of the warehouse"}[server]
    execute(shop, server, f"revoke {taken}")
    (told,) = only_wrong(shop, ("roles", title))
    assert told["words"] == words
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.parametrize(("server", "given", "words"), [
    ("oltp", "grant delete on public.orders to monitor", "monitor has delete public.orders"),
    if_long("oltp", "alter role extract createdb", "extract is createdb"),
    if_long("warehouse", "grant batch to reader", "reader is batch"),
    if_long("warehouse", "grant update on etl.watermark to live", "live has update etl.watermark"),
])  # fmt: skip
def test_right_that_a_role_has_no_use_for_is_named(shop, server, given, words):
    title = {"oltp": "of the shop", "warehouse": "of the warehouse"}[server]
    execute(shop, server, given)
    found = until_found(shop, lambda found: set(by_verdict(found, "wrong")) == {("roles", title)})
    told = next(one for one in found if one["words"].startswith(words))
    execute(shop, server, told["remedy"].removeprefix("as admin: "))
    until_fine(shop)


@pytest.mark.long
def test_user_of_the_lake_that_may_more_is_named(shop):
    wide = policies(shop.minio)["batch"]
    admin_of(shop.minio, shop.secrets).policy_add("reader", policy=wide)
    (told,) = only_wrong(shop, ("roles", "of the lake"))
    assert told["words"] == "the policy of reader differs from what it needs"
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.long
def test_table_without_key_is_noted_until_it_is_gone(shop):
    execute(shop, "oltp", "create table public.gift_cards (card_id bigint)")
    partition = ("shop", "tables")
    assert found_at(shop, partition, "note")["words"].startswith("gift_cards has no primary key")
    execute(shop, "oltp", "drop table public.gift_cards")
    found_at(shop, partition, "fine")


@pytest.mark.long
def test_column_that_the_shop_lost_is_named(shop):
    execute(shop, "oltp", "alter table public.suppliers rename column name to title")
    (told,) = only_wrong(shop, ("shop", "tables"))
    assert told["words"] == "suppliers has no column name"
    execute(shop, "oltp", "alter table public.suppliers rename column title to name")
    until_fine(shop)


@pytest.mark.long
def test_publication_that_leaves_a_schema_out_is_named(shop):
    name = shop.connect.publication_name
    execute(shop, "oltp", f"alter publication {name} drop tables in schema cdc")
    (told,) = only_wrong(shop, ("shop", "publication"))
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.long
def test_warehouse_that_claims_more_than_silver_has_is_named(shop):
    more = "update etl.watermark set last_offset = last_offset + 1000000 where entity = 'orders'"
    execute(shop, "warehouse", more)
    (told,) = only_wrong(shop, ("watermarks", "warehouse and silver"))
    assert "orders of the warehouse is at offset" in told["words"]
    type_in(shop, told["remedy"])
    until_fine(shop)


def test_view_that_was_not_applied_is_named(shop):
    execute(shop, "warehouse", "delete from etl.migration where name = 'functions/version_at.sql'")
    (told,) = only_wrong(shop, ("warehouse", "schema"))
    assert "functions/version_at.sql" in told["words"]
    type_in(shop, told["remedy"])
    until_fine(shop)


@pytest.mark.long
def test_port_that_another_program_has_is_named_with_its_setting(shop):
    shop.stop("live")
    port = shop.config.monitoring.metrics_port("live")
    with socket.create_server(("127.0.0.1", port)):
        ports, services = only_wrong(shop, ("services", "ports"), ("services", "services"))
        assert ports["words"].startswith(f"live: port {port} is in use by ")
        assert "MONITORING_BASE_PORT" in ports["remedy"]
    type_in(shop, services["remedy"])
    until_fine(shop)


@pytest.mark.long
def test_passwords_that_others_can_read_are_named(shop):
    path = shop.config.stack.secrets_path
    path.chmod(0o644)
    (told,) = only_wrong(shop, ("machine", "passwords"))
    assert told["remedy"] == f"chmod 600 {path}"
    path.chmod(0o600)
    until_fine(shop)


@pytest.mark.long
def test_topic_with_other_partitions_is_named_and_its_loss_can_be_accepted(shop):
    topic = f"{shop.connect.topic_prefix}.public.vouchers"
    admin = admin_client(shop.kafka.client)
    lake = Lake.of(shop.minio, shop.secrets, user="reader")
    execute(shop, "oltp", "create table public.vouchers (voucher_id bigint primary key)")
    execute(shop, "oltp", "insert into public.vouchers values (1)")
    until(lambda: lake.open("bronze", "raw_vouchers") is not None, "the table to land")
    shop.stop("lander")
    count = describe_topics(admin, [topic])[topic].partition_count
    admin.create_partitions([NewPartitions(topic, count + 1)])[topic].result()
    needs = ("kafka", "what bronze needs")
    told, _ = only_wrong(shop, needs, ("services", "services"))
    assert told["words"].startswith(f"{topic}: the topic had {count} partitions")
    lander = shop.fork("land", "--accept-loss")
    found_at(shop, needs, "fine")
    lander.send_signal(signal.SIGTERM)
    assert lander.wait(timeout=PATIENCE_SECONDS) == 0
    execute(shop, "oltp", "drop table public.vouchers")
    shop.run("up", "lander")
    until_fine(shop)
