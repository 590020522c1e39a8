"""Metrics of the exporter, with help text, unit and labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: name of the metric, its value, and label values in their order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Description:
    description: str
    labels: tuple[str, ...] = ()


_TABLE = ("layer", "table")
_SERVER = ("server",)
_KIND = ("kind",)
METRICS = {
    "pipeline_connector_running": _Description("1 while connector and task are running."),
    "pipeline_slot_active": _Description("1 while a client reads the replication slot."),
    "pipeline_slot_lost": _Description(
        "1 if the slot no longer has the changes that Connect needs, or was dropped."
    ),
    "pipeline_slot_held_bytes": _Description("WAL retained by the slot."),
    "pipeline_slot_limit_bytes": _Description("Limit of retained WAL (max_slot_wal_keep_size)."),
    "pipeline_capture_behind_seconds": _Description(
        "Age of the last change that is committed to Kafka."
    ),
    "pipeline_kafka_offsets": _Description(
        "Sum of the end offsets of a table's partitions.", ("table",)
    ),
    "pipeline_passed_offsets": _Description("Offsets that a table has applied.", _TABLE),
    "pipeline_behind_offsets": _Description(
        "Offsets that a table is behind the layer below.", _TABLE
    ),
    "pipeline_behind_versions": _Description("Versions that gold is behind silver.", _TABLE),
    "pipeline_newest_timestamp_seconds": _Description("Time of a table's newest data.", _TABLE),
    "pipeline_table_rows": _Description("Rows, from the table's statistics.", _TABLE),
    "pipeline_table_bytes": _Description("Size of the current version's files.", _TABLE),
    "pipeline_table_files": _Description("Files of the current version.", _TABLE),
    "pipeline_losses": _Description(
        "Ranges in the loss ledger, by state: open or resolved.", ("state",)
    ),
    "pipeline_live_behind_seconds": _Description("Delay of live charts behind the shop."),
    "pipeline_clock_ahead_seconds": _Description(
        "How far a Postgres server's clock is ahead of the exporter's; for heartbeats, how far the "
        "shop's clock seems ahead of the warehouse's.",
        _SERVER,
    ),
    "pipeline_live_full": _Description("1 while live waits for a consolidation to free space."),
    "pipeline_quarantined_changes": _Description(
        "Quarantined changes when last measured.", ("table",)
    ),
    "pipeline_runs": _Description("Recorded runs.", ("kind", "outcome")),
    "pipeline_last_success_timestamp_seconds": _Description(
        "Time of the last successful run.", _KIND
    ),
    "pipeline_last_run_failed": _Description("1 if the last ended run did not succeed.", _KIND),
    "pipeline_last_run_seconds": _Description("Duration of the last ended run.", _KIND),
    "pipeline_reconcile_exact": _Description(
        "1 if the last reconciliation of all layers was exact."
    ),
    "pipeline_reconcile_timestamp_seconds": _Description("Time of the last reconciliation."),
    "pipeline_postgres_sessions": _Description("Sessions of all databases.", _SERVER),
    "pipeline_postgres_sessions_limit": _Description("max_connections.", _SERVER),
    "pipeline_postgres_bytes": _Description("Size of the database.", _SERVER),
    "pipeline_postgres_transactions_total": _Description("Ended transactions.", _SERVER),
    "pipeline_postgres_rows_written_total": _Description(
        "Rows inserted, updated, deleted.", _SERVER
    ),
    "pipeline_postgres_blocks_read_total": _Description(
        "Blocks not found in the buffer cache.", _SERVER
    ),
    "pipeline_postgres_blocks_hit_total": _Description(
        "Blocks found in the buffer cache.", _SERVER
    ),
    "pipeline_postgres_deadlocks_total": _Description("Deadlocks.", _SERVER),
    "pipeline_postgres_temporary_bytes_total": _Description("Written to temporary files.", _SERVER),
    "pipeline_postgres_waiting": _Description("Sessions waiting for a lock.", _SERVER),
    "pipeline_postgres_oldest_seconds": _Description("Age of the oldest transaction.", _SERVER),
    "pipeline_answers": _Description("1 while its web page answers.", ("service",)),
    "pipeline_disk_free_bytes": _Description("Free space on the disk with the data directory."),
    "pipeline_disk_bytes": _Description("Size of the disk with the data directory."),
    "pipeline_limit": _Description("Thresholds of alerts: MONITORING_<name>.", ("name",)),
    "pipeline_probe_succeeded": _Description(
        "1 if the last run of the probe succeeded.", ("probe",)
    ),
    "pipeline_probe_seconds": _Description("Duration of the last run of the probe.", ("probe",)),
}
"""Metrics by name. Names ending in `_total` are counters."""


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Group samples by metric, as Prometheus' exposition format requires."""
    found: dict[str, Metric] = {}
    for one in samples:
        metric = METRICS[one.name]
        if one.name not in found:
            kind = CounterMetricFamily if one.name.endswith("_total") else GaugeMetricFamily
            found[one.name] = kind(one.name, metric.description, labels=metric.labels)
        labels = dict(zip(metric.labels, one.labels, strict=True))
        found[one.name].add_sample(one.name, labels, one.value)
    yield from found.values()
