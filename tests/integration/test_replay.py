"""Replays on the real services: whole and in part, damaged, killed, beside everything else."""

import json
import random
import signal
import time
from contextlib import suppress

import polars as pl
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable, write_deltalake

from lakehouse.contracts.bronze import bronze_table
from lakehouse.kafka import admin_client, captured_ends, captured_topic, describe_topics
from lakehouse.lake import Lake, storage_options
from lakehouse.offsets import OffsetRange, TopicIdentity
from lakehouse.postgres import warehouse_dsn
from replay import kafka_range
from replay.kafka_range import KafkaRange, in_windows
from tests.stacks import settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def shop():
    """Six days of a shop, consolidated. Whatever the tests do to it, it is exact in the end."""
    with tenant(LANDING_FLUSH_SECONDS=0.5, CONSOLIDATION_CHUNK_ROWS=7000) as stack:
        stack.up("lander", "live")
        stack.run("simulate", "--history", 6, "--orders", 1200, "--seed", 7, "--dirt", 5)
        settle(stack)
        stack.run("consolidate")
        yield stack
        settle(stack)
        stack.run("consolidate")
        require_exact(stack)


def reconcile(stack):
    result = stack.run("reconcile", "--format", "json", check=False)
    return json.loads(result.stdout)


def sell(stack, orders):
    stack.run("simulate", "--orders", orders, "--orders-per-second", 60, "--dirt", 5)


def replay(stack, *arguments):
    return json.loads(stack.run("replay", *arguments, "--format", "json").stdout)


def tables(found):
    return {f"{one['layer']}/{one['table']}": one for one in found["tables"]}


def differing(found):
    return {name for name, one in tables(found).items() if not one["is_equal"]}


def lake_of(stack):
    return Lake.of(stack.minio, stack.secrets, user="admin")


def delta(stack, layer, table):
    options = storage_options(stack.minio, stack.secrets, user="admin")
    return DeltaTable(lake_of(stack).uri(layer, table), storage_options=options)


def require_exact(stack):
    """All layers, all of them compared."""
    report = reconcile(stack)
    assert report["exact"], report
    assert [layer for layer in report["layers"] if layer["note"]] == []


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param("bronze", marks=pytest.mark.long),
        pytest.param("silver", marks=pytest.mark.long),
        pytest.param("gold", marks=pytest.mark.long), "warehouse",
    ],
)  # fmt: skip
def test_replay_of_everything_into_a_layer_leaves_every_table_as_it_was(shop, layer):
    found = replay(shop, "--into", layer, "--all")
    assert differing(found) == set()
    assert {one["layer"] for one in found["tables"]} >= {layer}
    rows = {name: int(one["after"].split(":")[0]) for name, one in tables(found).items()}
    big = {"bronze": "bronze/raw_sales", "silver": "silver/cleaned_sales",
           "gold": "gold/sales_kpi",
           "warehouse": "warehouse/mart.fact_transactions"}[layer]  # fmt: skip
    assert rows[big] > 500


@pytest.mark.long
def test_range_of_large_records_is_read_in_parts_that_make_the_whole(shop, monkeypatch):
    admin = admin_client(shop.kafka.client)
    name = captured_topic(shop.connect.topic_prefix, "interactions")
    topic = describe_topics(admin, [name])[name]
    ends = captured_ends(admin, shop.connect.topic_prefix)[bronze_table(name)]
    left = {number: OffsetRange(start=0, stop=end) for (_, number), end in ends.items()}
    identity = TopicIdentity(topic_id=topic.topic_id, epoch=0)
    with KafkaRange(shop.kafka, topic, identity) as source:
        whole, done = source.read(left)
        assert done == left
        monkeypatch.setattr(kafka_range, "_MOST_BYTES", 1)
        monkeypatch.setattr(kafka_range, "_AT_ONCE", 700)
        parts = [records for records, _ in in_windows(source, left, whole.num_rows)]
    assert 3 < len(parts) < 100
    order = ["_partition", "_offset"]
    both = (pl.DataFrame(rows).sort(order) for rows in (pa.concat_tables(parts), whole))
    assert next(both).equals(next(both))


