"""Faults planted in silver, gold and the warehouse are found and named; what is right is exact."""

import copy
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from batch.gold.run import consolidate_gold
from batch.gold.silver import SCHEMAS
from batch.pipeline_run import PipelineRun
from batch.reconcile import warehouse as warehouse_of
from batch.reconcile.findings import Fault, Findings
from batch.reconcile.gold import TOTALS, compare_totals
from batch.reconcile.history import Examples
from batch.reconcile.layers import InNoFact, LayerFindings, LayerReport
from batch.reconcile.report import Report, SnapshotReport, TableReport
from batch.reconcile.silver import compare_silver
from batch.reconcile.warehouse import Shard, WarehouseComparison
from batch.runs import Run
from batch.silver.run import chosen_entities, consolidate_silver
from batch.silver.sizes import BatchLimits
from batch.warehouse.entities import TABLES
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.contracts.model import MOST_CENTS
from lakehouse.delta import scan
from lakehouse.errors import RetryLaterError
from lakehouse.lake import Lake
from tests.unit.bronze_maker import RULES, customers, new_lake, order_lines
from tests.unit.clusters import Gone, Here
from tests.unit.gold_shop import NOON, LocalSilver, line, movement, order, refund, version, visit

EXAMPLES = Examples(limit=5)
SILVER = [name for e in ENTITIES.values() for name in (e.silver, e.history) if name]


class Shop:
    """Customers and order lines in bronze, some beyond cleaning, and silver made of them."""

    def __init__(self, folder):
        self.lake = new_lake(folder)
        self.customers = customers(self.lake)
        self.lines = order_lines(self.lake, topic_id="lines")

    def sell(self):
        for key in (1, 2, 3):
            self.customers.change(key, "u" if key in self.customers.rows else "c", city="Paris")
        self.customers.change(1, "u", city="London").change(2, "u", email="nobody")
        self.lines.change(len(self.lines.rows) + 1, "c").change(len(self.lines.rows) + 1, "c")
        self.customers.land()
        self.lines.land()
        return self

    def consolidate(self):
        consolidate_silver(self.lake, RULES, chosen_entities(["customers", "order_lines"]))
        return self

    def compare(self, lake=None, rules=RULES, cluster=None):
        reports = compare_silver(lake or self.lake, rules, EXAMPLES, cluster=cluster)
        return {one.table: one for one in reports}

    def table(self, name):
        return self.lake.open("silver", name)

    def rows(self, name, predicate):
        return scan(self.table(name)).filter(predicate).collect()

    def append(self, name, rows):
        schema = SCHEMAS[name]
        write_deltalake(self.table(name), rows.select(schema.names).to_arrow().cast(schema),
                        mode="append")  # fmt: skip


@pytest.fixture(scope="module")
def first_shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop")).sell().consolidate()


@pytest.fixture
def shop(first_shop, tmp_path):
    """A copy of its own: making it again for each test would take most of the time."""
    shutil.copytree(Path(first_shop.lake.bronze).parent, tmp_path, dirs_exist_ok=True)
    made = copy.deepcopy(first_shop)
    made.lake = made.customers.lake = made.lines.lake = new_lake(tmp_path)
    return made


def faults(findings):
    return {name: fault for name, fault in findings.faults.items() if fault.count}


def faulty(reports):
    return {name: faults(one.findings) for name, one in reports.items() if faults(one.findings)}


def test_silver_that_follows_from_bronze_is_exact(shop):
    found = shop.compare()
    assert list(found) == SILVER
    assert faulty(found) == {}
    assert all(one.is_compared for one in found.values())
    assert (found["enriched_users"].findings.rows, found["enriched_users"].findings.changes) == (
        3,
        5,
    )
    assert found["enriched_users"].findings.quarantined == 1
    assert found["users_history"].findings.rows == 4


@pytest.mark.parametrize("records", [1, 2, 4])
def test_findings_are_the_same_however_many_changes_are_validated_at_a_time(shop, records):
    shop.table("enriched_users").delete("customer_id = 3")
    whole = shop.compare()
    in_parts = shop.compare(rules=replace(RULES, batch=BatchLimits(records=records)))
    assert whole["enriched_users"].findings.missing.count == 1
    assert {name: one.findings for name, one in in_parts.items()} == {
        name: one.findings for name, one in whole.items()
    }


