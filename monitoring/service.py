"""The exporter's service: probes from settings, an HTTP server, and a stop on signals."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from batch.catalogue import LakeReader
from connectors.health import check
from lakehouse.kafka import admin_client
from lakehouse.lake import Lake
from lakehouse.postgres import oltp_dsn, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import MonitoringSettings
from lakehouse.signals import stop_on_signals
from monitoring import capture, lake, postgres, warehouse
from monitoring.exporter import Exporter, Probe
from monitoring.metrics import Sample
from stack.airflow.health import health
from stack.net import http_status
from stack.paths import StackConfig

_LIMITS = (
    "lag_offsets", "live_seconds", "slot_share", "quarantined", "late_seconds", "disk_share",
)  # fmt: skip
_SCRAPES_PER_LAKE = 4
"""It reads the lake every fourth time: that asks the store for the log of every table."""
_ROLE = "monitor"
_LAKE_USER = "reader"


def run_exporter(config: StackConfig, secrets: Secrets) -> None:
    """Run the probes and serve their samples until SIGTERM or SIGINT."""
    exporter = Exporter(probes(config, secrets))
    registry = CollectorRegistry()
    registry.register(exporter)
    ProcessCollector(registry=registry)
    settings = config.monitoring
    port = settings.metrics_port("exporter")
    start_http_server(port, addr=settings.metrics_host, registry=registry)
    stop_on_signals(exporter.stop)
    exporter.run()


def probes(config: StackConfig, secrets: Secrets) -> tuple[Probe, ...]:
    """Return all probes with their intervals."""
    settings = config.monitoring
    oltp = oltp_dsn(config.oltp, secrets, role=_ROLE)
    loaded = warehouse_dsn(config.warehouse, secrets, role=_ROLE)
    files = LakeReader(Lake.of(config.minio, secrets, user=_LAKE_USER))
    admin = admin_client(config.kafka.client)
    often = partial(Probe, every_seconds=settings.scrape_seconds)
    return (
        often(name="connector", read=lambda: capture.of_connector(check(config.connect, oltp))),
        often(name="slot", read=partial(capture.measure_slot, oltp, config.connect.slot_name)),
        often(name="warehouse", read=partial(warehouse.read, loaded)),
        often(name="oltp statistics", read=partial(postgres.read, "oltp", oltp)),
        often(name="warehouse statistics", read=partial(postgres.read, "warehouse", loaded)),
        often(name="pages", read=partial(pages, config)),
        often(name="disk", read=partial(disk, config.stack.data_dir)),
        often(name="limits", read=partial(limits, settings)),
        Probe(
            name="lake",
            every_seconds=_SCRAPES_PER_LAKE * settings.scrape_seconds,
            read=partial(lake.read, files, admin, config.connect.topic_prefix),
        ),
    )


def pages(config: StackConfig) -> Iterator[Sample]:
    """Return whether Superset and Airflow answer, and the health of Airflow's components."""
    superset = config.superset
    answer = http_status(superset.host, superset.port, "/health")
    yield Sample("pipeline_answers", answer == 200, ("superset",))
    found = health(config.airflow)
    yield Sample("pipeline_answers", bool(found), ("airflow",))
    for part in ("scheduler", "dag_processor"):
        yield Sample("pipeline_answers", found.get(part) == "healthy", (f"airflow {part}",))


def disk(folder: Path) -> Iterator[Sample]:
    """Return free space and size of the disk with the data directory."""
    usage = shutil.disk_usage(folder)
    # Some free blocks are reserved for root.
    yield Sample("pipeline_disk_free_bytes", usage.free)
    yield Sample("pipeline_disk_bytes", usage.used + usage.free)


def limits(settings: MonitoringSettings) -> Iterator[Sample]:
    """Return the thresholds of alerts, with which the rules compare."""
    for name in _LIMITS:
        yield Sample("pipeline_limit", getattr(settings, name), (name,))
