"""Puts a lander together from settings, and runs it until a signal says stop."""

import signal
from types import FrameType

import pyarrow as pa
from confluent_kafka import Consumer
from minio import Minio

from consumers.buffer import FlushPolicy
from consumers.conformance import require_conditional_put
from consumers.flusher import Flusher
from consumers.lander import Lander, LanderOptions
from consumers.maintenance import bronze_maintenance
from consumers.metrics import LandingMetrics
from consumers.tables import LandingTables
from lakehouse.kafka import QuietLog, admin_client, captured_pattern
from lakehouse.lake import storage_options
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings, KafkaSettings, LandingSettings, MinioSettings

_MB = 1024 * 1024
_USER = "lander"


def run_lander(
    *,
    landing: LandingSettings,
    kafka: KafkaSettings,
    connect: ConnectSettings,
    minio: MinioSettings,
    secrets: Secrets,
    accept_loss: bool = False,
) -> None:
    """Land until SIGTERM or SIGINT.

    Raises:
        StopPipelineError: changes are missing, or the store cannot be trusted.
        RetryLaterError: a service did not answer at start or at stop; nothing is lost.
    """
    # mimalloc, Arrow's own choice, keeps what it has once had: a fifth more memory at the peak.
    pa.set_memory_pool(pa.system_memory_pool())
    require_conditional_put(_store(minio, secrets), minio.bronze_bucket)
    metrics = LandingMetrics()
    metrics.serve(landing.metrics_port)
    options = storage_options(minio, secrets, user=_USER)
    tables = LandingTables(
        bucket=minio.bronze_bucket,
        options=options,
        retention_hours=landing.retention_hours,
        admin=admin_client(kafka.bootstrap_servers),
    )
    maintenance = bronze_maintenance(
        minio.bronze_bucket,
        options,
        every_commits=landing.compact_commits,
        retention_hours=landing.retention_hours,
    )
    lander = Lander(
        Consumer(consumer_config(landing, kafka), logger=QuietLog()),
        tables,
        Flusher(writers=landing.writers, metrics=metrics),
        metrics,
        maintenance,
        _lander_options(landing, connect, accept_loss=accept_loss),
    )
    _stop_on_signals(lander)
    lander.run()


def _store(minio: MinioSettings, secrets: Secrets) -> Minio:
    return Minio(
        f"{minio.host}:{minio.port}",
        access_key=_USER,
        secret_key=secrets[f"minio_{_USER}"],
        secure=False,
        region=minio.region,
    )


def _lander_options(
    landing: LandingSettings, connect: ConnectSettings, *, accept_loss: bool
) -> LanderOptions:
    return LanderOptions(
        pattern=captured_pattern(connect.topic_prefix),
        flush=FlushPolicy(
            rows=landing.flush_rows,
            bytes=landing.flush_mb * _MB,
            seconds=landing.flush_seconds,
        ),
        memory_bytes=landing.memory_mb * _MB,
        accept_loss=accept_loss,
    )


def consumer_config(
    landing: LandingSettings, kafka: KafkaSettings
) -> dict[str, str | int | float | bool]:
    """Librdkafka's configuration for a lander."""
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": landing.group_id,
        "client.id": "lander",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # A position that the broker does not have is a loss to be judged, never a reset.
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": landing.session_timeout_ms,
        "heartbeat.interval.ms": landing.session_timeout_ms // 4,
        "max.poll.interval.ms": 600_000,
        "topic.metadata.refresh.interval.ms": int(landing.topic_refresh_seconds * 1000),
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 1,
        "queued.max.messages.kbytes": 16 * 1024,
        "fetch.max.bytes": 8 * _MB,
        # The default of a second would leave the lander idle each time the queue was full.
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.max.ms": 2_000,
    }


def _stop_on_signals(lander: Lander) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        lander.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