def test_findings_on_spark_are_those_of_one_machine(shop):
    shop.table("enriched_users").delete("customer_id = 3")
    # A single row, as the order of examples is not defined.
    shop.table("users_history").delete("customer_id = 2")
    shop.table("quarantine").delete()
    few, cluster = replace(RULES, batch=BatchLimits(records=1)), Here()
    here, there = shop.compare(rules=few), shop.compare(rules=few, cluster=cluster)
    assert cluster.jobs == 2
    assert set(faulty(here)) == {"enriched_users", "users_history"}
    assert [replace(one, seconds=0) for one in there.values()] == [
        replace(one, seconds=0) for one in here.values()
    ]
    with pytest.raises(RetryLaterError, match="gone"):
        shop.compare(rules=few, cluster=Gone())
    shop.compare(cluster=Gone())  # of few changes: they are for this machine


def test_silver_that_is_written_while_it_is_compared_is_exact(shop):
    """Each table is at a version that is not behind those opened before it."""
    found = {}
    for one in compare_silver(shop.lake, RULES, EXAMPLES):
        if not found:
            shop.lines.change(9, "c", unit_price_amount="-1")
            shop.sell().consolidate()
        found[one.table] = one
    assert faulty(found) == {}
    assert found["cleaned_sale_lines"].findings.quarantined == 1


def test_changed_cent_in_silver_is_found(shop):
    shop.table("cleaned_sale_lines").update(
        {"line_total_cents": "line_total_cents + 1"}, predicate="order_line_id = 2"
    )
    fault = Fault(count=1, examples=("2 (line_total_cents)",))
    assert faulty(shop.compare()) == {"cleaned_sale_lines": {"different": fault}}


def test_lost_row_of_silver_is_found(shop):
    shop.table("enriched_users").delete("customer_id = 3")
    missing = {"missing": Fault(count=1, examples=("3",))}
    assert faulty(shop.compare()) == {"enriched_users": missing}


def test_doubled_row_of_silver_is_found(shop):
    shop.append("enriched_users", shop.rows("enriched_users", pl.col("customer_id") == 3))
    extra = {"extra": Fault(count=2, examples=("3", "3"))}
    assert faulty(shop.compare()) == {"enriched_users": extra}


def test_lost_and_altered_versions_are_found(shop):
    first, second = shop.rows("users_history", pl.col("customer_id") == 1)["_offset"].sort()
    shop.table("users_history").delete(f"customer_id = 1 and _offset = {second}")
    shop.table("users_history").update(
        {"valid_to_at": "valid_from_at"}, predicate=f"customer_id = 1 and _offset = {first}"
    )
    assert faulty(shop.compare()) == {
        "users_history": {
            "missing": Fault(count=1, examples=(f"1/0/{second}",)),
            "different": Fault(count=1, examples=(f"1/0/{first} (valid_to_at)",)),
        }
    }


def test_change_that_was_quarantined_and_dropped_is_found(shop):
    (quarantined,) = shop.rows("quarantine", pl.col("entity") == "customers").to_dicts()
    shop.table("quarantine").delete("entity = 'customers'")
    partition = f"{quarantined['_partition']}@{quarantined['_offset']}"
    unaccounted = {"unaccounted": Fault(count=1, examples=(partition,))}
    assert faulty(shop.compare()) == {"enriched_users": unaccounted}


@pytest.mark.parametrize("offset", [0, 900])
def test_change_that_was_quarantined_without_a_reason_is_found(shop, offset):
    rows = shop.rows("quarantine", pl.col("entity") == "customers")
    other = rows.with_columns(_partition=pl.lit(1, pl.Int32), _offset=pl.lit(offset, pl.Int64))
    write_deltalake(shop.table("quarantine"), other.to_arrow(), mode="append")
    unaccounted = {"unaccounted": Fault(count=1, examples=(f"1@{offset}",))}
    assert faulty(shop.compare()) == {"enriched_users": unaccounted}


@pytest.mark.parametrize("beyond", [{"_offset": 900}, {"_epoch": 7}, {"_topic_id": "other"}])
@pytest.mark.parametrize(("table", "key"), [("enriched_users", "9"), ("users_history", "9/{}/{}")])
def test_row_of_a_change_that_was_never_read_is_found(shop, table, key, beyond):
    rows = shop.rows(table, pl.col("customer_id") == 3)
    planted = rows.with_columns(
        pl.lit(value, rows.schema[name]).alias(name)
        for name, value in {"customer_id": 9, **beyond}.items()
    )
    shop.append(table, planted)
    epoch, offset = planted["_epoch"].item(), planted["_offset"].item()
    extra = {"extra": Fault(count=1, examples=(key.format(epoch, offset),))}
    assert faulty(shop.compare()) == {table: extra}


