"""Gold on real Delta tables: an incremental run gives the same rows as a rebuild."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, TableFeatures

from batch.gold import run as gold_run
from batch.gold.run import GoldReport, chosen_tables, consolidate_gold, rebuild_gold
from batch.spark import files
from lakehouse.commit import a_few_times
from lakehouse.contracts.gold import CUSTOMER_LIFETIME_VALUE, GOLD_TABLES
from lakehouse.contracts.model import FIRST_TIMESTAMP, LAST_TIMESTAMP
from lakehouse.errors import GoneError, RetryLaterError, StopPipelineError
from lakehouse.lake import Lake
from replay.gold import replay_gold
from tests.unit.clusters import Gone, Here
from tests.unit.gold_shop import (
    NOON,
    LocalSilver,
    RandomShop,
    line,
    movement,
    order,
    refund,
    version,
    visit,
)

FEBRUARY = datetime(2026, 2, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> LocalSilver:
    """Two orders in January and one in February, and the gold made of them: to be copied."""
    made = LocalSilver(tmp_path_factory.mktemp("shop"))
    made.merge("products_history", version(1, 1, NOON - timedelta(days=9)))
    made.merge(
        "cleaned_sales",
        order(1, base_total_cents=10_000),
        order(2, customer_id=2, placed_at=NOON + timedelta(days=1)),
        order(3, customer_id=3, placed_at=FEBRUARY),
    )
    made.merge("cleaned_sale_lines", *(line(number, number, 10_000) for number in (1, 2, 3)))
    made.merge("cleaned_payments", refund(1, 2, 5_000))
    made.merge("cleaned_interactions", visit(1, "view", product_id=1), visit(2, "cart"))
    made.merge("cleaned_stock_movements", movement(1, "receipt", 50), movement(2, "sale", -2))
    run(made.lake)
    return made


@pytest.fixture
def silver(shop: LocalSilver, tmp_path: Path) -> LocalSilver:
    """The shop's silver, without gold."""
    shutil.copytree(shop.root / "silver", tmp_path / "silver")
    return LocalSilver(tmp_path, offset=shop.offset, current=deepcopy(shop.current))


@pytest.fixture
def consolidated(shop: LocalSilver, silver: LocalSilver) -> None:
    """Its gold, too."""
    shutil.copytree(shop.root / "gold", silver.root / "gold")


def run(lake: Lake, *tables: str, **options: object) -> dict[str, GoldReport]:
    reports = consolidate_gold(lake, tables, retention_hours=1, **options)
    return {report.table: report for report in reports}


def content(lake: Lake, table: str) -> pl.DataFrame:
    delta = lake.open("gold", table)
    assert delta is not None
    return pl.scan_delta(delta).collect().sort(GOLD_TABLES[table].key)


def gold(lake: Lake, table: str) -> DeltaTable:
    delta = lake.open("gold", table)
    assert delta is not None
    return delta


def versions(lake: Lake) -> dict[str, int]:
    return {name: gold(lake, name).version() for name in GOLD_TABLES}


def assert_equals_rebuild(silver: LocalSilver) -> None:
    whole = silver.with_gold("whole")
    rebuild_gold(whole, retention_hours=1)
    for table in GOLD_TABLES:
        assert content(silver.lake, table).to_dicts() == content(whole, table).to_dicts(), table


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))]
)
def test_incremental_runs_over_a_random_history_equal_a_rebuild(tmp_path: Path, seed: int) -> None:
    silver = LocalSilver(tmp_path)
    shop = RandomShop(silver, seed)
    for _ in range(3):
        shop.next_batch()
        run(silver.lake)
        assert_equals_rebuild(silver)


