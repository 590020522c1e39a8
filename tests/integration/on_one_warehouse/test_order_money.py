"""An order's money on its lines: SQL and gold's code agree to the cent, and none of it is lost."""

from collections import defaultdict

import narwhals as nw
import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from batch.gold.transforms.sale_lines import AMOUNTS, sale_lines
from batch.warehouse.entities import BY_SILVER
from batch.warehouse.scripts import scripts
from lakehouse.contracts.model import MOST_CENTS, MOST_FOREIGN_CENTS
from lakehouse.contracts.schemas import history_schema, silver_schema
from lakehouse.postgres import copy_frames
from tests.warehouse import load_warehouse, new_warehouse, silver_row
from tests.warehouse_history import silver_after

pytestmark = pytest.mark.integration

CENTS = st.just(0) | st.integers(1, 10) | st.integers(1, 10**9)
MOST_FOREIGN = st.just(MOST_FOREIGN_CENTS)
YEN = st.integers(0, 10**5).map(lambda yen: yen * 100)
RATES = st.sampled_from([10**8, 117_000_001, 610_000, 1, 10**10, 10**14])
"""Of the base currency, one dearer, one much cheaper, the least and the most that there is."""
REFUNDS = st.integers(1, 10) | st.integers(1, 2 * 10**9) | MOST_FOREIGN
SILVER = {"orders": "cleaned_sales", "order_lines": "cleaned_sale_lines",
          "payments": "cleaned_payments"}  # fmt: skip