def test_consolidation_killed_between_two_commits_is_exact(shop, tmp_path):
    kept = shutil.copytree(tmp_path / "silver" / "enriched_users", tmp_path / "kept")
    shop.sell().consolidate()
    shutil.rmtree(tmp_path / "silver" / "enriched_users")
    shutil.copytree(kept, tmp_path / "silver" / "enriched_users")
    assert faulty(shop.compare()) == {}
    shop.consolidate()
    assert faulty(shop.compare()) == {}


def test_history_behind_the_current_rows_is_not_exact(shop, tmp_path):
    kept = shutil.copytree(tmp_path / "silver" / "users_history", tmp_path / "kept")
    shop.sell().consolidate()
    shutil.rmtree(tmp_path / "silver" / "users_history")
    shutil.copytree(kept, tmp_path / "silver" / "users_history")
    assert set(faulty(shop.compare())["users_history"]) == {"missing", "different"}


def test_consolidations_between_any_two_openings_do_no_harm(shop):
    openings = ["enriched_users", "users_history", "quarantine", "raw_users"]

    class BusyLake(Lake):
        def open(self, layer, table, *, version=None):
            if openings and table == openings[0]:
                openings.pop(0)
                shop.sell().consolidate()
            return shop.lake.open(layer, table, version=version)

    places = {name: getattr(shop.lake, name) for name in ("bronze", "silver", "gold", "options")}
    assert faulty(shop.compare(BusyLake(**places))) == {}
    assert openings == []


def test_table_that_was_not_consolidated_is_not_compared(shop, tmp_path):
    shutil.rmtree(tmp_path / "silver" / "enriched_users")
    shutil.rmtree(tmp_path / "bronze" / "raw_sale_lines")
    notes = {name: one.note for name, one in shop.compare().items() if not one.is_compared}
    assert notes == {
        "enriched_users": "not consolidated yet",
        "users_history": "not consolidated yet",
        "cleaned_sale_lines": "bronze no longer has raw_sale_lines",
    }


@pytest.fixture(scope="module")
def first_silver(tmp_path_factory):
    """Three orders, a refund, two visits and two movements; gold made of them."""
    made = LocalSilver(tmp_path_factory.mktemp("silver"))
    made.merge("products_history", version(1, 1, NOON - timedelta(days=9)))
    made.merge("cleaned_sales", order(1), order(2, customer_id=2), order(3, exchange_rate_e8=2))
    made.merge("cleaned_sale_lines", *(line(number, number, 10_000) for number in (1, 2, 3)))
    made.merge("cleaned_payments", refund(1, 2, 5_000), refund(2, 77, 100))
    made.merge("cleaned_interactions", visit(1, "view", product_id=1), visit(2, "cart"))
    made.merge("cleaned_stock_movements", movement(1, "receipt", 50), movement(2, "sale", -2))
    consolidate_gold(made.lake, retention_hours=1)
    return made


@pytest.fixture
def silver(first_silver, tmp_path):
    shutil.copytree(first_silver.root, tmp_path, dirs_exist_ok=True)
    return LocalSilver(tmp_path)


def published(lake):
    opened = {name: lake.open("silver", name) for name in SCHEMAS}
    return {name: delta.version() for name, delta in opened.items() if delta is not None}


def sums_of(lake):
    """What gold comes to, as if the warehouse said it."""
    found = {}
    for name, total in TOTALS.items():
        rows = scan(lake.open("gold", name)).filter(total.where).group_by(list(total.keys))
        found[id(total)] = rows.agg(pl.col(one).sum() for one in total.sums).collect()
    return lambda total: found[id(total)]


def totals(lake, of_warehouse, versions=None):
    versions = published(lake) if versions is None else versions
    return {one.table: one for one in compare_totals(lake, versions, of_warehouse, EXAMPLES)}


def test_gold_whose_sums_are_the_stars_is_exact(silver):
    found = totals(silver.lake, sums_of(silver.lake))
    assert list(found) == list(TOTALS)
    assert all(one.is_compared and one.findings.rows for one in found.values())
    assert faulty(found) == {}


@pytest.mark.parametrize("table", TOTALS)
def test_gold_sum_off_by_one_is_found(silver, table):
    of_warehouse = sums_of(silver.lake)
    column = list(TOTALS[table].sums)[-1]
    delta = silver.lake.open("gold", table)
    delta.update({column: f"{column} + 1"}, predicate="true")
    (found,) = faulty(totals(silver.lake, of_warehouse)).items()
    assert found[0] == table
    assert list(found[1]) == ["different"]
    assert all(example.endswith(f" ({column})") for example in found[1]["different"].examples)


