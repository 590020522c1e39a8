"""The shop changes tables that the warehouse shows: what it and live make of that.

Contracts of ours ignore: a change that lacks a required column, or a value of it, is quarantined.
"""

import json
import time

import psycopg
import pytest

from lakehouse.postgres import oltp_dsn, warehouse_dsn
from tests.stacks import settle, tenant

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1200)]
PATIENCE_SECONDS = 300
CHANGES = (
    "alter table orders rename column ship_city to town",
    "alter table customers drop column city",
    "alter table order_lines alter column quantity type text using 'x' || quantity",
    "alter table products alter column weight_grams type bigint",
)
CORRECTIONS = (
    "alter table orders rename column town to ship_city",
    "alter table customers add column city text not null default 'Paris'",
    "alter table order_lines alter column quantity type integer using substr(quantity, 2)::integer",
)
WRITTEN = {
    "orders": ("order_id", "coupon_code", "AFTER"),
    "customers": ("customer_id", "street", "After 1"),
    "order_lines": ("order_line_id", "warehouse_code", "AFTER"),
    "products": ("product_id", "weight_grams", 4321),
}
"""What is written after the changes: key, column and value, in the row with the lowest key."""
REVENUE = "select sum(f.total_cents), count(*) from mart.fact_transactions as f"


class Shop:
    """What each step has shown."""

    def __init__(self, stack):
        self.stack = stack
        stack.up("connect", "minio", "lander", "live", "warehouse")
        self.dsn = oltp_dsn(stack.oltp, stack.secrets, role="admin")
        stack.run("simulate", "--history", 5, "--orders", 150, "--seed", 3, "--dirt", 0)
        settle(stack)
        stack.run("consolidate")
        self.before = {layer: self.shown(layer) for layer in ("entity", "resolved")}
        self.revenue = self.ask(REVENUE)
        self.run(*CHANGES)
        self.run(
            *(
                f"update {table} set {column} = '{value}' "
                f"where {key} = (select min({key}) from {table})"
                for table, (key, column, value) in WRITTEN.items()
            )
        )
        self.until_live_shows("products")
        self.live = self.shown("resolved")
        settle(stack)
        self.consolidated = stack.run("consolidate", check=False)
        self.loaded = self.shown("entity")
        self.verdict = stack.run("reconcile", check=False).stdout
        self.report = self.reconcile()

    def run(self, *statements):
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)

    def ask(self, query):
        dsn = warehouse_dsn(self.stack.warehouse, self.stack.secrets, role="batch")
        with psycopg.connect(dsn) as connection:
            return connection.execute(query).fetchone()

    def shown(self, schema):
        """The values of the rows that are written."""
        return {
            table: self.ask(f"select {column} from {schema}.{table} order by {key} limit 1")[0]
            for table, (key, column, _) in WRITTEN.items()
        }

    def until_live_shows(self, *tables):
        deadline = time.monotonic() + PATIENCE_SECONDS
        wanted = {table: WRITTEN[table][2] for table in tables}
        while not wanted.items() <= self.shown("resolved").items():
            assert time.monotonic() < deadline, self.shown("resolved")
            time.sleep(0.5)

    def reconcile(self):
        found = self.stack.run("reconcile", "--format", "json", check=False)
        return json.loads(found.stdout)


@pytest.fixture(scope="module")
def shop():
    with tenant(LANDING_FLUSH_SECONDS=0.5) as stack:
        yield Shop(stack)


def test_warehouse_and_live_keep_the_last_valid_rows_and_follow_every_other_table(shop):
    followed = {"products": 4321}
    assert shop.consolidated.returncode == 0, shop.consolidated.stderr
    assert shop.live == shop.before["resolved"] | followed
    assert shop.loaded == shop.before["entity"] | followed
    assert shop.ask(REVENUE) == shop.revenue


def test_verdict_counts_what_is_quarantined_and_names_what_reads_the_rest(shop):
    faults = ("missing", "extra", "different", "missing_versions", "missing_deletes", "duplicates")
    faulty = {t["table"] for t in shop.report["tables"] if any(t[fault] for fault in faults)}
    assert faulty == {"order_lines"}
    assert "./pipeline extract order_lines --full" in shop.verdict
    quarantined = {one["table"] for one in shop.report["layers"] if one.get("quarantined")}
    assert quarantined == {"cleaned_sales", "enriched_users", "cleaned_sale_lines"}


def test_corrected_shop_ends_exact_in_warehouse_and_live(shop):
    shop.run(*CORRECTIONS)
    shop.stack.run("extract", "orders", "customers", "order_lines", "--full")
    shop.until_live_shows(*WRITTEN)
    settle(shop.stack)
    shop.stack.run("consolidate")
    assert shop.shown("entity") == {table: value for table, (_, _, value) in WRITTEN.items()}
    report = shop.reconcile()
    assert report["exact"], report