@st.composite
def orders(draw):
    """An order as silver lets it pass, its lines, and what was given back."""
    rate = draw(RATES)
    most = MOST_CENTS * 10**8 // rate // 4
    of_lines = YEN if draw(st.booleans()) else CENTS
    cents = of_lines.map(lambda amount: min(amount, most))
    weights = draw(st.lists(st.just(0) | cents | MOST_FOREIGN, max_size=4))
    subtotal = draw(st.just(min(sum(weights), most)) | st.just(0) | cents)
    discount = draw(st.sampled_from([0, subtotal, subtotal // 3]))
    shipping, tax = draw(st.just(0) | cents), draw(st.just(0) | cents)
    total = subtotal - discount + shipping + tax
    return {
        "order": {
            "exchange_rate_e8": rate, "subtotal_cents": subtotal, "discount_cents": discount,
            "shipping_cents": shipping, "tax_cents": tax, "total_cents": total,
            "base_total_cents": (total * rate + 5 * 10**7) // 10**8,
        },
        "weights": weights,
        "refunds": draw(st.lists(REFUNDS, max_size=12)),
    }  # fmt: skip


def rows_of(drawn):
    """Rows of silver, by table; lines come in no order."""
    found = defaultdict(list)
    for order_id, one in enumerate(drawn, 1):
        found["orders"].append({"order_id": order_id, **one["order"]})
        found["order_lines"] += (
            {"order_line_id": 10 * order_id - place, "order_id": order_id,
             "line_total_cents": weight}
            for place, weight in enumerate(one["weights"])
        )  # fmt: skip
        found["payments"] += (
            {"payment_id": 20 * order_id + place, "order_id": order_id, "kind": "refund",
             "status": "captured", "amount_cents": cents}
            for place, cents in enumerate(one["refunds"])
        )  # fmt: skip
    return {name: frame(silver, found[name]) for name, silver in SILVER.items()}


def frame(silver, rows):
    table = BY_SILVER[silver]
    full = [silver_row(table, offset, row) for offset, row in enumerate(rows)]
    schema = pl.DataFrame(silver_schema(table.entity).empty_table()).schema
    return pl.DataFrame(full, schema=schema)


def of_gold(rows):
    history = history_schema(BY_SILVER["products_history"].entity).empty_table()
    inputs = (*(rows[name] for name in SILVER), pl.DataFrame(history))
    valued = sale_lines(*(nw.from_native(one.lazy()) for one in inputs)).collect().to_native()
    return valued.select("order_line_id", *AMOUNTS).sort("order_line_id")


def of_sql(connection, rows):
    """As live and the load compute it: from tables that the search path names."""
    with connection.transaction(force_rollback=True):
        connection.execute("select live.prepare_session()")
        connection.execute("set local search_path = pg_temp, resolved, etl")
        for name, silver in SILVER.items():
            columns = BY_SILVER[silver].columns
            copy_frames(connection, sql.Identifier("pg_temp", name), columns, [rows[name]])
        connection.execute("insert into order_chunk select order_id from pg_temp.orders")
        connection.execute("select etl.compute_transactions()")
        names = ", ".join(AMOUNTS)
        query = f"select order_line_id, {names} from new_transactions order by 1"
        found = connection.execute(query).fetchall()
    return pl.DataFrame(found, schema=dict.fromkeys(("order_line_id", *AMOUNTS), pl.Int64),
                        orient="row")  # fmt: skip


@pytest.fixture(scope="module")
def connection(warehouse_server):
    with new_warehouse(warehouse_server) as made, psycopg.connect(made.dsn) as opened:
        opened.autocommit = True
        yield opened


@settings(deadline=None, max_examples=40)
@given(drawn=st.lists(orders(), min_size=1, max_size=25))
def test_money_of_any_orders_is_on_their_lines_to_the_cent_by_both_implementations(
    drawn, connection
):
    rows = rows_of(drawn)
    found = of_sql(connection, rows)
    assert found.to_dicts() == of_gold(rows).to_dicts()
    placed = found.group_by(pl.col("order_line_id").add(9) // 10).sum()
    sums = {row["order_line_id"]: row for row in placed.to_dicts()}
    for order_id, one in enumerate(drawn, 1):
        if not one["weights"]:
            continue
        order, has_all = one["order"], sum(one["weights"]) >= one["order"]["subtotal_cents"]
        exact = [cents * order["exchange_rate_e8"] for cents in one["refunds"]]
        in_range = (worth for worth in exact if worth <= MOST_CENTS * 10**8)
        refund = sum((worth + 5 * 10**7) // 10**8 for worth in in_range)
        rest = order["base_total_cents"] - sums[order_id]["total_cents"]
        assert rest == 0 if has_all else rest >= 0
        rest = refund - sums[order_id]["refund_cents"]
        assert rest == 0 if has_all or not order["base_total_cents"] else rest >= 0


FREE = {"subtotal_cents": 0, "discount_cents": 0, "shipping_cents": 490, "tax_cents": 0,
        "base_total_cents": 490}  # fmt: skip
WORTH = {**FREE, "subtotal_cents": 100, "base_total_cents": 590}
NOTHING = {**FREE, "shipping_cents": 0, "base_total_cents": 0}
REFUND = {"kind": "refund", "status": "captured"}
SHOP = {
    # Free lines; all well; no line; worth nothing and given back; lines beyond their order; a
    # refund that is worth too much.
    "orders": [
        {"order_id": number, **values}
        for number, values in enumerate((FREE, WORTH, FREE, NOTHING, WORTH, WORTH), 1)
    ],
    "order_lines": [
        {"order_line_id": number, "order_id": number, "line_total_cents": cents}
        for number, cents in ((1, 0), (2, 100), (4, 0), (5, 200), (6, 100))
    ],
    "payments": [
        {"payment_id": 1, "order_id": 4, **REFUND},
        {"payment_id": 2, "order_id": 6, "amount_cents": MOST_CENTS + 1, **REFUND},
    ],
}
SUMMED = ("fact_transactions", "daily_sales", "daily_orders", "daily_geography",
          "customer_months", "customer_totals")  # fmt: skip


def test_warehouse_of_before_is_right_after_the_first_load_though_nothing_is_new(warehouse):
    silver = silver_after([SHOP])
    load_warehouse(warehouse.dsn, silver)
    right = warehouse.contents()
    for table in SUMMED:
        where = "where order_id in (1, 4, 5, 6)" if table == "fact_transactions" else ""
        warehouse.execute(f"update mart.{table} set total_cents = 7, refund_cents = 0 {where}")
    # As the migration makes them, of totals that are wrong.
    (filled,) = (text.decode() for _, text in scripts("migrations/0043_customer_groups.sql"))
    for table in ("customer_groups", "cohort_months"):
        warehouse.execute(f"delete from mart.{table}")
        insert = filled[filled.index(f"insert into mart.{table}") :]
        warehouse.execute(insert[: insert.index(";")])
    worth = "update mart.fact_payments set base_amount_cents = amount_cents where payment_id = 2"
    warehouse.execute(worth)
    (migration,) = (text.decode() for _, text in scripts("migrations/0020_stale_orders.sql"))
    warehouse.execute(migration[migration.index("insert into") :])
    marked = warehouse.query("select order_id from etl.stale_order order by 1")
    assert marked == [(1,), (4,), (5,), (6,)]
    report = load_warehouse(warehouse.dsn, silver)
    assert report.checks
    assert warehouse.contents() == right
    assert load_warehouse(warehouse.dsn, silver).checks == ()