def test_lost_and_doubled_rows_of_gold_are_found(silver):
    of_warehouse = sums_of(silver.lake)
    silver.lake.open("gold", "geographic_sales").delete("true")
    stock = silver.lake.open("gold", "stock_health")
    write_deltalake(stock, scan(stock).collect().to_arrow(), mode="append")
    found = faulty(totals(silver.lake, of_warehouse))
    assert found == {
        "geographic_sales": {"missing": Fault(count=1, examples=("2026-01-10/DE/Berlin",))},
        "stock_health": {"different": Fault(count=1, examples=("1/A (on_hand_units)",))},
    }


def test_sale_in_another_category_is_found(silver):
    of_warehouse = sums_of(silver.lake)
    silver.lake.open("gold", "sales_kpi").update({"category": "'Toys'"})
    found = faulty(totals(silver.lake, of_warehouse))["sales_kpi"]
    assert found["missing"].examples == ("2026-01-10/DE/web/Books",)
    assert found["extra"].examples == ("2026-01-10/DE/web/Toys",)


def test_gold_of_other_versions_or_none_is_not_compared(silver, tmp_path):
    of_warehouse = sums_of(silver.lake)
    silver.merge("cleaned_interactions", visit(3, "view"))
    shutil.rmtree(tmp_path / "gold" / "geographic_sales")
    found = totals(silver.lake, of_warehouse)
    assert {name: one.note for name, one in found.items() if not one.is_compared} == {
        "geographic_sales": "not built yet",
        "product_performance": "built from other versions of silver than the warehouse",
        "customer_behaviour": "built from other versions of silver than the warehouse",
    }


class Mart:
    """A warehouse in memory, right as it is made."""

    def __init__(self, silver):
        self.parts = {}
        self.rows = {
            f"entity.{table.name}": scan(delta).collect()
            for table in TABLES
            if (delta := silver.lake.open("silver", table.silver)) is not None
        }
        amounts = {"gross_revenue_cents": 10_000, "discount_cents": 0, "net_revenue_cents": 10_000,
                   "shipping_cents": 0, "tax_cents": 0, "total_cents": 10_000, "refund_cents": 0,
                   "cost_cents": 400, "margin_cents": 9_600}  # fmt: skip
        lines = [{"order_line_id": n, "order_id": n, "counts": True} | amounts for n in (1, 2, 3)]
        lines[1]["refund_cents"] = 5_000
        self.rows["mart.fact_transactions"] = pl.DataFrame(lines)
        self.rows["mart.fact_payments"] = pl.DataFrame({
            "payment_id": [1, 2], "order_id": [2, 77], "amount_cents": [5_000, 100],
            "base_amount_cents": [5_000, None],
        })  # fmt: skip

    def read(self, table, schema, part):
        self.parts.setdefault(table, []).append((part.first, part.stop))
        rows = self.rows.get(table)
        if rows is None:
            return pl.DataFrame(schema=schema)
        return rows.filter(part.of_silver()).select(list(schema))

    def compare(self, lake, versions=None):
        versions = published(lake) if versions is None else versions
        return {
            one.table: one
            for one in WarehouseComparison(lake, versions, self.read, EXAMPLES).compare()
        }


@pytest.fixture
def mart(silver):
    return Mart(silver)


@pytest.mark.parametrize("slice_rows", [1, 400_000])
def test_warehouse_that_follows_from_silver_is_exact_in_any_slices(
    silver, mart, monkeypatch, slice_rows
):
    monkeypatch.setattr(warehouse_of, "_SLICE_ROWS", slice_rows)
    found = mart.compare(silver.lake)
    facts = ["mart.fact_payments", "mart.fact_transactions"]
    assert list(found) == [f"entity.{table.name}" for table in TABLES] + facts
    assert all(one.is_compared for one in found.values())
    assert faulty(found) == {}
    assert found["mart.fact_transactions"].findings.rows == 3
    parts = {table: mart.parts[table] for table in facts}
    whole = {table: [(None, None)] for table in facts}
    sliced = {facts[0]: [(None, 77), (77, None)], facts[1]: [(None, 2), (2, 3), (3, None)]}
    assert parts == (sliced if slice_rows == 1 else whole)


