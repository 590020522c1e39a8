"""What the watcher tells: each figure by its name, with its unit and its labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure, and the values of its labels in their order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Figure:
    meaning: str
    labels: tuple[str, ...] = ()


_TABLE = ("layer", "table")
_SERVER = ("server",)
_KIND = ("kind",)
FIGURES = {
    "pipeline_connector_running": _Figure("1 while Connect says that connector and task run."),
    "pipeline_slot_active": _Figure("1 while somebody reads the replication slot."),
    "pipeline_slot_lost": _Figure("1 if the slot no longer has what Connect needs, or is gone."),
    "pipeline_slot_held_bytes": _Figure("WAL that the slot keeps from being removed."),
    "pipeline_slot_limit_bytes": _Figure("How much it may keep (max_slot_wal_keep_size)."),
    "pipeline_capture_behind_seconds": _Figure("Age of the last change that is safe in Kafka."),
    "pipeline_kafka_offsets": _Figure("Ends of a table's partitions, together.", ("table",)),
    "pipeline_passed_offsets": _Figure("Offsets that a table has passed.", _TABLE),
    "pipeline_behind_offsets": _Figure("Offsets that the layer below has, too.", _TABLE),
    "pipeline_behind_versions": _Figure("Versions of silver that gold lacks.", _TABLE),
    "pipeline_newest_timestamp_seconds": _Figure("When a table's newest data was made.", _TABLE),
    "pipeline_table_rows": _Figure("Rows, by the table's statistics.", _TABLE),
    "pipeline_table_bytes": _Figure("Size of the current version's files.", _TABLE),
    "pipeline_table_files": _Figure("Files of the current version.", _TABLE),
    "pipeline_losses": _Figure("Ranges in the ledger of losses: open, mended.", ("state",)),
    "pipeline_live_behind_seconds": _Figure("How far charts are behind the shop."),
    "pipeline_clock_ahead_seconds": _Figure(
        "How far the clock of a Postgres is ahead of the watcher's; of heartbeats, how far the "
        "shop's seems ahead of the warehouse's, by these.",
        _SERVER,
    ),
    "pipeline_live_full": _Figure("1 while live waits for a consolidation to make room."),
    "pipeline_quarantined_changes": _Figure("Changes in quarantine at the last look.", ("table",)),
    "pipeline_runs": _Figure("Runs that are recorded.", ("kind", "outcome")),
    "pipeline_last_success_timestamp_seconds": _Figure("When such a run last succeeded.", _KIND),
    "pipeline_last_run_failed": _Figure("1 if the last one that ended did not succeed.", _KIND),
    "pipeline_last_run_seconds": _Figure("How long the last one took that ended.", _KIND),
    "pipeline_proof_exact": _Figure("1 if the last proof of all layers was exact."),
    "pipeline_proof_timestamp_seconds": _Figure("When that was."),
    "pipeline_postgres_sessions": _Figure("Sessions of all databases.", _SERVER),
    "pipeline_postgres_sessions_limit": _Figure("max_connections.", _SERVER),
    "pipeline_postgres_bytes": _Figure("Size of the database.", _SERVER),
    "pipeline_postgres_transactions_total": _Figure("Transactions that ended.", _SERVER),
    "pipeline_postgres_rows_written_total": _Figure("Rows inserted, changed, deleted.", _SERVER),
    "pipeline_postgres_blocks_read_total": _Figure("Blocks that were not in memory.", _SERVER),
    "pipeline_postgres_blocks_hit_total": _Figure("Blocks that were in memory.", _SERVER),
    "pipeline_postgres_deadlocks_total": _Figure("Deadlocks.", _SERVER),
    "pipeline_postgres_temporary_bytes_total": _Figure("Written to temporary files.", _SERVER),
    "pipeline_postgres_waiting": _Figure("Sessions that wait for a lock.", _SERVER),
    "pipeline_postgres_oldest_seconds": _Figure("Age of the oldest transaction.", _SERVER),
    "pipeline_answers": _Figure("1 while its pages answer.", ("service",)),
    "pipeline_disk_free_bytes": _Figure("Free where the data is."),
    "pipeline_disk_bytes": _Figure("Size of the disk where the data is."),
    "pipeline_limit": _Figure("From where on Prometheus alerts: MONITORING_<name>.", ("name",)),
    "pipeline_watch_succeeded": _Figure("1 if the last look at this succeeded.", ("part",)),
    "pipeline_watch_seconds": _Figure("How long that took.", ("part",)),
}
"""By name. A name that ends in `_total` only grows."""


def families(readings: Iterable[Reading]) -> Iterator[Metric]:
    """The readings as Prometheus takes them, those of one name together."""
    found: dict[str, Metric] = {}
    for one in readings:
        figure = FIGURES[one.name]
        if one.name not in found:
            kind = CounterMetricFamily if one.name.endswith("_total") else GaugeMetricFamily
            found[one.name] = kind(one.name, figure.meaning, labels=figure.labels)
        labels = dict(zip(figure.labels, one.labels, strict=True))
        found[one.name].add_sample(one.name, labels, one.value)
    yield from found.values()
