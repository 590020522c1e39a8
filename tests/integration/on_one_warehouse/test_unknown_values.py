"""Valid codes that lists lack, on a real warehouse: their money counts, a warning names them."""

from collections import Counter

import psycopg
import pytest

from batch.pipeline_run import PipelineRun, consolidate
from batch.quarantine import Selection
from batch.reconcile.gold import compare_gold
from batch.reconcile.history import Examples
from batch.reconcile.warehouse import compare_warehouse
from batch.silver.run import consolidate_silver
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.model import UNKNOWN
from replay.redrive import redrive
from tests.unit.bronze_maker import RULES, new_lake, rows_of, source_of
from tests.unit.test_unknown_values import before_issue
from tests.warehouse import LIMIT, MemorySilver, load_warehouse

pytestmark = pytest.mark.integration

ORDERS = ENTITIES["orders"]


class Shop:
    """A lake in a folder, its tables, and the warehouse."""

    def __init__(self, folder, warehouse):
        self.lake = new_lake(folder)
        self.warehouse = warehouse
        self.tables = {name: source_of(self.lake, name, partitions=1) for name in ENTITIES}

    def change(self, table, key, op="c", **values):
        self.tables[table].change(key, op, **values)

    def land(self):
        for source in self.tables.values():
            source.land()

    def consolidate(self):
        run = PipelineRun(lake=self.lake, rules=RULES, limit=LIMIT, warehouse=self.warehouse.dsn)
        return consolidate(run)

    def charged(self):
        """Cents by country, of the lines whose order is here."""
        return dict(self.warehouse.query(
            "select ship_country, sum(total_cents)::bigint from mart.fact_transactions "
            "where placed_at is not null group by 1"
        ))  # fmt: skip

    def sold(self):
        """Cents by country: of the warehouse's lines, of the charts' sums, and of gold."""
        charts = self.warehouse.query(
            "select ship_country, sum(total_cents)::bigint from mart.daily_geography group by 1"
        )
        gold = Counter()
        for row in rows_of(self.lake, "geographic_sales", layer="gold"):
            gold[row["country"]] += row["total_cents"]
        assert self.charged() == dict(charts) == gold
        return self.charged()

    def unknown(self):
        with psycopg.connect(self.warehouse.reader_dsn) as reader:
            return reader.execute(
                "select entity, column_name, value, row_count, example_key "
                "from mart.unknown_values order by 1, 2, 3"
            ).fetchall()

    def assert_layers_agree(self):
        reports = [
            *compare_warehouse(self.lake, self.warehouse.dsn, Examples(limit=3)),
            *compare_gold(self.lake, self.warehouse.dsn, Examples(limit=3)),
        ]
        assert [one.table for one in reports if not one.findings.is_exact or one.note] == []


def open_shop(folder, warehouse):
    """One row of each table that is as it should be; an order and its line for each country."""
    shop = Shop(folder, warehouse)
    for name in ENTITIES:
        if name not in ("orders", "order_lines"):
            shop.change(name, 1)
    for key, country in enumerate(("FR", "XK", "QQ", "QQ"), 1):
        shop.change("orders", key, ship_country=country)
        shop.change("order_lines", key, order_id=key)
    return shop


def test_money_quarantined_for_an_unknown_country_comes_back_and_is_told(warehouse, tmp_path):
    shop = open_shop(tmp_path, warehouse)
    shop.land()
    consolidate_silver(shop.lake, RULES, [before_issue(ORDERS)])
    shop.consolidate()
    assert shop.charged() == {"FR": 1998, "XK": 1998}
    (redriven,) = redrive(shop.lake, RULES, Selection())
    assert (redriven.accepted, redriven.left) == (2, 0)
    work = shop.consolidate()
    assert shop.sold() == {"FR": 1998, "XK": 1998, UNKNOWN: 2 * 1998}
    shop.assert_layers_agree()
    assert shop.unknown() == [("orders", "ship_country", "QQ", 2, 3)]
    (told,) = [check for check in work.warned if check.name == "codes_are_known"]
    assert (told.severity, told.offending_rows) == ("warn", 2)
    assert {"entity": "orders", "key": 3, "columns": "ship_country"} in told.examples