@pytest.mark.long
def test_replay_into_live_leaves_what_charts_show_as_it_was(shop):
    sell(shop, 60)
    wait_for_live(shop)
    before = shown(shop)
    with as_admin(shop) as connection:
        connection.execute("update live.orders set shipping_cents = 1, status = 'lost'")
        connection.execute("delete from live.order_lines where order_line_id % 2 = 0")
        connection.execute("select live.settle()")
    assert shown(shop) != before
    first = replay(shop, "--into", "live", "--all")
    assert shown(shop) == before
    assert differing(first) == {"live/orders", "live/order_lines"}
    again = replay(shop, "--into", "live", "--all")
    assert differing(again) == set()
    assert int(tables(again)["live/orders"]["after"].split(":")[0]) >= 60


def wait_for_live(stack):
    """Until the overlay has everything that the shop has committed."""
    reconcile(stack)
    deadline = time.monotonic() + 60
    query = "select seconds_behind < 5 from mart.live_freshness"
    while time.monotonic() < deadline:
        with as_admin(stack) as connection:
            row = connection.execute(query).fetchone()
        if row and row[0]:
            return
        time.sleep(0.5)
    raise AssertionError


def shown(stack):
    query = (
        "select count(*), sum(hashtextextended(s::text, 0)::numeric) "
        "from (select order_id, order_line_id, status, net_revenue_cents, shipping_cents "
        "from mart.live_sales) as s"
    )
    with as_admin(stack) as connection:
        return connection.execute(query).fetchone()


def as_admin(stack):
    dsn = warehouse_dsn(stack.warehouse, stack.secrets, role="admin")
    return psycopg.connect(dsn, autocommit=True)


def damage_bronze(stack):
    """Rows lost, other and doubled, in the first thousand offsets of two partitions."""
    table = delta(stack, "bronze", "raw_sales")
    lost = table.delete("_partition = 0 and _offset >= 100 and _offset < 160")
    other = table.update(
        updates={"value": "key"}, predicate="_partition = 1 and _offset between 40 and 60"
    )
    rows = (
        pl.DataFrame(table.to_pyarrow_table())
        .filter((pl.col("_partition") == 1) & pl.col("_offset").is_between(200, 220))
        .unique(["_partition", "_offset"])
    )
    write_deltalake(
        table, rows.to_arrow().cast(pa.schema(table.schema().to_arrow())), mode="append"
    )
    return lost["num_deleted_rows"], other["num_updated_rows"], rows.height


def test_damaged_bronze_is_exact_again_after_a_replay_of_the_range(shop):
    was = tables(replay(shop, "--into", "bronze", "--entity", "orders", "--only"))
    lost, other, doubled = damage_bronze(shop)
    assert min(lost, other, doubled) > 5
    found = replay(
        shop, "--into", "bronze", "--entity", "orders",
        "--from-offset", "0:50", "--to-offset", "0:400",
        "--from-offset", "1:0", "--to-offset", "1:300",
    )  # fmt: skip
    bronze = tables(found)["bronze/raw_sales"]
    assert (bronze["added"], bronze["changed"]) == (lost, other + doubled)
    assert differing(found) == {"bronze/raw_sales"}
    assert bronze["after"] == was["bronze/raw_sales"]["after"]


@pytest.mark.long
def test_silver_made_of_damaged_bronze_is_right_again_after_the_same_replay(shop):
    table = delta(shop, "bronze", "raw_payments")
    table.delete("_partition = 2 and _offset < 300")
    shop.run("rebuild", "--layer", "silver", "--entity", "payments")
    found = replay(shop, "--into", "bronze", "--entity", "payments", "--from-offset", "2:0")
    assert differing(found) == {"bronze/raw_payments", "silver/cleaned_payments"}


@pytest.mark.long
def test_gold_and_warehouse_that_were_damaged_are_repaired_and_what_differed_is_listed(shop):
    was = replay(shop, "--into", "gold", "--entity", "orders")
    delta(shop, "gold", "sales_kpi").delete("country = 'FR'")
    found = replay(shop, "--into", "gold", "--entity", "orders")
    sales = tables(found)["gold/sales_kpi"]
    assert differing(found) == {"gold/sales_kpi"}
    assert sales["added"] > 0
    assert sales["after"] == tables(was)["gold/sales_kpi"]["after"]
    with as_admin(shop) as connection:
        connection.execute("update mart.fact_payments set amount_cents = amount_cents + 1")
        connection.execute("delete from mart.daily_sales where ship_country = 'FR'")
        connection.execute("delete from entity.orders where order_id % 7 = 0")
    found = replay(shop, "--into", "warehouse", "--all")
    assert differing(found) >= {
        "warehouse/mart.fact_payments", "warehouse/mart.daily_sales", "warehouse/entity.orders",
    }  # fmt: skip
    example = tables(found)["warehouse/mart.fact_payments"]["examples"][0]
    before, after = example["columns"]["amount_cents"]
    assert (example["kind"], before - after) == ("changed", 1)


