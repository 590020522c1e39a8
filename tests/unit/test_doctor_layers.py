"""What the doctor says of the layers, by their watermarks, schemas and runs."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.catalogue import Behind, LakeTable, TableMetrics, Unit
from batch.runs import RunRow
from batch.warehouse.locks import holder
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import silver_schema
from lakehouse.offsets import EpochPartition
from stack.doctor.lake import contracted, differences
from stack.doctor.lake import diagnose_tables as diagnose_lake
from stack.doctor.layers import (
    LoadedState,
    beyond,
    diagnose_gold,
    diagnose_silver,
    diagnose_warehouse,
)
from stack.doctor.pages import diagnose_dags, diagnose_parts
from stack.doctor.warehouse import (
    LastLoad,
    diagnose_load,
    diagnose_losses,
    diagnose_quarantine,
    diagnose_runs,
    diagnose_schema,
    diagnose_settings,
    diagnose_transactions,
    diagnose_unknown,
)
from stack.findings import Verdict
from tests.verdicts import only, verdicts

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

PLACES = st.builds(
    EpochPartition,
    epoch=st.integers(0, 2),
    topic_id=st.sampled_from("ab"),
    partition=st.integers(0, 2),
)
MARKS = st.dictionaries(PLACES, st.integers(0, 50))


def newest(watermarks):
    epochs = {}
    for partition in watermarks:
        epochs[partition.topic_id] = max(partition.epoch, epochs.get(partition.topic_id, 0))
    return {p: last for p, last in watermarks.items() if p.epoch == epochs[p.topic_id]}


@given(lower=MARKS, data=st.data())
def test_layer_that_took_in_only_what_the_one_below_had_is_in_order(lower, data):
    lower = newest(lower)
    upper = {p: data.draw(st.integers(0, last)) for p, last in lower.items()}
    assert beyond(upper, lower) == []


@given(lower=MARKS.filter(bool), data=st.data())
def test_any_one_watermark_beyond_the_layer_below_is_found(lower, data):
    lower = newest(lower)
    partition = data.draw(st.sampled_from(sorted(lower)))
    upper = {**lower, partition: lower[partition] + data.draw(st.integers(1, 9))}
    assert beyond(upper, lower) == [
        f"offset {upper[partition]:,} of partition {partition.partition}, "
        f"the layer below has {lower[partition]:,}"
    ]


@given(lower=MARKS, partition=PLACES, last=st.integers(0, 50))
def test_partition_of_a_topic_that_the_layer_below_never_had_is_found(lower, partition, last):
    lower = {p: n for p, n in lower.items() if p.topic_id != partition.topic_id}
    assert len(beyond({partition: last}, lower)) == 1


@given(lower=MARKS.filter(bool), data=st.data())
def test_epoch_that_is_over_is_no_fault(lower, data):
    coordinate = data.draw(st.sampled_from(sorted(lower)))
    later = {
        EpochPartition(epoch=9, topic_id=coordinate.topic_id, partition=coordinate.partition): 0
    }
    assert beyond({coordinate: 99}, later) == []


PARTITION = EpochPartition(epoch=0, topic_id="t1", partition=0)


def table(layer, name, last=None, *, versions=None, version=3, behind=0):
    unit = Unit.VERSIONS if layer == "gold" else Unit.OFFSETS
    return TableMetrics(
        table=LakeTable(layer=layer, name=name), version=version, versions=versions or {},
        offsets={} if last is None else {PARTITION: last},
        behind=None if layer == "bronze" else Behind(count=behind, unit=unit),
    )  # fmt: skip


def lake(bronze=9, current=7, others=8):
    silver = {"cleaned_sales": current, "quarantine": others, "rule_counts": others}
    return [
        table("bronze", "raw_sales", bronze),
        *(table("silver", name, last) for name, last in silver.items()),
    ]


def test_silver_within_bronze_is_in_order_and_beyond_it_is_not():
    assert verdicts(diagnose_silver(lake(), lake())) == [Verdict.FINE]
    told = only(diagnose_silver(lake(bronze=6), lake(bronze=6)))
    assert "cleaned_sales is at offset 7 of partition 0, the layer below has 6" in told.words
    assert told.remedy == "./pipeline rebuild --layer silver"


def test_rows_ahead_of_what_was_quarantined_are_found():
    told = diagnose_silver(lake(others=6), lake(others=6))
    assert verdicts(told) == [Verdict.WRONG, Verdict.WRONG]
    assert "of partition 0, quarantine has 6" in told[0].words


def test_silver_is_checked_by_the_bronze_that_was_read_later():
    assert verdicts(diagnose_silver(lake(bronze=6), lake(bronze=9))) == [Verdict.FINE]


def gold(version, *, inputs=("cleaned_sales", "cleaned_sale_lines")):
    versions = dict.fromkeys(inputs, version)
    return [
        table("silver", "cleaned_sales", version=3), table("gold", "sales_kpi", versions=versions),
    ]  # fmt: skip


def test_gold_is_made_from_versions_that_there_are():
    assert verdicts(diagnose_gold(gold(3), gold(3))) == [Verdict.FINE]
    assert "version 4" in only(diagnose_gold(gold(4), gold(4))).words
    lost = gold(3, inputs=("cleaned_sale_lines",))
    assert "another incarnation" in only(diagnose_gold(lost, lost)).words


def warehouse(offset=7, version=3):
    return LoadedState(offsets={"orders": {PARTITION: offset}}, versions={"cleaned_sales": version})


def test_warehouse_within_silver_is_in_order_and_beyond_it_is_not():
    assert verdicts(diagnose_warehouse(warehouse(), lake())) == [Verdict.FINE]
    assert only(diagnose_warehouse(warehouse(5), lake())).words == "in order, 2 offsets behind"
    told = only(diagnose_warehouse(warehouse(8), lake()))
    assert told.remedy == "./pipeline rebuild --layer warehouse"
    assert "version 9" in only(diagnose_warehouse(warehouse(version=9), lake())).words


# The lake's schemas


CONTRACTED = contracted(ENTITIES.values())


def test_lake_that_follows_its_contracts_is_fine():
    assert verdicts(diagnose_lake(CONTRACTED, CONTRACTED)) == [Verdict.FINE]


@given(st.data())
def test_any_column_that_is_missing_retyped_or_too_much_is_named(data):
    partition = data.draw(st.sampled_from(sorted(CONTRACTED)))
    schema = CONTRACTED[partition]
    number = data.draw(st.integers(0, len(schema) - 1))
    name = schema.field(number).name
    assert differences(schema.remove(number), schema) == [f"no column {name}"]
    retyped = schema.set(number, pa.field(name, pa.float16()))
    assert differences(retyped, schema)[0].startswith(f"{name} is halffloat")
    assert differences(schema.append(pa.field("more", pa.int8())), schema) == [
        "more is in no contract"
    ]


def test_how_long_values_may_be_is_no_difference():
    schema = silver_schema(ENTITIES["orders"])
    large = pa.schema(
        pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type) for f in schema
    )
    assert differences(large, schema) == []


# The warehouse, runs, pages


def test_schema_settings_and_load_of_the_warehouse():
    assert verdicts(diagnose_schema([], [])) == [Verdict.FINE]
    assert only(diagnose_schema(["migrations/9.sql"], [])).remedy == "./pipeline up warehouse"
    assert verdicts(diagnose_schema([], ["customer_cohorts"])) == [Verdict.NOTE]
    assert verdicts(diagnose_settings(("UTC", "EUR"), ("UTC", "EUR"))) == [Verdict.FINE]
    assert verdicts(diagnose_settings(("UTC", "EUR"), ("UTC", "USD"))) == [Verdict.WRONG]
    assert verdicts(diagnose_settings(None, ("UTC", "USD"))) == [Verdict.WRONG]


def test_load_that_was_stopped_names_its_checks():
    published = LastLoad(outcome="published", quarantine_share=0.1, failed=[])
    assert verdicts(diagnose_load(published)) == [Verdict.FINE]
    stopped = LastLoad(outcome="stopped", quarantine_share=0.5, failed=["quarantine_share"])
    told = only(diagnose_load(stopped))
    assert "stopped by quarantine_share" in told.words
    assert "CONSOLIDATION_QUARANTINE_MAX_SHARE=1" in told.remedy
    assert verdicts(diagnose_load(None)) == [Verdict.NOTE]


def test_values_that_no_list_has_are_named_and_nothing_is_wrong():
    assert verdicts(diagnose_unknown([])) == [Verdict.FINE]
    rows = [("orders", "ship_country", f"Q{n}", 1_000 - n) for n in range(5)]
    told = only(diagnose_unknown(rows))
    assert told.verdict is Verdict.NOTE
    assert 'orders.ship_country "Q0" (1,000 rows), ' in told.words
    assert told.words.endswith('"Q2" (998 rows), and 2 more')


def test_share_in_quarantine_has_its_limit():
    assert verdicts(diagnose_quarantine(0, 0, None, 0.2)) == [Verdict.FINE]
    assert verdicts(diagnose_quarantine(5, 1, 0.2, 0.2)) == [Verdict.FINE]
    assert verdicts(diagnose_quarantine(5, 1, 0.21, 0.2)) == [Verdict.NOTE]


def loss(kind, first=5, topic="shop.public.orders"):
    return {
        "kind": kind, "topic_id": f"id of {topic}", "topic": topic, "partition": 0,
        "first_offset": first,
    }  # fmt: skip


def losses(*rows):
    """Recorded one after the other."""
    rows = [{**row, "recorded_at": number} for number, row in enumerate(rows)]
    return diagnose_losses(rows, {"shop.public.orders"})


@pytest.mark.parametrize("kind", ["slot_lost", "truncated"])
def test_loss_is_open_until_its_tables_are_read_again(kind):
    assert verdicts(losses()) == [Verdict.FINE]
    assert only(losses(loss(kind))).remedy == "./pipeline extract --full"
    assert verdicts(losses(loss(kind), loss("read_again"))) == [Verdict.FINE]
    assert verdicts(losses(loss(kind), loss("read_again", 6))) == [Verdict.WRONG]
    again = losses(loss(kind), loss("read_again"), loss(kind))
    assert verdicts(again) == [Verdict.WRONG]
    assert verdicts(losses(loss("expired"))) == [Verdict.NOTE]


def test_loss_of_a_table_that_the_shop_no_longer_has_asks_for_nothing():
    gone = loss("slot_lost", topic="shop.public.vouchers")
    assert verdicts(losses(gone)) == [Verdict.FINE]
    assert verdicts(losses(gone, loss("slot_lost"))) == [Verdict.WRONG]


def test_airflow_is_well_when_all_its_parts_are_and_each_dag_is_active():
    parts = dict.fromkeys(("scheduler", "dag_processor", "metadatabase"), "healthy")
    assert verdicts(diagnose_parts(parts)) == [Verdict.FINE]
    ill = only(diagnose_parts({**parts, "scheduler": "unhealthy"}))
    assert ill.remedy == "./pipeline logs airflow-scheduler"
    assert verdicts(diagnose_parts({})) == [Verdict.WRONG] * 3
    wanted, url = ["extract", "replay"], "http://a"
    active = dict.fromkeys(wanted, False)
    assert verdicts(diagnose_dags(wanted, active, {}, url)) == [Verdict.FINE]
    paused = only(diagnose_dags(wanted, {**active, "replay": True}, {}, url))
    assert paused.remedy == "unpause it on http://a/dags/replay"
    unread = diagnose_dags(wanted, {"extract": False}, {"replay.py": "SyntaxError"}, url)
    assert verdicts(unread) == [Verdict.WRONG, Verdict.WRONG]


def test_a_transaction_that_was_left_open_is_told_with_what_to_type():
    assert verdicts(diagnose_transactions({})) == [Verdict.FINE]
    words = holder(12, "reader", "psql", "idle in transaction", 4_000.0)
    told = only(diagnose_transactions({words: "reader"}))
    assert told.verdict is Verdict.WRONG
    assert "session 12 (reader, psql, in a transaction for 4,000 s, idle" in told.words
    assert "select pg_terminate_backend(12)" in told.words
    ours = holder(13, "batch", "batch", "idle in transaction", 100.0)
    assert verdicts(diagnose_transactions({ours: "batch"})) == [Verdict.NOTE]


def run(kind, outcome, *, minutes_ago=10, number=1):
    ended = NOW - timedelta(minutes=minutes_ago)
    return RunRow(
        run_number=number, run_id=uuid4(), kind=kind, what="", scope={}, code_version="",
        contract_version="", who="me", outcome=outcome, rows_read=None, rows_written=None,
        digest=None, details={}, message="it broke\n  badly" if outcome == "failed" else None,
        started_at=ended, noted_at=ended, finished_at=None if outcome == "running" else ended,
    )  # fmt: skip


def validated(*rows, late_minutes=90):
    late = None if late_minutes is None else timedelta(minutes=late_minutes)
    return diagnose_runs(rows, NOW, late_after=late)


def test_newest_run_of_each_kind_counts():
    done = run("consolidation", "succeeded")
    assert verdicts(validated(done)) == [Verdict.FINE]
    assert verdicts(validated(done, run("consolidation", "failed"))) == [Verdict.FINE]
    failed = only(validated(run("consolidation", "failed", number=7), done))
    assert failed.words == "run 7, the newest consolidation, failed: it broke badly"
    assert failed.remedy == "./pipeline runs show 7"
    assert verdicts(validated(run("maintenance", "interrupted"), done)) == [Verdict.WRONG]
    assert verdicts(validated(run("replay", "failed"), done)) == [Verdict.NOTE]


def test_run_that_continues_says_nothing_of_how_the_last_one_ended():
    assert verdicts(validated(run("consolidation", "running"), run("consolidation", "failed"))) == [
        Verdict.WRONG, Verdict.NOTE,
    ]  # fmt: skip


def test_hourly_run_is_late_only_where_airflow_runs_it():
    old = run("consolidation", "succeeded", minutes_ago=200)
    assert verdicts(validated(old)) == [Verdict.WRONG]
    assert verdicts(validated(old, late_minutes=None)) == [Verdict.NOTE]
    young = run("consolidation", "succeeded", minutes_ago=100)
    assert verdicts(validated(young, late_minutes=None)) == [Verdict.FINE]
    assert verdicts(validated()) == [Verdict.NOTE]