def test_every_descriptive_column_may_hold_what_no_list_has(warehouse, tmp_path):
    shop = open_shop(tmp_path, warehouse)
    shop.change("suppliers", 2, country="Atlantis")
    shop.change("customers", 2, country="QQ")
    shop.change("products", 2, category="Gadgets")
    shop.change("orders", 5, customer_id=2, channel="pigeon", currency="BTC", ship_country="")
    shop.change("order_lines", 5, order_id=5, product_id=2)
    shop.change("payments", 5, order_id=5, kind="refund", method="barter", currency="BTC",
                amount="5.00")  # fmt: skip
    shop.change("interactions", 2, interaction_type="wishlist", device="fridge")
    shop.change("stock_movements", 2, kind="transfer", quantity=-1)
    shop.change("returns", 2, reason="colour", condition="lost")
    shop.land()
    work = shop.consolidate()
    assert sum(row.quarantined or 0 for row in work.results) == 0
    assert {(one.table, one.column): one.changes for one in work.unknown} == {
        ("suppliers", "country"): 1, ("customers", "country"): 1, ("products", "category"): 1,
        ("orders", "channel"): 1, ("orders", "currency"): 1, ("orders", "ship_country"): 3,
        ("payments", "method"): 1, ("payments", "currency"): 1,
        ("interactions", "interaction_type"): 1, ("interactions", "device"): 1,
        ("stock_movements", "kind"): 1, ("returns", "reason"): 1, ("returns", "condition"): 1,
    }  # fmt: skip
    assert {(entity, column) for entity, column, *_ in shop.unknown()} == {
        (one.table, one.column) for one in work.unknown
    }
    assert shop.sold() == {"FR": 1998, "XK": 1998, UNKNOWN: 3 * 1998}
    shop.assert_layers_agree()
    assert warehouse.query(
        "select d.category, sum(f.refund_cents)::bigint, sum(f.total_cents)::bigint "
        "from mart.fact_transactions as f inner join mart.dim_products as d using (product_key) "
        "where f.channel = 'unknown' group by 1"
    ) == [(UNKNOWN, 500, 1998)]
    assert warehouse.query("select sum(closing_units) from mart.fact_stocks") == [(2,)]


@pytest.mark.long
def test_value_that_the_shop_puts_right_is_no_longer_listed(warehouse, tmp_path):
    shop = open_shop(tmp_path, warehouse)
    shop.land()
    shop.consolidate()
    assert shop.unknown() == [("orders", "ship_country", "QQ", 2, 3)]
    shop.change("orders", 3, "u", ship_country="DE")
    shop.change("orders", 4, "u", ship_country="Q" * 6_000)
    shop.land()
    work = shop.consolidate()
    assert shop.unknown() == [("orders", "ship_country", "Q" * 100, 1, 4)]
    assert [check.offending_rows for check in work.warned if check.name == "codes_are_known"] == [1]
    shop.change("orders", 4, "d")
    shop.land()
    shop.consolidate()
    assert shop.unknown() == []


@pytest.mark.parametrize("table", [e.table for e in ENTITIES.values() if e.counting_unknown])
def test_each_column_has_its_index_and_is_told_by_the_check(warehouse, table):
    entity = ENTITIES[table]
    silver = MemorySilver()
    columns = dict(enumerate((column.name for column in entity.counting_unknown), 1))
    silver.commit(**{table: [{entity.key: n, column: UNKNOWN} for n, column in columns.items()]})
    report = load_warehouse(warehouse.dsn, silver)
    (told,) = [check for check in report.checks if check.name == "codes_are_known"]
    assert {one["key"]: one["columns"] for one in told.examples} == columns
    (index,) = warehouse.query(
        "select indexdef from pg_indexes where schemaname = 'entity' and indexname like %s",
        f"{table}_unknown_%_idx",
    )
    assert all(f"({column} = '{UNKNOWN}'::text)" in index[0] for column in columns.values())