@pytest.mark.parametrize(
    ("table", "column", "key"),
    [("entity.orders", "total_cents", "1"), ("mart.fact_transactions", "margin_cents", "1"),
     ("mart.fact_payments", "base_amount_cents", "1")],
)  # fmt: skip
def test_changed_cent_in_the_warehouse_is_found(silver, mart, table, column, key):
    rows = mart.rows[table].with_columns((pl.col(column) + 1).alias(column))
    mart.rows[table] = pl.concat([rows.head(1), mart.rows[table].slice(1)])
    different = {"different": Fault(count=1, examples=(f"{key} ({column})",))}
    assert faulty(mart.compare(silver.lake)) == {table: different}


def test_lost_and_doubled_rows_of_the_warehouse_are_found(silver, mart):
    lines, payments = mart.rows["mart.fact_transactions"], mart.rows["mart.fact_payments"]
    mart.rows["mart.fact_transactions"] = lines.slice(1)
    mart.rows["mart.fact_payments"] = pl.concat([payments, payments.head(1)])
    assert faulty(mart.compare(silver.lake)) == {
        "mart.fact_transactions": {"missing": Fault(count=1, examples=("1",))},
        "mart.fact_payments": {"extra": Fault(count=2, examples=("1", "1"))},
    }


def test_row_of_what_silver_does_not_have_is_found(silver, mart):
    schema = pl.Schema(SCHEMAS["cleaned_suppliers"])
    mart.rows["entity.suppliers"] = pl.DataFrame([{"supplier_id": 5}], schema=schema)
    extra = {"extra": Fault(count=1, examples=("5",))}
    assert faulty(mart.compare(silver.lake)) == {"entity.suppliers": extra}


def test_money_of_orders_without_all_lines_is_told_and_is_no_fault(silver, mart):
    silver.merge(
        "cleaned_sales",
        # Without a line; with one of two; not to be counted; all there.
        order(4, subtotal_cents=0, shipping_cents=490, total_cents=490, base_total_cents=490),
        order(5), order(6, status="cancelled", paid_at=None), order(7),
    )  # fmt: skip
    silver.merge("cleaned_sale_lines", line(5, 5, 2_500), line(7, 7, 10_000))
    silver.merge("cleaned_payments", refund(3, 4, 90), refund(4, 5, 1_000), refund(5, 7, 9))
    found = mart.compare(silver.lake)["mart.fact_transactions"]
    expected = InNoFact(
        orders=Fault(count=2, examples=("5", "4")), total_cents=7_990, refund_cents=840
    )
    assert found.findings.in_no_fact == expected
    assert found.to_json()["in_no_fact"] == {
        "orders": 2, "total_cents": 7_990, "refund_cents": 840, "examples": ("5", "4"),
    }  # fmt: skip
    # The warehouse lacks these lines; what is in no fact is not among its faults.
    assert set(found.findings.missing.examples) == {"5", "7"}
    assert mart.compare(silver.lake)["mart.fact_payments"].findings.in_no_fact == InNoFact()


def test_payments_worth_more_than_any_amount_are_told_and_are_no_fault(silver, mart):
    silver.merge("cleaned_payments", refund(3, 2, MOST_CENTS), refund(4, 2, MOST_CENTS + 1))
    too_much = {"payment_id": [3, 4], "order_id": [2, 2],
                "amount_cents": [MOST_CENTS, MOST_CENTS + 1],
                "base_amount_cents": [MOST_CENTS, None]}  # fmt: skip
    payments = mart.rows["mart.fact_payments"]
    mart.rows["mart.fact_payments"] = pl.concat([payments, pl.DataFrame(too_much)])
    found = mart.compare(silver.lake)["mart.fact_payments"]
    assert found.findings.is_exact
    assert found.to_json()["out_of_range"] == 1
    held = replace(WHOLE[1], findings=found.findings)
    assert "Warning: 1 payments or refunds exceed" in report_of(held).verdict()
    assert "exceed" not in report_of(*WHOLE).verdict()


def test_warehouse_that_was_never_published_is_not_compared(silver, mart):
    assert {one.note for one in mart.compare(silver.lake, {}).values()} == {"never published"}
    versions = published(silver.lake)
    del versions["cleaned_payments"]
    found = mart.compare(silver.lake, versions)
    assert [name for name, one in found.items() if one.note == "not published yet"] == [
        "entity.payments", "mart.fact_payments", "mart.fact_transactions",
    ]  # fmt: skip


