"""What the exporter tells: each metric by its name, with its unit and its labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric, and the values of its labels in their order."""

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
    "pipeline_connector_running": _Description("1 while Connect says that connector and task run."),
    "pipeline_slot_active": _Description("1 while somebody reads the replication slot."),
    "pipeline_slot_lost": _Description(
        "1 if the slot no longer has what Connect needs, or is gone."
    ),
    "pipeline_slot_held_bytes": _Description("WAL that the slot keeps from being removed."),
    "pipeline_slot_limit_bytes": _Description("How much it may keep (max_slot_wal_keep_size)."),
    "pipeline_capture_behind_seconds": _Description(
        "Age of the last change that is safe in Kafka."
    ),
    "pipeline_kafka_offsets": _Description("Ends of a table's partitions, together.", ("table",)),
    "pipeline_passed_offsets": _Description("Offsets that a table has passed.", _TABLE),
    "pipeline_behind_offsets": _Description("Offsets that the layer below has, too.", _TABLE),
    "pipeline_behind_versions": _Description("Versions of silver that gold lacks.", _TABLE),
    "pipeline_newest_timestamp_seconds": _Description(
        "When a table's newest data was made.", _TABLE
    ),
    "pipeline_table_rows": _Description("Rows, by the table's statistics.", _TABLE),
    "pipeline_table_bytes": _Description("Size of the current version's files.", _TABLE),
    "pipeline_table_files": _Description("Files of the current version.", _TABLE),
    "pipeline_losses": _Description("Ranges in the ledger of losses: open, mended.", ("state",)),
    "pipeline_live_behind_seconds": _Description("How far charts are behind the shop."),
    "pipeline_clock_ahead_seconds": _Description(
        "How far the clock of a Postgres is ahead of the exporter's; of heartbeats, how far the "
        "shop's seems ahead of the warehouse's, by these.",
        _SERVER,
    ),
    "pipeline_live_full": _Description("1 while live waits for a consolidation to make room."),
    "pipeline_quarantined_changes": _Description(
        "Changes in quarantine when last measured.", ("table",)
    ),
    "pipeline_runs": _Description("Runs that are recorded.", ("kind", "outcome")),
    "pipeline_last_success_timestamp_seconds": _Description(
        "When such a run last succeeded.", _KIND
    ),
    "pipeline_last_run_failed": _Description(
        "1 if the last one that ended did not succeed.", _KIND
    ),
    "pipeline_last_run_seconds": _Description("How long the last one took that ended.", _KIND),
    "pipeline_reconcile_exact": _Description("1 if the last proof of all layers was exact."),
    "pipeline_reconcile_timestamp_seconds": _Description("When that was."),
    "pipeline_postgres_sessions": _Description("Sessions of all databases.", _SERVER),
    "pipeline_postgres_sessions_limit": _Description("max_connections.", _SERVER),
    "pipeline_postgres_bytes": _Description("Size of the database.", _SERVER),
    "pipeline_postgres_transactions_total": _Description("Transactions that ended.", _SERVER),
    "pipeline_postgres_rows_written_total": _Description(
        "Rows inserted, changed, deleted.", _SERVER
    ),
    "pipeline_postgres_blocks_read_total": _Description("Blocks that were not in memory.", _SERVER),
    "pipeline_postgres_blocks_hit_total": _Description("Blocks that were in memory.", _SERVER),
    "pipeline_postgres_deadlocks_total": _Description("Deadlocks.", _SERVER),
    "pipeline_postgres_temporary_bytes_total": _Description("Written to temporary files.", _SERVER),
    "pipeline_postgres_waiting": _Description("Sessions that wait for a lock.", _SERVER),
    "pipeline_postgres_oldest_seconds": _Description("Age of the oldest transaction.", _SERVER),
    "pipeline_answers": _Description("1 while its pages answer.", ("service",)),
    "pipeline_disk_free_bytes": _Description("Free where the data is."),
    "pipeline_disk_bytes": _Description("Size of the disk where the data is."),
    "pipeline_limit": _Description(
        "From where on Prometheus alerts: MONITORING_<name>.", ("name",)
    ),
    "pipeline_probe_succeeded": _Description("1 if the last read succeeded.", ("probe",)),
    "pipeline_probe_seconds": _Description("How long that took.", ("probe",)),
}
"""By name. A name that ends in `_total` only grows."""


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """The samples as Prometheus takes them, those of one name together."""
    found: dict[str, Metric] = {}
    for one in samples:
        metric = METRICS[one.name]
        if one.name not in found:
            kind = CounterMetricFamily if one.name.endswith("_total") else GaugeMetricFamily
            found[one.name] = kind(one.name, metric.description, labels=metric.labels)
        labels = dict(zip(metric.labels, one.labels, strict=True))
        found[one.name].add_sample(one.name, labels, one.value)
    yield from found.values()
