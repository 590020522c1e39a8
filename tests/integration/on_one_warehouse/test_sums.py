"""Faults planted in tables that declare a query: each is found, and named; nothing else is."""

import narwhals as nw
import polars as pl
import psycopg
import pytest

from batch.gold.transforms.behaviour import customer_behaviour
from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from batch.reconcile.sums import compare_sums, reconciled
from batch.warehouse.marts import Fact, mart
from tests.warehouse import MemorySilver, load_warehouse, loaded_connection
from tests.warehouse_history import RandomShop, silver_after

pytestmark = pytest.mark.integration

DAY = "2026-03-10"
SHOP = {
    "orders": [
        {"order_id": 1, "ship_country": "FR", "channel": "web", "ship_region": "Paris"},
        {"order_id": 2, "status": "cancelled", "paid_at": None},
    ],
    "order_lines": [
        {"order_line_id": 1, "order_id": 1, "product_id": 1},
        {"order_line_id": 2, "order_id": 2, "product_id": 2},
    ],
    "payments": [{"payment_id": 1, "order_id": 1}],
    "interactions": [{"interaction_id": 1, "device": "mobile", "interaction_type": "view"}],
    "stock_movements": [{"movement_id": 1, "warehouse_code": "A", "quantity": 5}],
    "returns": [{"return_id": 1, "order_id": 1, "order_line_id": 1}],
}
KEYS = {
    "mart.fact_returns": "1",
    "mart.fact_stocks": f"1/A/{DAY}",
    "mart.fact_user_interactions": "1",
    "mart.daily_sales": f"{DAY}/FR/web/unknown",
    "mart.daily_orders": f"{DAY}/FR/web",
    "mart.daily_geography": f"{DAY}/FR/Paris",
    "mart.daily_products": f"{DAY}/1",
    "mart.daily_behaviour": f"{DAY}/mobile",
    "mart.daily_cancellations": f"{DAY}/2",
    "mart.daily_coupons": f"{DAY}/none",
    "mart.daily_hours": f"{DAY}/12",
    "mart.daily_payments": f"{DAY}/payment/card/pending",
    "mart.daily_referrers": f"{DAY}/direct",
    "mart.customer_months": "1/2026-03-01",
    "mart.customer_totals": "1",
    "mart.customer_groups": f"{DAY}/1/1/unknown",
    "mart.cohort_months": "2026-03-01/2026-03-01",
    "mart.stock_levels": "1/A",
}
COLUMNS = [(t, c) for t, (_, query) in reconciled().items() for c in query.values]
CHANGED = {
    "ship_region_code": "'FR-75'", "first_order_date": "first_order_date + 1",
    "last_order_date": "last_order_date + 1", "last_date": "last_date + 1",
    "date_key": "'0001-01-01'", "session_id": "'other'", "interaction_type": "'cart'",
    "device": "'desktop'", "referrer": "'other'", "occurred_at": "occurred_at + interval '1 s'",
    "last_movement_at": "last_movement_at + interval '1 s'", "reason": "'other'",
    "ship_country": "'XX'", "country": "'XX'",
    "returned_at": "returned_at + interval '1 s'", "condition": "'other'", "currency": "'XXX'",
}  # fmt: skip


def compare(connection, *, limit=5):
    found = list(compare_sums(connection, Examples(limit=limit), is_published=True))
    assert [one.table for one in found] == list(reconciled())
    return {one.table: one.findings for one in found}


def faulty(found):
    return {
        table: {name: fault for name, fault in one.faults.items() if fault.count}
        for table, one in found.items()
        if not one.is_exact
    }


def following(table):
    """The sums that are computed from it."""
    name = table.removeprefix("mart.")
    return {f"mart.{one.name}" for one in mart().sums if name in one.of}


def side_by_side(cells):
    """Sets of cells, at most one of a table in each, and none that is computed from another's."""
    found = []
    for table, cell in cells:
        around = {table, *following(table)}
        for one in found:
            if not any(table in {other, *following(other)} or other in around for other in one):
                one[table] = cell
                break
        else:
            found.append({table: cell})
    return found


def assert_found(connection, faults, subtests):
    """These by table, and no others but in what is computed from such a table."""
    found = faulty(compare(connection))
    for table, wanted in faults.items():
        with subtests.test(f"{table}: {wanted}"):
            assert found.get(table) == wanted
    if not any(table.startswith("mart.fact_") for table in faults):
        assert {*found} <= {*faults}.union(*map(following, faults))


@pytest.fixture(scope="module")
def first_shop(warehouse_server):
    with loaded_connection(warehouse_server, silver_after([SHOP])) as connection:
        yield connection


@pytest.fixture
def shop(first_shop):
    """Whatever is done to it is taken back."""
    yield first_shop
    first_shop.rollback()


def test_sums_that_loads_made_are_exact(warehouse):
    silver = MemorySilver()
    for commit in RandomShop(1).commits(8):
        silver.commit(**commit)
        load_warehouse(warehouse.dsn, silver)
    with psycopg.connect(warehouse.dsn) as connection:
        found = compare(connection)
    assert faulty(found) == {}
    assert all(one.rows == one.expected_rows > 0 for one in found.values())


def test_lost_row_of_a_sum_is_found(shop, subtests):
    for lost in side_by_side(KEYS.items()):
        for table in lost:
            shop.execute(f"delete from {table}")
        faults = {t: {"missing": Fault(count=1, examples=(key,))} for t, key in lost.items()}
        assert_found(shop, faults, subtests)
        shop.rollback()


def test_changed_metric_of_a_sum_is_found_and_named(shop, subtests):
    for changed in side_by_side(COLUMNS):
        faults = {}
        for table, column in changed.items():
            value = CHANGED.get(column, f"coalesce({column}, 0) + 1")
            shop.execute(f"update {table} set {column} = {value}")
            named = Fault(count=1, examples=(f"{KEYS[table]} ({column})",))
            faults[table] = {"different": named}
        assert_found(shop, faults, subtests)
        shop.rollback()


def test_row_of_a_sum_that_no_fact_has_is_found(shop):
    for code in "CB":
        shop.execute("insert into mart.stock_levels values (1, %s, 5, %s)", [code, DAY])
    extra = {"extra": Fault(count=2, examples=("1/B",))}
    assert faulty(compare(shop, limit=1)) == {"mart.stock_levels": extra}


def test_every_column_of_a_sum_is_compared(shop):
    for table, (one, query) in reconciled().items():
        described = shop.execute(f"select * from {table} limit 0").description
        looked_up = {key for key in ("product_key", "customer_key") if isinstance(one, Fact)}
        compared = {*query.keys, *query.values}
        assert {column.name for column in described} - looked_up == compared, table


def test_visits_are_counted_as_gold_counts_them(warehouse):
    silver = silver_after(RandomShop(2).commits(8))
    load_warehouse(warehouse.dsn, silver)
    visits, orders = (
        nw.from_native(pl.concat(silver[name].rows(silver[name].table.columns)).lazy())
        for name in ("cleaned_interactions", "cleaned_sales")
    )
    gold = customer_behaviour(visits, orders).collect().to_native()
    names = ("sessions", "cart_sessions", "checkout_sessions", "purchase_sessions")
    loaded = warehouse.query(
        f"select date_key, device, {', '.join(names)} from mart.daily_behaviour"
    )
    assert sorted(loaded) == sorted(gold.select("business_date", "device", *names).rows())
    assert gold.filter(pl.col("sessions") > pl.col("cart_sessions")).height
