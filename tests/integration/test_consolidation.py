"""Consolidation on the real services: a shop with dirt, validated by the shop's own ledger."""

import json
import random
from datetime import UTC, date, datetime, timedelta

import orjson
import polars as pl
import psycopg
import pytest

from batch.reconcile.sums import reconciled
from batch.warehouse.entities import TABLES
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.delta import scan
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from tests.killing import kill_at_work
from tests.second_reader import assert_second_reader_agrees
from tests.stacks import settle, tenant
from tests.warehouse import Warehouse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
RESOLVABLE = {"stray_spaces", "stray_case", "country_name", "country_old_code", "phone_format"}
BEYOND_MENDING = {
    "invalid_email", "future_date", "future_instant", "negative_quantity", "absurd_quantity",
    "absurd_rating",
}  # fmt: skip
HOPELESS_CASE = {("customers", "last_name"), ("products", "brand")}
"""Whether it was Mcdonald or McDonald, no rule can tell from MCDONALD."""
LONGEST_SECONDS = 8
"""A consolidation may take as long, on a busy machine."""


@pytest.fixture(scope="module")
def shop():
    """Twelve days of a shop, consolidated once, with more to come."""
    with tenant(LANDING_FLUSH_SECONDS=0.5) as stack:
        stack.up("lander")
        simulate(stack, "--history", 12, "--orders", 2000, "--seed", 11)
        stack.run("consolidate")
        simulate(stack, "--orders", 150, "--orders-per-second", 60)
        consolidate_all(stack)
        yield stack


def simulate(stack, *arguments):
    """With so much dirt that each of its faults occurs, whenever the days of the history are."""
    stack.run("simulate", *arguments, "--dirt", 15)


def consolidate_all(stack):
    """Let bronze hold all there is, then consolidate that."""
    settle(stack)
    stack.run("consolidate")


