"""Builds a lander from settings, and runs it until a signal stops it."""

import gc

import pyarrow as pa
from confluent_kafka import Consumer

from consumers.bronze.conformance import require_conditional_put
from consumers.bronze.flusher import Flusher
from consumers.bronze.lander import POLL_ROWS, Lander, LanderOptions
from consumers.bronze.maintenance import bronze_maintenance
from consumers.bronze.metrics import LandingMetrics
from consumers.bronze.tables import LandingTables
from consumers.buffer import FlushPolicy
from consumers.client import consumer_config
from consumers.serving import serve_metrics
from lakehouse.kafka import QuietLog, admin_client, captured_pattern
from lakehouse.lake import storage_options
from lakehouse.maintenance import COMPACT_COMMITS
from lakehouse.object_store import object_store
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings, KafkaSettings, LandingSettings, MinioSettings
from lakehouse.signals import stop_on_signals

_MB = 1024 * 1024
_USER = "lander"
_WRITERS = 2
"""Tables written at the same time: one can use a core while the other waits for the store."""
_FLUSH_ROWS = 200_000
_FLUSH_BYTES = 32 * _MB
"""Rows and bytes of one table that start a flush before its time: a file that readers like, and a
quarter of the memory that a lander has by default."""


def run_lander(  # noqa: PLR0913 - settings of each server, and the command's options
    *,
    landing: LandingSettings,
    kafka: KafkaSettings,
    connect: ConnectSettings,
    minio: MinioSettings,
    secrets: Secrets,
    metrics_address: tuple[str, int],
    accept_loss: bool = False,
) -> None:
    """Land until SIGTERM or SIGINT. Port 0 serves no metrics.

    Raises:
        StopPipelineError: changes are missing, or the store is unsafe for concurrent commits.
        RetryLaterError: a service did not answer at start or at stop; nothing is lost.
    """
    # mimalloc, Arrow's default, does not return freed memory: its peak is a fifth higher.
    pa.set_memory_pool(pa.system_memory_pool())
    require_conditional_put(object_store(minio, secrets, user=_USER), minio.bronze_bucket)
    metrics = LandingMetrics()
    serve_metrics(metrics.registry, *metrics_address)
    options = storage_options(minio, secrets, user=_USER)
    tables = LandingTables(
        bucket=minio.bronze_bucket,
        options=options,
        retention_hours=landing.retention_hours,
        admin=admin_client(kafka.client),
    )
    maintenance = bronze_maintenance(
        minio.bronze_bucket,
        options,
        every_commits=COMPACT_COMMITS,
        retention_hours=landing.retention_hours,
    )
    lander = Lander(
        Consumer(landing_client(connect, kafka), logger=QuietLog()),
        tables,
        Flusher(writers=_WRITERS, metrics=metrics),
        metrics,
        maintenance,
        _lander_options(landing, connect, accept_loss=accept_loss),
    )
    stop_on_signals(lander.stop)
    # A poll makes many objects at once and none that refer to each other: looking for cycles among
    # them takes as long as compressing them.
    gc.freeze()
    gc.set_threshold(10 * POLL_ROWS)
    lander.run()


def _lander_options(
    landing: LandingSettings, connect: ConnectSettings, *, accept_loss: bool
) -> LanderOptions:
    return LanderOptions(
        pattern=captured_pattern(connect.topic_prefix),
        flush=FlushPolicy(
            rows=_FLUSH_ROWS,
            bytes=_FLUSH_BYTES,
            seconds=landing.flush_seconds,
        ),
        memory_bytes=landing.memory_mb * _MB,
        accept_loss=accept_loss,
    )


def landing_client(
    connect: ConnectSettings, kafka: KafkaSettings
) -> dict[str, str | int | float | bool]:
    """Return librdkafka's configuration for a lander."""
    return consumer_config(kafka, client_id=_USER, group_id=connect.group_id("landing"))
