"""Variables that were settings until version 0.1, and what is in their place."""

from collections.abc import Mapping

from lakehouse.errors import StopPipelineError
from lakehouse.settings.base import given
from lakehouse.settings.servers import PUBLICATION

_FIXED = "Its value is fixed now."
_GROUP = "The group's name begins with CONNECT_TOPIC_PREFIX, unless that is the default."
_METRICS_HOST = "Set MONITORING_METRICS_HOST."
_METRICS_PORT = "Metrics have ports in a row: set MONITORING_BASE_PORT."
_RETIRED = {
    "STACK_UV": "uv is the launcher's, or else the one on the PATH.",
    "STACK_LOG_MB": "Logs are rotated at 20 MB.",
    "STACK_LOG_BACKUPS": "Three rotated logs are kept.",
    "WAREHOUSE_READER_STATEMENT_SECONDS": "Set statement_timeout in your session.",
    "WAREHOUSE_READER_TRANSACTION_SECONDS": "Set transaction_timeout in your session.",
    "KAFKA_CONTROLLER_PORT": "The controller has the port after KAFKA_PORT.",
    "CONNECT_DATABASE_HOST": "Kafka Connect reaches the shop at OLTP_HOST, in Docker at oltp.",
    "CONNECT_DATABASE_PORT": "Kafka Connect reaches the shop at OLTP_PORT, in Docker at 5432.",
    "SUPERSET_DATABASE_HOST": "Superset reaches it at WAREHOUSE_HOST, in Docker at warehouse.",
    "SUPERSET_DATABASE_PORT": "Superset reaches it at WAREHOUSE_PORT, in Docker at 5432.",
    "CONNECT_JAVA_OPTIONS": "Set KAFKA_JAVA_OPTIONS, which both have.",
    "CONNECT_HEARTBEAT_INTERVAL_MS": _FIXED,
    "CONNECT_RESTART_SECONDS": _FIXED,
    "SIMULATOR_SLOT_BUDGET": _FIXED,
    "SIMULATOR_RETRY_SECONDS": _FIXED,
    "LANDING_FLUSH_ROWS": "Set LANDING_FLUSH_SECONDS or LANDING_MEMORY_MB.",
    "LANDING_FLUSH_MB": "Set LANDING_FLUSH_SECONDS or LANDING_MEMORY_MB.",
    "LANDING_WRITERS": "To land faster, start a second lander.",
    "LANDING_SESSION_TIMEOUT_MS": _FIXED,
    "LANDING_TOPIC_REFRESH_SECONDS": _FIXED,
    "LANDING_REPLAY_ROWS": "Set CONSOLIDATION_CHUNK_ROWS.",
    "LIVE_LINGER_MS": _FIXED,
    "LIVE_PATIENCE_MS": _FIXED,
    "LIVE_SESSION_TIMEOUT_MS": _FIXED,
    "LIVE_TOPIC_REFRESH_SECONDS": _FIXED,
    "LANDING_COMPACT_COMMITS": "A table is compacted after 200 commits.",
    "LIVE_BATCH_ROWS": "A batch has at most 5,000 changes.",
    "CONSOLIDATION_RUNS_DAYS": "Records of runs are kept for 90 days.",
    "CONSOLIDATION_CLOCK_SKEW_SECONDS": _FIXED,
    "CONSOLIDATION_LOCK_SECONDS": _FIXED,
    "CONSOLIDATION_QUARANTINE_MIN_CHANGES": "Set CONSOLIDATION_QUARANTINE_MAX_SHARE.",
    "RECONCILE_EXAMPLES": _FIXED,
    "EXTRACTION_DELETES_MAX_SHARE": "Use ./pipeline extract --allow-deletes.",
    "EXTRACTION_DELETES_MIN_ROWS": "Use ./pipeline extract --allow-deletes.",
    "SUPERSET_THREADS": _FIXED,
    "LANDING_GROUP_ID": _GROUP,
    "LIVE_GROUP_ID": _GROUP,
    "LANDING_METRICS_HOST": _METRICS_HOST,
    "LIVE_METRICS_HOST": _METRICS_HOST,
    "MONITORING_EXPORTER_HOST": _METRICS_HOST,
    "MONITORING_WATCHER_HOST": _METRICS_HOST,
    "KAFKA_METRICS_PORT": _METRICS_PORT,
    "CONNECT_METRICS_PORT": _METRICS_PORT,
    "LANDING_METRICS_PORT": _METRICS_PORT,
    "LIVE_METRICS_PORT": _METRICS_PORT,
    "MONITORING_AIRFLOW_PORT": _METRICS_PORT,
    "MONITORING_EXPORTER_PORT": _METRICS_PORT,
    "MONITORING_STATSD_PORT": _METRICS_PORT,
    "MONITORING_WATCHER_PORT": _METRICS_PORT,
    "MONITORING_CLOCK_SECONDS": "The alert is in monitoring/rules/pipeline.yml: from 5 seconds on.",
    "MONITORING_RETENTION_MB": "Prometheus keeps at most 1 GB of metrics.",
    "MONITORING_WATCH_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
    "MONITORING_EXPORTER_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
    "MONITORING_LAKE_SECONDS": "Set MONITORING_SCRAPE_SECONDS.",
}
_WRITTEN = {
    "CONNECT_DATABASE_HOST": "oltp",
    "CONNECT_DATABASE_PORT": "5432",
    "SUPERSET_DATABASE_HOST": "warehouse",
    "SUPERSET_DATABASE_PORT": "5432",
}
"""What `env init` of version 0.1 wrote: it still holds, so that there is nothing to warn about."""


def retired_warnings(variables: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each of these variables that was a setting once.

    By default of those from which settings are read.
    """
    found = given() if variables is None else variables
    return [
        f"{name} is not a setting any more: it changes nothing. {_RETIRED[name.upper()]}"
        for name, value in sorted(found.items())
        if name.upper() in _RETIRED and value not in ("", _WRITTEN.get(name.upper()))
    ]


def require_names_of_data() -> None:
    """Require that data has the names that variables of version 0.1 gave it.

    Raises:
        StopPipelineError: such a name is another now.
    """
    found = {name.upper(): value for name, value in given().items() if value}
    prefix = found.get("MINIO_BUCKET_PREFIX", "")
    layers = ("bronze", "silver", "gold")
    buckets = {f"MINIO_{layer.upper()}_BUCKET": f"{prefix}{layer}" for layer in layers}
    for variable, name in {"CONNECT_PUBLICATION_NAME": PUBLICATION, **buckets}.items():
        if found.get(variable, name) != name:
            problem = (
                f"{variable} is {found[variable]!r}, but that name is {name!r} in this version, "
                "and what is under the other would be left behind"
            )
            action = (
                "If it is a bucket, set MINIO_BUCKET_PREFIX, or copy it to that name. Then unset "
                f"{variable}."
            )
            raise StopPipelineError(problem, action)
