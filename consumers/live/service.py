"""Builds a live consumer from settings, and runs it until a signal stops it."""

import gc
from dataclasses import replace
from functools import partial
from typing import Any

from confluent_kafka import Consumer

from consumers.client import consumer_config
from consumers.live.changes import ChangeReader
from consumers.live.consumer import LiveConsumer, LiveOptions
from consumers.live.heartbeats import Heartbeats
from consumers.live.metrics import LiveMetrics
from consumers.live.overlay import Overlay
from consumers.live.positions import LivePositions
from consumers.serving import serve_metrics
from lakehouse.cleaning.typed import Calendar
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import ENTITIES, Entity, OnSchemaChange
from lakehouse.kafka import QuietLog, admin_client, ask_ends, heartbeat_topic, pattern_of_tables
from lakehouse.settings import (
    ConnectSettings,
    KafkaSettings,
    LiveSettings,
    ShopSettings,
)
from lakehouse.signals import stop_on_signals

BATCH_ROWS = 5_000
"""Most changes applied in one transaction: many, to catch up fast, but no lock is held for long."""
_BATCH_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 0.02
"""Wait for more of a batch: short beside the half second in which charts follow."""
_POLICIES = ("on_removed", "on_retyped", "on_lacking")
_PATIENCE_SECONDS = 0.4
"""Wait for more changes that are no part of a sale: fewer batches, and within half a second."""


def change_readers(shop: ShopSettings) -> dict[str, ChangeReader]:
    """Return parsers by the entity's name, which validate as the consolidation does."""
    return {
        entity.table: ChangeReader(
            validator=Validator(
                entity=_never_stopping(entity), calendar=Calendar(time_zone=shop.time_zone)
            )
        )
        for entity in ENTITIES.values()
        if not entity.is_absent
    }


def _never_stopping(entity: Entity) -> Entity:
    """Have changes quarantined that the contract stops at.

    The consolidation stops the one table and says so. One process shows them all, and the charts of
    the others must not stand still for it.
    """
    stopping = [n for n in _POLICIES if getattr(entity, n, None) is OnSchemaChange.STOP]
    ignored: dict[str, Any] = dict.fromkeys(stopping, OnSchemaChange.IGNORE)
    return replace(entity, **ignored)


def run_live(
    *,
    live: LiveSettings,
    kafka: KafkaSettings,
    connect: ConnectSettings,
    warehouse_dsn: str,
    readers: dict[str, ChangeReader],
    metrics_address: tuple[str, int],
) -> None:
    """Apply changes to the overlay until SIGTERM or SIGINT. Port 0 serves no metrics.

    Raises:
        StopPipelineError: a topic was recreated, or changes are missing.
    """
    metrics = LiveMetrics()
    serve_metrics(metrics.registry, *metrics_address)
    overlay = Overlay(dsn=warehouse_dsn, readers=readers)
    admin = admin_client(kafka.client)
    consumer = LiveConsumer(
        Consumer(
            consumer_config(kafka, client_id="live", group_id=connect.group_id("live")),
            logger=QuietLog(),
        ),
        overlay,
        LivePositions(overlay=overlay, admin=admin),
        Heartbeats(ask_ends=partial(ask_ends, admin)),
        metrics,
        LiveOptions(
            # Rows that are not shown may be recomputed without delaying those that are.
            pattern=pattern_of_tables(
                connect.topic_prefix, [one.entity.shop_table for one in readers.values()]
            ),
            heartbeats=heartbeat_topic(connect.topic_prefix),
            batch_rows=BATCH_ROWS,
            batch_bytes=_BATCH_BYTES,
            linger_seconds=LINGER_SECONDS,
            patience_seconds=_PATIENCE_SECONDS,
            max_rows=live.max_rows,
        ),
    )
    stop_on_signals(consumer.stop)
    # As in the lander: a batch makes many objects, and no cycles among them.
    gc.freeze()
    gc.set_threshold(10 * BATCH_ROWS)
    consumer.run()
