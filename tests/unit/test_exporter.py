"""The exporter: what it tells of each part, and that it tells nothing that it has not seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from batch.catalogue import Behind, LakeTable, TableMetrics, Unit
from connectors.health import Health
from connectors.rest import ConnectorState
from connectors.slot import Slot
from consumers.bronze.loss import LossKind
from lakehouse.environment import environment_of
from lakehouse.lake import LOSS_LEDGER_SCHEMA
from lakehouse.offsets import EpochPartition
from lakehouse.secrets import ROLES, Secrets
from lakehouse.settings import MonitoringSettings
from monitoring.capture import of_connector, of_slot
from monitoring.exporter import Exporter, Probe
from monitoring.lake import of_kafka, of_losses, of_table
from monitoring.metrics import METRICS, Sample
from monitoring.service import disk, limits, probes
from monitoring.warehouse import of_runs
from stack.paths import StackConfig
from tests.stacks import free_ports

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
SLOT = Slot(
    is_active=True, wal_status="reserved", invalidation_reason=None, confirmed_position="0/1",
    lag_bytes=10, held_bytes=2_000, limit_bytes=8_000, inactive_seconds=None, asked_at=AT,
)  # fmt: skip
HEALTH = Health(
    connector="shop",
    state=ConnectorState(connector="RUNNING", task="RUNNING", trace=None),
    slot_name="dbz_shop",
    slot=SLOT,
    lag_seconds=0.4,
    problems=(),
)


def told(measurements):
    return {(one.name, *one.labels): one.value for one in measurements}


def page(exporter):
    registry = CollectorRegistry()
    registry.register(exporter)
    return generate_latest(registry).decode()


def part(read, name="one"):
    return Probe(name=name, every_seconds=1, read=read)


def test_every_metric_is_told_under_its_name_with_its_meaning_and_labels():
    values = [Sample(n, 7, tuple("x" for _ in f.labels)) for n, f in METRICS.items()]
    seen = part(lambda: values)
    exporter = Exporter([seen])
    exporter.poll(seen)
    text = page(exporter)
    for name, metric in METRICS.items():
        labels = ",".join(f'{label}="x"' for label in sorted(metric.labels))
        assert f"{name}{{{labels}}} 7.0" if labels else f"\n{name} 7.0" in text
        kind = "counter" if name.endswith("_total") else "gauge"
        assert f"# TYPE {name} {kind}\n" in text


def test_what_cannot_be_seen_any_more_is_not_told_and_that_is_told():
    def fail():
        reason = "away"
        raise OSError(reason)

    good = part(lambda: [Sample("pipeline_disk_free_bytes", 5)], name="disk")
    exporter = Exporter([good])
    exporter.poll(good)
    assert 'pipeline_probe_succeeded{probe="disk"} 1.0' in page(exporter)
    exporter.poll(replace(good, read=fail))
    text = page(exporter)
    assert "pipeline_disk_free_bytes" not in text
    assert 'pipeline_probe_succeeded{probe="disk"} 0.0' in text
    exporter.poll(good)
    assert "pipeline_disk_free_bytes 5.0" in page(exporter)


def test_one_part_that_fails_hides_no_other():
    def fail():
        raise ValueError

    good = part(lambda: [Sample("pipeline_disk_free_bytes", 5)], name="good")
    bad = part(fail, name="bad")
    exporter = Exporter([bad, good])
    exporter.poll(good)
    exporter.poll(bad)
    assert "pipeline_disk_free_bytes 5.0" in page(exporter)


def test_a_healthy_connector_and_its_slot():
    assert told([*of_connector(HEALTH), *of_slot(SLOT)]) == {
        ("pipeline_connector_running",): True,
        ("pipeline_slot_active",): True,
        ("pipeline_slot_lost",): False,
        ("pipeline_slot_held_bytes",): 2_000,
        ("pipeline_slot_limit_bytes",): 8_000,
        ("pipeline_capture_behind_seconds",): 0.4,
    }


@pytest.mark.parametrize(
    "state", [None, ConnectorState(connector="RUNNING", task="FAILED", trace="x")]
)
def test_a_connector_that_is_not_there_or_has_failed_does_not_run(state):
    found = told(of_connector(replace(HEALTH, state=state)))
    assert found["pipeline_connector_running",] is False


@pytest.mark.parametrize(
    ("slot", "metric", "value"),
    [
        (None, "pipeline_slot_lost", True),
        (None, "pipeline_slot_active", False),
        (replace(SLOT, wal_status="lost"), "pipeline_slot_lost", True),
        (replace(SLOT, is_active=False), "pipeline_slot_active", False),
    ],
)
def test_what_is_wrong_with_the_slot_is_told(slot, metric, value):
    assert told(of_slot(slot))[metric,] == value


def test_a_slot_without_limit_has_none():
    found = told(of_slot(replace(SLOT, limit_bytes=None)))
    assert ("pipeline_slot_limit_bytes",) not in found


def test_a_slot_is_not_lost_because_the_shop_s_database_cannot_be_asked(tmp_path):
    for role in ROLES:
        (tmp_path / role).write_text("secret")
    names = ("OLTP_PORT", "CONNECT_PORT", "KAFKA_PORT")
    closed = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    with environment_of({"HOME": str(tmp_path), **closed}):
        looked_at = probes(StackConfig(), Secrets(tmp_path))
    exporter = Exporter(looked_at)
    for one in looked_at:
        if one.name in {"connector", "slot", "capture"}:
            exporter.poll(one)
    text = page(exporter)
    assert "pipeline_slot" not in text
    assert 'pipeline_probe_succeeded{probe="slot"} 0.0' in text
    assert "pipeline_connector_running 0.0" in text


def bronze(**landed):
    offsets = {
        EpochPartition(epoch=0, topic_id=topic_id, partition=int(number)): last
        for (topic_id, number), last in ((key.split("_"), last) for key, last in landed.items())
    }
    return TableMetrics(table=LakeTable(layer="bronze", name="raw_sales"), offsets=offsets)


def test_bronze_is_behind_by_what_kafka_has_beyond_its_watermarks():
    ends = {"raw_sales": {("t", 0): 10, ("t", 1): 5}}
    found = told(of_kafka(ends, [bronze(t_0=6, t_1=4)]))
    assert found["pipeline_behind_offsets", "bronze", "raw_sales"] == 3
    assert found["pipeline_kafka_offsets", "raw_sales"] == 15


def test_a_topic_that_was_never_landed_is_behind_by_all_it_has():
    ends = {"raw_sales": {("t", 0): 10}, "raw_users": {("u", 0): 4}}
    found = told(of_kafka(ends, [bronze(t_0=9)]))
    assert found["pipeline_behind_offsets", "bronze", "raw_sales"] == 0
    assert found["pipeline_behind_offsets", "bronze", "raw_users"] == 4


def test_a_topic_recreated_is_behind_whatever_the_old_one_had_landed():
    found = told(of_kafka({"raw_sales": {("new", 0): 8}}, [bronze(old_0=100)]))
    assert found["pipeline_behind_offsets", "bronze", "raw_sales"] == 8


def test_bronze_that_is_ahead_of_an_older_look_at_kafka_is_not_behind():
    found = told(of_kafka({"raw_sales": {("t", 0): 8}}, [bronze(t_0=20)]))
    assert found["pipeline_behind_offsets", "bronze", "raw_sales"] == 0


def test_a_table_tells_what_is_known_of_it_in_its_own_unit():
    gold = TableMetrics(
        table=LakeTable(layer="gold", name="sales_kpi"), rows=3,
        behind=Behind(count=2, unit=Unit.VERSIONS), newest_at=AT,
    )  # fmt: skip
    assert told(of_table(gold)) == {
        ("pipeline_table_rows", "gold", "sales_kpi"): 3,
        ("pipeline_behind_versions", "gold", "sales_kpi"): 2,
        ("pipeline_newest_timestamp_seconds", "gold", "sales_kpi"): AT.timestamp(),
    }


def test_a_table_that_is_not_behind_says_so_and_not_nothing():
    silver = TableMetrics(
        table=LakeTable(layer="silver", name="cleaned_sales"), rows=0,
        behind=Behind(count=0, unit=Unit.OFFSETS),
    )  # fmt: skip
    found = told(of_table(silver))
    assert found["pipeline_behind_offsets", "silver", "cleaned_sales"] == 0
    assert found["pipeline_table_rows", "silver", "cleaned_sales"] == 0


def ledger(*rows):
    values = [
        {
            "recorded_at": AT + timedelta(seconds=number), "kind": str(kind),
            "topic": "shop.public.orders", "topic_id": "t",
            "partition": partition, "first_offset": first, "last_offset": last, "explanation": "",
        }
        for number, (kind, partition, first, last) in enumerate(rows)
    ]  # fmt: skip
    schema = dict.fromkeys(LOSS_LEDGER_SCHEMA.names)
    return pl.DataFrame(values, schema_overrides={"last_offset": pl.Int64}).select(*schema)


def losses(*rows):
    found = told(of_losses(ledger(*rows) if rows else pl.DataFrame()))
    return found["pipeline_losses", "open"], found["pipeline_losses", "resolved"]


@pytest.mark.parametrize("kind", [LossKind.SLOT_LOST, LossKind.TRUNCATED])
def test_a_loss_is_open_until_what_it_took_was_read_again(kind):
    lost = (kind, 0, 10, None)
    assert losses() == (0, 0)
    assert losses(lost) == (1, 0)
    assert losses(lost, (LossKind.READ_AGAIN, 0, 10, 30)) == (0, 1)
    assert losses(lost, (LossKind.SLOT_LOST, 1, 4, None), (LossKind.READ_AGAIN, 1, 4, 9)) == (1, 1)


def test_a_loss_at_the_place_of_one_that_was_repaired_is_open():
    lost, read = (LossKind.SLOT_LOST, 0, 10, None), (LossKind.READ_AGAIN, 0, 10, 9)
    assert losses(lost, read, lost) == (1, 1)
    assert losses(lost, read, lost, read) == (0, 2)


def test_offsets_that_have_expired_stay_open():
    assert losses((LossKind.EXPIRED, 0, 3, 8)) == (1, 0)


def test_the_last_run_of_a_kind_that_ended_counts_and_one_that_continues_does_not():
    rows = [
        ("consolidation", "succeeded", 5, 50.0, 7, 2.0),
        ("consolidation", "failed", 1, 60.0, 6, 1.0),
        ("consolidation", "running", 1, 30.0, 8, 3.0),
        ("replay", "interrupted", 1, 70.0, 5, 9.0),
    ]
    found = told(of_runs(rows, now=150.0))
    assert found["pipeline_last_run_failed", "consolidation"] is False
    assert found["pipeline_last_run_seconds", "consolidation"] == 2.0
    assert found["pipeline_last_success_timestamp_seconds", "consolidation"] == 100.0
    assert found["pipeline_last_run_failed", "replay"] is True
    assert ("pipeline_last_success_timestamp_seconds", "replay") not in found
    assert found["pipeline_runs", "consolidation", "running"] == 1


def test_limits_are_those_of_the_settings():
    with environment_of({"MONITORING_DISK_SHARE": "0.25"}):
        found = told(limits(MonitoringSettings()))
    assert found["pipeline_limit", "disk_share"] == 0.25
    assert found["pipeline_limit", "late_seconds"] == 7200


def test_the_disk_s_free_share_is_of_what_users_may_fill(tmp_path):
    found = told(disk(tmp_path))
    assert 0 < found["pipeline_disk_free_bytes",] <= found["pipeline_disk_bytes",]