def test_a_full_run_on_spark_gives_the_tables_of_one_machine(tmp_path: Path) -> None:
    silver, cluster = LocalSilver(tmp_path), Here()
    shop = RandomShop(silver, 3)
    shop.next_batch()
    # Of this seed's tables, the only one that is not filled.
    later = movement(-2, "sale", -2, occurred_at=FEBRUARY)
    silver.merge("cleaned_stock_movements", movement(-1, "receipt", 50), later)
    here, there = run(silver.lake), run(silver.with_gold("spark"), cluster=cluster)
    assert [replace(one, seconds=0) for one in here.values()] == [
        replace(one, seconds=0) for one in there.values()
    ]
    for table in GOLD_TABLES:
        expected = content(silver.lake, table).to_dicts()
        assert content(silver.with_gold("spark"), table).to_dicts() == expected, table
    assert {name for _, names in cluster.job.months for name in names} == set(GOLD_TABLES)
    rebuild_gold(silver.lake, retention_hours=1, cluster=cluster)
    assert cluster.jobs == 2
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("consolidated")
def test_what_is_new_in_silver_is_not_for_spark(silver: LocalSilver) -> None:
    silver.merge("cleaned_sales", order(3, customer_id=2, placed_at=FEBRUARY))
    run(silver.lake, cluster=Gone())
    assert_equals_rebuild(silver)


def test_a_full_run_on_spark_that_fails_changes_nothing(silver: LocalSilver) -> None:
    run(silver.lake)
    before = versions(silver.lake)
    with pytest.raises(RetryLaterError, match="gone"):
        rebuild_gold(silver.lake, retention_hours=1, cluster=Gone())
    assert versions(silver.lake) == before


@pytest.mark.usefixtures("consolidated")
def test_a_table_of_silver_that_goes_while_spark_reads_it_does_not_empty_gold(
    silver: LocalSilver,
) -> None:
    class Later(Here):
        def run(self, job: object) -> list[object]:
            shutil.rmtree(silver.root / "silver" / "cleaned_sales")
            return super().run(job)

    before = versions(silver.lake)
    with pytest.raises(GoneError, match="silver/cleaned_sales is gone"):
        rebuild_gold(silver.lake, retention_hours=1, cluster=Later())
    assert versions(silver.lake) == before


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize(
    ("table", "owner", "name", "is_known_by_files"),
    [
        (CUSTOMER_LIFETIME_VALUE.name, gold_run, "replace", False),
        ("sales_kpi", gold_run, "replace_files", False),
        ("sales_kpi", DeltaTable, "create_write_transaction", True),
    ],
)
def test_a_full_run_on_spark_whose_answer_is_lost_is_not_made_twice(
    silver: LocalSilver,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    owner: object,
    name: str,
    is_known_by_files: bool,
) -> None:
    expected = silver.with_gold("expected")
    run(expected, table)
    monkeypatch.setattr(owner, name, failing_after(getattr(owner, name)))
    done = run(silver.lake, table, cluster=Here())
    assert gold(silver.lake, table).version() == 1
    assert content(silver.lake, table).equals(content(expected, table))
    # Otherwise the watermarks told that there was nothing left to do.
    assert done[table].is_full == is_known_by_files


def test_first_run_reads_everything_and_the_next_only_what_changed(silver: LocalSilver) -> None:
    assert all(report.is_full for report in run(silver.lake).values())
    silver.merge("cleaned_payments", refund(2, 3, 1_000))
    reports = run(silver.lake)
    assert not any(report.is_full for report in reports.values())
    assert reports["sales_kpi"].units == 1
    assert reports["customer_lifetime_value"].units == 1
    assert reports["sales_kpi"].rows_read == 1
    assert_equals_rebuild(silver)


@pytest.mark.parametrize("at", [FIRST_TIMESTAMP, LAST_TIMESTAMP], ids=["first", "last"])
def test_shop_that_is_open_at_an_end_of_the_calendar_only_has_its_metrics(
    tmp_path: Path, at: datetime
) -> None:
    """Recency and demand count back from the newest row, to the first day at the earliest."""
    made = LocalSilver(tmp_path)
    made.merge("cleaned_sales", order(1, placed_at=at))
    made.merge("cleaned_sale_lines", line(1, 1, 10_000, created_at=at))
    made.merge("cleaned_stock_movements", movement(1, "sale", -2, occurred_at=at))
    made.merge("cleaned_interactions", visit(1, "view", product_id=1, occurred_at=at))
    run(made.lake)
    customers = content(made.lake, "customer_lifetime_value").row(0, named=True)
    assert (customers["recency_score"], customers["as_of_date"].day) == (5, 31)
    assert content(made.lake, "stock_health")["units_sold"].to_list() == [2]
    assert_equals_rebuild(made)