def reconcile(stack):
    result = stack.run("reconcile", "--format", "json", check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return json.loads(result.stdout)


def lake_of(stack):
    return Lake.of(stack.minio, stack.secrets, user="admin")


def rows(stack, table, layer="silver"):
    return scan(lake_of(stack).open(layer, table)).collect()


def ledger(stack):
    query = (
        "select table_name, row_key, column_name, fault, dirty_value, clean_value, row_version "
        "from ledger.dirt"
    )
    with psycopg.connect(oltp_dsn(stack.oltp, stack.secrets, role="reconcile")) as connection:
        notes = connection.execute(query).fetchall()
    names = ["table", "key", "column", "fault", "dirty", "clean", "version"]
    return [dict(zip(names, note, strict=True)) for note in notes]


def changes(stack, table):
    """Every change of a table, as bronze holds it: coordinate, and the row as it came."""
    records = rows(stack, ENTITIES[table].bronze, layer="bronze")
    columns = ["_topic_id", "_partition", "_offset", "value"]
    for topic, partition, offset, value in records.select(columns).iter_rows():
        yield (topic, partition, offset), orjson.loads(value)["after"]


def as_written(note, value):
    """A value of a change, as the ledger writes it."""
    if value is None:
        return None
    if note["column"] == "birth_date":
        return (date(1970, 1, 1) + timedelta(days=value)).isoformat()
    if note["column"] in {"created_at", "occurred_at"}:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return str(value)


def stands_in(note, row):
    """Whether a row holds the fault of a note."""
    return note["version"] <= row["version"] and (
        as_written(note, row[note["column"]]) == note["dirty"]
    )


def by_row(notes):
    found = {}
    for note in notes:
        found.setdefault((note["table"], note["key"]), []).append(note)
    return found


def test_quarantine_holds_exactly_what_the_ledger_says_cannot_be_cleaned(shop):
    notes = by_row(note for note in ledger(shop) if note["fault"] in BEYOND_MENDING)
    expected = set()
    for table, entity in ENTITIES.items():
        for partition, row in changes(shop, table):
            if row and any(stands_in(n, row) for n in notes.get((table, row[entity.key]), ())):
                expected.add((table, *partition))
    found = rows(shop, "quarantine").select("entity", "_topic_id", "_partition", "_offset")
    assert found.height == len(expected)
    assert set(found.iter_rows()) == expected
    assert {note["fault"] for group in notes.values() for note in group} == BEYOND_MENDING


def test_everything_else_equals_the_clean_originals(shop):
    notes = by_row(note for note in ledger(shop) if note["fault"] in RESOLVABLE)
    compared = set()
    for table, entity in ENTITIES.items():
        current = rows(shop, entity.silver).filter(pl.col("_deleted_at").is_null())
        raw = {(row[entity.key], row["version"]): row for _, row in changes(shop, table) if row}
        for row in current.iter_rows(named=True):
            for note in notes.get((table, row[entity.key]), ()):
                if stands_in(note, raw[row[entity.key], row["version"]]):
                    assert_clean(note, row[note["column"]])
                    compared.add(note["fault"])
    assert compared == RESOLVABLE


def assert_clean(note, value):
    wanted = note["clean"]
    if note["column"] == "phone":
        wanted = "+" + "".join(c for c in wanted if c.isdigit())
    if note["fault"] == "stray_case" and (note["table"], note["column"]) in HOPELESS_CASE:
        value, wanted = value.casefold(), wanted.casefold()
    assert value == wanted, note


def test_clean_values_are_left_as_they_are(shop):
    dirty = {(n["table"], n["key"], n["column"]) for n in ledger(shop)}
    raw = {row["customer_id"]: row for _, row in changes(shop, "customers") if row}
    current = rows(shop, "enriched_users").filter(pl.col("_deleted_at").is_null())
    for row in current.iter_rows(named=True):
        for column in ("first_name", "last_name", "email", "city", "street", "country"):
            source = raw[row["customer_id"]]
            is_same_version = source["version"] == row["version"]
            if is_same_version and ("customers", row["customer_id"], column) not in dirty:
                twin = source[column].casefold() == row[column].casefold()
                assert row[column] == source[column] or twin


def test_accounts_of_one_person_share_a_key(shop):
    twins = [n for n in ledger(shop) if n["fault"] == "same_person_twice"]
    people = {r["customer_id"]: r for r in rows(shop, "enriched_users").iter_rows(named=True)}
    pairs = [(people.get(n["key"]), people.get(int(n["clean"]))) for n in twins]
    alive = [(a, b) for a, b in pairs if a and b and a["person_key"] and b["person_key"]]
    assert alive
    assert all(a["person_key"] == b["person_key"] for a, b in alive)
    keys = pl.Series([row["person_key"] for row in people.values()]).drop_nulls()
    assert keys.n_unique() >= len(keys) - len(twins)


def test_all_layers_are_exact_after_consolidations_between_orders(shop):
    report = reconcile(shop)
    assert report["exact"] is True
    found = {}
    for one in report["layers"]:
        found.setdefault(one["layer"], []).append(one["table"])
    histories = [entity.history for entity in ENTITIES.values() if entity.history]
    facts = ["mart.fact_transactions", "mart.fact_payments"]
    assert {layer: sorted(tables) for layer, tables in found.items()} == {
        "silver": sorted([*(entity.silver for entity in ENTITIES.values()), *histories]),
        "warehouse": sorted([*(f"entity.{table.name}" for table in TABLES), *facts, *reconciled()]),
        "gold": sorted(GOLD_TABLES),
    }
    assert {(one["table"], one["note"]) for one in report["layers"] if one["note"]} == set()
    silver = [one for one in report["layers"] if one["layer"] == "silver"]
    assert sum(one["quarantined"] for one in silver) == rows(shop, "quarantine").height > 0


@pytest.mark.long
def test_changed_cent_in_the_warehouse_is_found_and_named(shop):
    places = {
        "fact_transactions": ("order_line_id", "margin_cents"),
        "fact_payments": ("payment_id", "base_amount_cents"),
        "fact_stocks": ("product_id", "closing_units"),
    }
    with psycopg.connect(warehouse_dsn(shop.warehouse, shop.secrets, role="batch")) as connection:
        changed = {
            fact: add_one(connection, fact, key, column) for fact, (key, column) in places.items()
        }
    result = shop.run("reconcile", "--format", "json", check=False)
    shop.run("rebuild", "--layer", "warehouse")
    assert result.returncode == 1, result.stderr[-3000:]
    layers = {one["table"]: one for one in json.loads(result.stdout)["layers"]}
    for fact, (_, column) in places.items():
        found = layers[f"mart.{fact}"]
        assert (found["different"], found["missing"], found["extra"]) == (1, 0, 0)
        (named,) = found["examples"]["different"]
        assert named.startswith(str(changed[fact]))
        assert named.endswith(f"({column})")
    assert reconcile(shop)["exact"] is True


def add_one(connection, fact, key, column):
    """To the first row that has a metric there; which one that is."""
    one_row = (
        f"select p.ctid, p.tableoid from mart.{fact} as p where p.{column} is not null "
        f"order by p.{key} limit 1"
    )
    (changed,) = connection.execute(
        f"update mart.{fact} as f set {column} = f.{column} + 1 from ({one_row}) as o "
        f"where f.ctid = o.ctid and f.tableoid = o.tableoid returning f.{key}"
    ).fetchone()
    return changed


@pytest.mark.long
def test_second_implementation_reads_every_table_of_the_shop(shop):
    lake = lake_of(shop)
    layers = ("bronze", "silver", "gold")
    uris = [lake.uri(layer, name) for layer in layers for name in names_in(shop, layer)]
    assert len(uris) >= 8 + 12 + 6
    assert_second_reader_agrees(lake.options, uris)


def names_in(shop, layer):
    found = json.loads(shop.run("tables", "--layer", layer, "--format", "json").stdout)
    return [table["table"] for table in found]


@pytest.mark.long
def test_run_with_nothing_new_writes_nothing(shop):
    lake = lake_of(shop)
    places = [(layer, name) for layer in ("silver", "gold") for name in names_in(shop, layer)]
    histories = {entity.history for entity in ENTITIES.values() if entity.history}
    kept = {name for _, name in places}
    assert kept >= {*histories, "cleaned_sales", "quarantine", "rule_counts", "sales_kpi"}

    def written():
        versions = {partition: lake.open(*partition).version() for partition in places}
        dsn = warehouse_dsn(shop.warehouse, shop.secrets, role="batch")
        with psycopg.connect(dsn) as connection:
            return versions, connection.execute("select count(*) from etl.load").fetchone()

    before = written()
    shop.run("consolidate")
    assert written() == before


def test_commands_leave_a_record_of_what_they_did(shop):
    shop.run("consolidate", "--layer", "silver", "--entity", "orders")
    shop.run("rebuild", "--layer", "gold")
    shop.run("quarantine", "redrive", "--rule", "order_id_missing")
    shop.run("maintain", "--layer", "gold")
    for wrong in (
        ["consolidate", "--entity", "order"], ["rebuild", "--layer", "sliver"],
        ["quarantine", "redrive", "--rule", "email_invalids"], ["maintain", "--table", "nothing"],
        ["replay", "--into", "silver", "--entity", "orders", "--from-offset", "9:1"],
        ["extract", "order", "--full"],
    ):  # fmt: skip
        assert shop.run(*wrong, check=False).returncode == 2
    found = json.loads(shop.run("runs", "--limit", "4", "--format", "json").stdout)
    assert [(row["kind"], row["what"], row["outcome"]) for row in found] == [
        ("maintenance", "gold", "succeeded"),
        ("redrive", "rule order_id_missing", "succeeded"),
        ("rebuild", "gold", "succeeded"),
        ("consolidation", "silver; orders", "succeeded"),
    ]
    assert len(found[0]["details"]["tables"]) == len(GOLD_TABLES)
    rebuilt = found[2]
    assert rebuilt["rows_read"] > rebuilt["rows_written"] > 0
    assert {table["table"] for table in rebuilt["details"]["tables"]} == set(GOLD_TABLES)
    shown = shop.run("runs", "show", str(rebuilt["run_number"])).stdout
    assert rebuilt["run_id"] in shown
    assert "sales_kpi" in shown


def test_consolidations_are_on_record_with_their_offsets(shop):
    found = json.loads(shop.run("runs", "--limit", "1000", "--format", "json").stdout)
    runs = [
        run
        for run in found
        if (run["kind"], run["outcome"]) == ("consolidation", "succeeded")
        and run["scope"].get("offsets")
    ]
    assert {name for run in runs for name in run["scope"]["offsets"]} == set(ENTITIES)
    for run in runs:
        ranges = [offsets for ranges in run["scope"]["offsets"].values() for offsets in ranges]
        assert run["rows_read"] <= sum(offsets["last"] - offsets["first"] + 1 for offsets in ranges)
        assert run["rows_read"] == sum(
            table["read"] for table in run["details"]["tables"] if table["layer"] == "silver"
        )


def test_consolidate_killed_at_random_moments_ends_exact(shop, request):
    chance = random.Random(request.config.getoption("seed"))
    for _ in range(request.config.getoption("rounds")):
        kill_at_work(
            shop,
            "consolidate",
            moment=chance.uniform(0, LONGEST_SECONDS),
            prepare=lambda: simulate(shop, "--orders", 60, "--orders-per-second", 60),
        )
    consolidate_all(shop)
    assert reconcile(shop)["exact"] is True
    dsn = warehouse_dsn(shop.warehouse, shop.secrets, role="batch")
    warehouse = Warehouse(dsn=dsn, reader_dsn=dsn, live_dsn=dsn)
    after_kills = warehouse.contents()
    shop.run("rebuild", "--layer", "warehouse")
    assert warehouse.contents() == after_kills