def test_part_of_the_warehouse_that_was_damaged_is_repaired_by_a_replay_of_its_range(shop):
    chosen = ["--into", "warehouse", "--entity", "orders", "--from-offset", "3:0"]
    with as_admin(shop) as connection:
        orders = "select order_id from entity.orders where _partition = 3"
        connection.execute(f"delete from mart.fact_transactions where order_id in ({orders})")
        connection.execute("delete from entity.orders where _partition = 3 and order_id % 3 = 0")
    found = replay(shop, *chosen)
    assert differing(found) >= {"warehouse/mart.fact_transactions", "warehouse/entity.orders"}
    assert differing(replay(shop, *chosen)) == set()


@pytest.mark.long
@pytest.mark.parametrize("layer", ["bronze", "silver"])
def test_replay_killed_at_random_moments_continues_and_ends_exact(shop, layer, request):
    rounds = request.config.getoption("--rounds")
    chance = random.Random(request.config.getoption("--seed"))
    ended = []
    for _ in range(rounds):
        if layer == "bronze":
            damage_bronze(shop)
        else:
            delta(shop, "silver", "cleaned_sales").delete("order_id % 5 = 0")
        process = start_replay(shop, layer, "--all")
        time.sleep(chance.uniform(0, 4))
        process.kill()
        ended.append(process.wait())
    # None at all would mean that none was killed in the middle.
    assert -signal.SIGKILL in ended
    replay(shop, "--into", layer, "--all")
    assert differing(replay(shop, "--into", layer, "--all", "--only")) == set()
    with as_admin(shop) as connection:
        left = connection.execute(
            "select count(*) from etl.runs where kind = 'replay' and outcome = 'succeeded'"
        ).fetchone()
    assert left[0] > 0


def workspace(stack, layer):
    return list((stack.data_dir / "replay").glob(f"{layer}-*"))


def start_replay(stack, layer, *chosen):
    """Start one, and wait until it has quarantined something that it has compared or validated."""
    name = {"bronze": "compared.json", "silver": "validated.json"}[layer]

    def notes():
        found = {}
        for folder in workspace(stack, layer):
            # It may be done with the folder meanwhile.
            with suppress(FileNotFoundError):
                found[folder] = (folder / name).stat().st_mtime_ns
        return found

    before = notes()
    process = stack.fork("replay", "--into", layer, *chosen)
    deadline = time.monotonic() + 120
    while process.poll() is None and notes() == before:
        assert time.monotonic() < deadline, "it quarantines nothing"
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("layer", [pytest.param("bronze", marks=pytest.mark.long), "silver"])
def test_replay_that_was_killed_in_the_middle_says_that_the_next_continues(shop, layer):
    chosen = ["--entity", "orders", "--only"]
    ended = None
    for _ in range(5):
        process = start_replay(shop, layer, *chosen)
        process.kill()
        ended = process.wait()
        if ended == -signal.SIGKILL:
            break
    assert ended == -signal.SIGKILL
    found = replay(shop, "--into", layer, *chosen)
    assert any("resumed an interrupted replay" in note for note in found["notes"])
    assert differing(found) == set()
    assert workspace(shop, layer) == []


@pytest.mark.long
def test_replays_beside_landing_and_consolidations_disturb_neither(shop):
    selling = shop.fork("simulate", "--orders", 600, "--orders-per-second", 30, "--dirt", 5)
    delta(shop, "bronze", "raw_sales").delete("_partition = 1 and _offset < 50")
    replays = [
        shop.fork("replay", "--into", "bronze", "--all"),
        shop.fork("replay", "--into", "gold", "--entity", "orders"),
    ]
    while any(process.poll() is None for process in replays):
        shop.run("consolidate")
    sold = selling.wait()
    assert [sold, *(process.returncode for process in replays)] == [0, 0, 0]