@pytest.mark.usefixtures("consolidated")
def test_a_table_made_by_other_formulas_is_recreated_once(
    silver: LocalSilver, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = content(silver.lake, "customer_lifetime_value")
    # As other formulas would have it; one order stays as it is, another changes.
    gold(silver.lake, "customer_lifetime_value").update({"shipping_cents": "shipping_cents + 490"})
    silver.merge("cleaned_sales", order(1, base_total_cents=10_000, channel="phone"))
    newer = replace(CUSTOMER_LIFETIME_VALUE, formulas=CUSTOMER_LIFETIME_VALUE.formulas + 1)
    monkeypatch.setitem(GOLD_TABLES, newer.name, newer)
    reports = run(silver.lake)
    assert [name for name, report in reports.items() if report.is_full] == [newer.name]
    assert content(silver.lake, newer.name).equals(right)
    assert_equals_rebuild(silver)
    before = versions(silver.lake)
    run(silver.lake)
    assert versions(silver.lake) == before


def test_a_table_of_before_formulas_were_noted_is_made_by_the_first(
    silver: LocalSilver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gold_run, "_FORMULAS", "something else")
    run(silver.lake)
    monkeypatch.undo()
    full = [name for name, report in run(silver.lake).items() if report.is_full]
    assert full == [name for name, table in GOLD_TABLES.items() if table.formulas > 1]


@pytest.mark.usefixtures("consolidated")
def test_a_run_without_anything_new_commits_nothing(silver: LocalSilver) -> None:
    before = versions(silver.lake)
    reports = run(silver.lake)
    assert versions(silver.lake) == before
    assert {(report.units, report.rows_written) for report in reports.values()} == {(0, 0)}


@pytest.mark.usefixtures("consolidated")
def test_a_commit_of_silver_that_changes_nothing_moves_the_watermark(silver: LocalSilver) -> None:
    rows = content(silver.lake, "sales_kpi")
    delta = silver.lake.open("silver", "cleaned_sales")
    assert delta is not None
    delta.alter.set_table_properties({"delta.logRetentionDuration": "interval 2 hours"})
    before = versions(silver.lake)
    run(silver.lake)
    assert versions(silver.lake)["sales_kpi"] == before["sales_kpi"] + 1
    assert content(silver.lake, "sales_kpi").equals(rows)
    run(silver.lake)
    assert versions(silver.lake)["sales_kpi"] == before["sales_kpi"] + 1


@pytest.mark.usefixtures("consolidated")
def test_only_files_of_affected_months_are_replaced(silver: LocalSilver) -> None:
    before = set(gold(silver.lake, "sales_kpi").file_uris())
    silver.merge("cleaned_sales", order(4, placed_at=FEBRUARY + timedelta(days=1)))
    silver.merge("cleaned_sale_lines", line(4, 4, 10_000, created_at=FEBRUARY))
    run(silver.lake)
    after = set(gold(silver.lake, "sales_kpi").file_uris())
    assert {uri for uri in before - after if "2026-01" in uri} == set()
    assert {uri for uri in before if "2026-01" in uri} <= after
    assert after != before


@pytest.mark.usefixtures("consolidated")
def test_an_order_that_moves_leaves_nothing_on_its_old_day(silver: LocalSilver) -> None:
    silver.merge("cleaned_sales", order(1, placed_at=FEBRUARY))
    run(silver.lake)
    days = content(silver.lake, "geographic_sales").select("business_date", "orders").rows()
    assert days == [(NOON.date() + timedelta(days=1), 1), (FEBRUARY.date(), 2)]


def test_a_product_that_comes_after_its_lines_gives_them_cost_and_category(
    silver: LocalSilver,
) -> None:
    silver.merge("cleaned_sales", order(4))
    silver.merge("cleaned_sale_lines", line(4, 4, 10_000, product_id=9))
    run(silver.lake)
    assert set(content(silver.lake, "sales_kpi")["category"]) == {"Books", "unknown"}
    silver.merge("products_history", version(9, 2, FEBRUARY, category="Toys"))
    run(silver.lake)
    assert set(content(silver.lake, "sales_kpi")["category"]) == {"Books", "Toys"}
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("consolidated")
def test_silver_with_deletion_vectors_of_another_engine_stops_gold(silver: LocalSilver) -> None:
    ours = gold(silver.lake, CUSTOMER_LIFETIME_VALUE.name).metadata().configuration
    assert ours["delta.enableDeletionVectors"] == "false"
    sales = silver.lake.open("silver", "cleaned_sales")
    assert sales is not None
    sales.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    with pytest.raises(StopPipelineError, match="cleaned_sales/ may have deletion vectors"):
        run(silver.lake)
    # The way out: it is removed, and made again of bronze.
    shutil.rmtree(silver.root / "silver" / "cleaned_sales")
    silver.merge("cleaned_sales", order(4, placed_at=FEBRUARY))
    run(silver.lake)
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("consolidated")
def test_scores_follow_the_month_of_the_newest_order(silver: LocalSilver) -> None:
    before = content(silver.lake, "customer_lifetime_value")
    silver.merge(
        "cleaned_sales", order(4, customer_id=None, placed_at=datetime(2027, 6, 1, tzinfo=UTC))
    )
    run(silver.lake)
    after = content(silver.lake, "customer_lifetime_value")
    assert before["recency_score"].to_list() == [4, 4, 5]
    assert after["recency_score"].to_list() == [1, 1, 1]
    assert_equals_rebuild(silver)


def test_a_cancelled_last_order_gives_the_customer_the_one_before_back(
    silver: LocalSilver,
) -> None:
    silver.merge("cleaned_sales", order(4, placed_at=FEBRUARY))
    silver.merge("cleaned_sale_lines", line(4, 4, 10_000))
    run(silver.lake)
    silver.merge("cleaned_sales", order(4, placed_at=FEBRUARY, status="cancelled", paid_at=None))
    report = run(silver.lake)["customer_lifetime_value"]
    assert (report.is_full, report.units) == (False, 1)
    first = content(silver.lake, "customer_lifetime_value").row(0, named=True)
    assert (first["customer_id"], first["orders"], first["last_order_date"]) == (1, 1, NOON.date())
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("consolidated")
def test_a_customer_without_orders_left_is_gone(silver: LocalSilver) -> None:
    silver.delete("cleaned_sales", 2)
    run(silver.lake)
    assert content(silver.lake, "customer_lifetime_value")["customer_id"].to_list() == [1, 3]
    assert_equals_rebuild(silver)


def test_silver_versions_that_are_gone_are_made_up_for_by_reading_everything(
    silver: LocalSilver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        message = "vacuumed"
        raise RetryLaterError(message)

    run(silver.lake)
    silver.merge("cleaned_sales", order(2, customer_id=3))
    monkeypatch.setattr("batch.gold.customers.pin", refuse)
    assert run(silver.lake)["customer_lifetime_value"].is_full
    assert_equals_rebuild(silver)


def test_pins_decide_what_is_read_and_never_set_a_table_back(silver: LocalSilver) -> None:
    delta = silver.lake.open("silver", "cleaned_sales")
    assert delta is not None
    pins = {"cleaned_sales": delta.version()}
    silver.merge("cleaned_sales", order(1, ship_country="FR"))
    run(silver.lake, "geographic_sales", pins=pins)
    assert set(content(silver.lake, "geographic_sales")["country"]) == {"DE"}
    run(silver.lake, "geographic_sales")
    silver.merge("cleaned_payments", refund(2, 1, 100))
    run(silver.lake, "geographic_sales", pins=pins)
    assert set(content(silver.lake, "geographic_sales")["country"]) == {"DE", "FR"}
    assert content(silver.lake, "geographic_sales")["refund_cents"].sum() == 5_100


@pytest.mark.usefixtures("consolidated")
def test_a_feed_past_its_retention_is_made_up_for_by_reading_everything(
    silver: LocalSilver,
) -> None:
    silver.merge("cleaned_sales", order(1, ship_country="FR"))
    for file in (silver.root / "silver" / "cleaned_sales" / "_change_data").rglob("*.parquet"):
        file.unlink()
    assert run(silver.lake)["geographic_sales"].is_full
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("consolidated")
def test_a_silver_table_recreated_is_read_from_its_beginning(silver: LocalSilver) -> None:
    (silver.root / "silver" / "cleaned_stock_movements").rename(silver.root / "old")
    silver.merge("cleaned_stock_movements", movement(1, "receipt", 7), movement(2, "sale", -3))
    assert run(silver.lake)["stock_health"].is_full
    assert content(silver.lake, "stock_health")["on_hand_units"].to_list() == [4]


def failing_after(land: Callable[..., object]) -> Callable[..., object]:
    calls = []

    def landed(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        report = land(*arguments, **options)
        if len(calls) == 1:
            message = "the answer was lost"
            raise OSError(message)
        return report

    return landed


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = partial(a_few_times, pause=lambda _seconds: None)
    monkeypatch.setattr(gold_run, "a_few_times", impatient)
    monkeypatch.setattr(files, "a_few_times", impatient)


@pytest.mark.usefixtures("consolidated")
def test_run_with_nothing_new_reads_no_data_and_commits_nothing(
    silver: LocalSilver, tmp_path: Path
) -> None:
    before = versions(silver.lake)
    files = [path for path in tmp_path.rglob("*.parquet") if "_delta_log" not in path.parts]
    assert files
    for path in files:
        path.unlink()
    run(silver.lake)
    assert versions(silver.lake) == before


@pytest.mark.usefixtures("without_pauses", "consolidated")
@pytest.mark.parametrize("table", [
    # One that months split, and one that is whole.
    name if name in {"sales_kpi", CUSTOMER_LIFETIME_VALUE.name}
    else pytest.param(name, marks=pytest.mark.long)
    for name in GOLD_TABLES
])  # fmt: skip
def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    silver: LocalSilver, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    before = versions(silver.lake)
    silver.merge("cleaned_stock_movements", movement(3, "sale", -5))
    silver.merge("cleaned_sales", order(2, customer_id=3, placed_at=FEBRUARY))
    silver.merge("cleaned_interactions", visit(3, "view", product_id=1))
    monkeypatch.setattr(gold_run, "replace", failing_after(gold_run.replace))
    run(silver.lake, table)
    assert gold(silver.lake, table).version() == before[table] + 1
    run(silver.lake)
    assert_equals_rebuild(silver)


@pytest.mark.usefixtures("without_pauses")
def test_a_commit_that_never_succeeds_says_which_table(
    silver: LocalSilver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError

    monkeypatch.setattr(gold_run, "replace", fail)
    with pytest.raises(RetryLaterError, match="gold/sales_kpi"):
        run(silver.lake)


@pytest.mark.usefixtures("consolidated")
def test_replay_tells_how_many_tables_of_gold_are_done(silver: LocalSilver) -> None:
    told = []
    replay_gold(silver.lake, None, on_progress=lambda *one: told.append(one))
    total = len(GOLD_TABLES)
    assert told == [(f"gold/{name}", done, total) for done, name in enumerate(GOLD_TABLES)]


def test_silver_without_any_table_gives_empty_tables(tmp_path: Path) -> None:
    silver = LocalSilver(tmp_path)
    run(silver.lake)
    assert all(content(silver.lake, table).is_empty() for table in GOLD_TABLES)


def test_a_name_that_is_no_table_is_told_with_those_that_are() -> None:
    with pytest.raises(
        StopPipelineError, match=r"no table sales\. Did you mean sales_kpi\? It has: sales_kpi"
    ):
        chosen_tables(["sales"])