def test_parts_have_limits_that_mean_the_same_in_the_warehouse():
    part = Shard(column="order_id", first=-4, stop=1)
    assert part.of_warehouse().as_string(None) == '"order_id" >=  -4 and "order_id" < 1'
    numbers = pl.DataFrame({"order_id": [-5, -4, -2, 0, 1, 4]})
    assert numbers.filter(part.of_silver())["order_id"].to_list() == [-4, -2, 0]
    texts = Shard(column="order_id", first="a", stop="b")
    assert texts.of_warehouse().as_string(None) == "\"order_id\" >= 'a' and \"order_id\" < 'b'"


def report_of(*layers):
    table = TableReport(table="orders", bronze="raw_sales", findings=Findings(changes=5), seconds=0)
    snapshot = SnapshotReport(snapshot="1:1:", lsn="0/1", taken_at=None)
    return Report(tables=(table,), snapshot=snapshot, seconds=1.0, layers=layers)


def compared(layer, table, **found):
    return LayerReport(layer=layer, table=table, findings=LayerFindings(**found), seconds=0.0)


WHOLE = (compared("silver", "s", quarantined=2), compared("warehouse", "w"), compared("gold", "g"))
PARTLY = LayerReport.not_compared("gold", "sales_kpi", "not built yet")


def test_verdict_names_all_layers_that_were_compared():
    verdict = report_of(*WHOLE).verdict()
    assert (
        "Silver, the warehouse and gold are what follows from it, to the cent; 2 changes" in verdict
    )
    assert "Not compared" not in verdict
    report_of(*WHOLE).require_all()


def test_verdict_says_what_was_not_compared_and_why():
    verdict = report_of(*WHOLE, PARTLY).verdict()
    assert "Silver, the warehouse and gold in part are what follows from it" in verdict
    assert "Not compared: gold (sales_kpi): not built yet. Run ./pipeline consolidate." in verdict
    only_silver = report_of(WHOLE[0], PARTLY).verdict()
    assert "Silver is what follows from it" in only_silver
    assert "warehouse" not in only_silver
    assert "follows" not in report_of(PARTLY).verdict()
    faulty_one = compared("silver", "s", missing=Fault(count=1, examples=("7",)))
    assert "Not compared: gold (sales_kpi)" in report_of(faulty_one, PARTLY).verdict()


def test_verdict_says_what_of_orders_is_in_no_fact():
    outside = InNoFact(
        orders=Fault(count=3, examples=("5", "4")), total_cents=1_234_567, refund_cents=5
    )
    held = compared("warehouse", "w", in_no_fact=outside)
    says = "In no fact: 12,345.67 of the totals and 0.05 of the refunds of 3 orders, in the base"
    exact = report_of(WHOLE[0], held, WHOLE[2])
    assert exact.exact
    assert says in exact.verdict()
    assert "(orders 5, 4 and 1 more)" in exact.verdict()
    assert "In no fact" not in report_of(*WHOLE).verdict()
    faulty_one = compared("silver", "s", missing=Fault(count=1, examples=("7",)))
    assert says in report_of(faulty_one, held).verdict()


def test_gold_by_other_formulas_is_not_compared_until_it_is_recreated(silver, monkeypatch):
    of_warehouse = sums_of(silver.lake)
    newer = replace(GOLD_TABLES["sales_kpi"], formulas=99)
    monkeypatch.setitem(GOLD_TABLES, "sales_kpi", newer)
    found = totals(silver.lake, of_warehouse)
    assert {name: one.note for name, one in found.items() if not one.is_compared} == {
        "sales_kpi": "built by other formulas than those of this version"
    }
    consolidate_gold(silver.lake, retention_hours=1)
    assert all(one.is_compared for one in totals(silver.lake, of_warehouse).values())


def test_reconcile_of_a_pipeline_run_requires_that_all_was_compared(monkeypatch):
    pipeline = PipelineRun(lake=None, rules=RULES, warehouse="", limit=None)
    monkeypatch.setattr("batch.reconcile.reconcile", lambda *_, **__: report_of(*WHOLE))
    record = Run()
    assert pipeline.reconcile(record).exact
    assert record.noted.details["is_exact"] is True
    record = Run()
    monkeypatch.setattr("batch.reconcile.reconcile", lambda *_, **__: report_of(*WHOLE, PARTLY))
    with pytest.raises(RetryLaterError, match=r"Cannot tell .* gold \(sales_kpi\).*consolidate"):
        pipeline.reconcile(record)
    assert record.noted.details["is_exact"] is None