def test_dry_run_shows_the_range_and_does_nothing(shop):
    before = delta(shop, "silver", "cleaned_sales").version()
    found = replay(
        shop, "--into", "silver", "--entity", "orders", "--from-offset", "0:10",
        "--to-offset", "0:29", "--dry-run",
    )  # fmt: skip
    (one,) = found["ranges"]
    assert (one["partition"], one["first_offset"], one["last_offset"]) == (0, 10, 29)
    assert 0 < one["keys"] <= one["records"] <= 20
    assert found["plan"][0]["table"] == "cleaned_sales"
    assert "tables" not in found
    assert delta(shop, "silver", "cleaned_sales").version() == before


def test_dry_run_into_bronze_counts_what_kafka_may_have_and_what_follows(shop):
    # Another test has Kafka forget the first of partition 0.
    chosen = ["--entity", "orders", "--from-offset", "1:10", "--to-offset", "1:29", "--dry-run"]
    found = replay(shop, "--into", "bronze", *chosen)
    (one,) = found["ranges"]
    assert (one["first_offset"], one["last_offset"], one["records_at_most"]) == (10, 29, 20)
    assert found["plan"] == replay(shop, "--into", "silver", *chosen)["plan"]
    assert {row["layer"] for row in found["plan"]} == {"silver", "gold"}
    assert replay(shop, "--into", "bronze", *chosen, "--only")["plan"] == []


def test_times_stand_for_offsets(shop):
    rows = pl.DataFrame(delta(shop, "bronze", "raw_sales").to_pyarrow_table())
    middle = rows["_timestamp"].median()
    into = {layer: replay(shop, "--into", layer, "--entity", "orders", "--from-time",
                          middle.isoformat(), "--dry-run")["ranges"]
            for layer in ("bronze", "silver")}  # fmt: skip
    starts = {
        layer: {one["partition"]: one["first_offset"] for one in ranges}
        for layer, ranges in into.items()
    }
    expected = rows.filter(pl.col("_timestamp") >= middle).group_by("_partition").agg(
        pl.col("_offset").min()
    )  # fmt: skip
    assert starts["silver"] == dict(expected.iter_rows())
    for partition, offset in starts["bronze"].items():
        assert offset <= starts["silver"][partition]


@pytest.mark.parametrize("layer", ["bronze", "silver", "warehouse", "live"])
def test_range_in_which_nothing_lies_is_not_taken_for_everything(shop, layer):
    found = replay(shop, "--into", layer, "--all", "--from-time", "2100-01-01")
    assert (found["ranges"], found["tables"], found["changes_read"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--entity", "orders", "--from-offset", "zero"], "is not PARTITION:OFFSET"),
        (["--entity", "orders", "--from-time", "noon"], "is not a time"),
        (["--entity", "basket"], "There is no contract for basket"),
    ],
)
def test_range_that_makes_no_sense_is_refused_with_what_to_type(shop, arguments, said):
    result = shop.run("replay", "--into", "silver", *arguments, check=False)
    assert result.returncode == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("layer", ["bronze", "silver", "gold", "warehouse", "live"])
def test_partition_that_is_not_there_is_refused_by_every_layer(shop, layer):
    result = shop.run(
        "replay", "--into", layer, "--entity", "orders", "--from-offset", "9:1", check=False
    )
    assert result.returncode == 2
    assert "orders has partitions 0, 1, 2, 3, not 9" in " ".join(result.stderr.split())


def test_range_that_is_partly_gone_from_kafka_is_named_and_the_layers_above_replay_it(shop):
    admin = AdminClient({"bootstrap.servers": shop.kafka.bootstrap_servers})
    topic = f"{shop.connect.topic_prefix}.public.orders"
    for answer in admin.delete_records([TopicPartition(topic, 0, 25)]).values():
        answer.result()
    result = shop.run(
        "replay", "--into", "bronze", "--entity", "orders", "--from-offset", "0:10", check=False
    )
    assert result.returncode == 3
    assert f"{topic}[0] 10 to 24" in " ".join(result.stderr.split())
    early = shop.run(
        "replay", "--into", "bronze", "--entity", "orders", "--from-time", "2020-01-01", check=False
    )
    assert early.returncode == 3
    assert f"{topic}[0] 0 to 24" in " ".join(early.stderr.split())
    found = replay(shop, "--into", "bronze", "--entity", "orders", "--only")
    assert any("offsets 0 to 24 are gone" in note for note in found["notes"])
    assert differing(found) == set()
    silver = replay(shop, "--into", "silver", "--entity", "orders", "--from-offset", "0:10")
    assert differing(silver) == set()
