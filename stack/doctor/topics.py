"""Checks of Kafka's topics: positions and lag of bronze and live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

import psycopg

from batch.catalogue import TableMetrics
from consumers.bronze.loss import Loss, find_identity_loss, find_offset_loss
from consumers.live.positions import entity_of
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.bronze import bronze_table
from lakehouse.kafka import Topic
from lakehouse.offsets import Epoch, TopicPartition, next_position
from stack.doctor.clock import MOST_SECONDS, SET_CLOCKS
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.doctor.offsets import Ends, oldest_unread
from stack.findings import Said, fine, note, unchecked, wrong

_LIVE: LiteralString = """
select t.entity, t.topic_id, t.partition_count, w.partition, w.last_offset
from live.topic as t
left join live.watermark as w
    on t.entity = w.entity and t.topic_id = w.topic_id and t.epoch = w.epoch"""
_LANDING_SECONDS = 60.0
_LIVE_SECONDS = 15.0
_RETENTION_SHARE = 0.5
_ACCEPT = (
    "./pipeline land --accept-loss records the offset gap in bronze/_loss_ledger and continues "
    "after it; then ./pipeline up lander and ./pipeline extract --full"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTopic:
    """A topic in live's state, and the last applied offset of each partition."""

    topic_id: str
    partition_count: int
    last: Mapping[int, int]


def _topics(measurements: Measurements) -> Sequence[Said]:
    return diagnose_topics(measurements.topics, measurements.config.connect.topic_partitions)


def diagnose_topics(topics: Mapping[str, Topic], wanted: int) -> Sequence[Said]:
    """Diagnose whether topics exist, with the number of partitions from the settings."""
    if not topics:
        return [
            note("none yet: the first change of a table creates its topic", "./pipeline simulate")
        ]
    other = [t for t in topics.values() if t.partition_count != wanted]
    if other:
        told = ", ".join(f"{t.name} has {t.partition_count} partitions" for t in other)
        remedy = f"CONNECT_TOPIC_PARTITIONS is {wanted}, which only applies to new topics"
        return [note(told, remedy)]
    return [fine(f"{len(topics)} topics with {wanted} partitions each")]


def _bronze(measurements: Measurements) -> Sequence[Said]:
    positions = bronze_positions(measurements.topics, measurements.tables)
    return diagnose_bronze(measurements.topics, measurements.ends(), positions, measurements.epochs)


def bronze_positions(
    topics: Mapping[str, Topic], tables: Sequence[TableMetrics]
) -> dict[TopicPartition, int]:
    """Return the next offset of bronze for each partition."""
    landed = {
        (one.table.name, p.topic_id, p.partition): last
        for one in tables
        if one.table.layer == "bronze"
        for p, last in one.offsets.items()
    }
    return {
        p: next_position(landed.get((bronze_table(topic.name), topic.topic_id, p.partition)))
        for topic in topics.values()
        for p in topic.partitions
    }


def diagnose_bronze(
    topics: Mapping[str, Topic],
    ends: Ends,
    positions: Mapping[TopicPartition, int],
    epochs: Mapping[str, Sequence[Epoch]],
) -> Sequence[Said]:
    """Diagnose whether Kafka has all changes that bronze needs next, in unchanged topics.

    Args:
        topics: descriptions by the broker.
        ends: ends of their partitions.
        positions: next offset of bronze, by partition.
        epochs: by bronze table, oldest first.
    """
    losses: list[Loss] = []
    for topic in topics.values():
        known = epochs.get(bronze_table(topic.name))
        if not known:
            continue
        watermarks = {p: positions[p] - 1 for p in topic.partitions}
        changed = find_identity_loss(topic, known[-1], watermarks)
        losses += changed[:1]
        if not changed:
            found = (
                find_offset_loss(p, wanted=positions[p], oldest=ends[p].oldest, end=ends[p].end)
                for p in topic.partitions
            )
            losses += [loss for loss in found if loss]
    if losses:
        return [wrong(f"{loss.topic}: {loss.explanation.rstrip('.')}", _ACCEPT) for loss in losses]
    return [fine("Kafka has all changes that have not landed yet")]


def read_live(dsn: str) -> dict[str, LiveTopic]:
    """Return live's state by entity."""
    found: dict[str, LiveTopic] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for entity, topic_id, count, partition, last in connection.execute(_LIVE):
            if entity not in ENTITIES:
                continue
            before = found[entity].last if entity in found else {}
            watermarks = before if partition is None else {**before, partition: last}
            found[entity] = LiveTopic(topic_id=topic_id, partition_count=count, last=watermarks)
    return found


def _live(measurements: Measurements) -> Sequence[Said]:
    known = read_live(measurements.warehouse("batch"))
    return diagnose_live(measurements.topics, measurements.ends(), known)


def diagnose_live(
    topics: Mapping[str, Topic], ends: Ends, known: Mapping[str, LiveTopic]
) -> Sequence[Said]:
    """Diagnose the same for live."""
    said = []
    for topic in topics.values():
        live = known.get(entity_of(topic.name))
        if live is None:
            continue
        if (live.topic_id, live.partition_count) != (topic.topic_id, topic.partition_count):
            words = f"{topic.name} was recreated or repartitioned: live has read another one"
            said.append(wrong(words, "./pipeline consolidate; then ./pipeline up live"))
            continue
        for p in topic.partitions:
            wanted = live.last.get(p.partition, -1) + 1
            at = ends[p]
            loss = find_offset_loss(p, wanted=wanted, oldest=at.oldest, end=at.end, reader="live")
            if loss:
                words = f"{p}: {loss.explanation.rstrip('.')}"
                said.append(wrong(words, "./pipeline consolidate; then ./pipeline up live"))
    return said or [fine("Kafka has all changes that live has not applied yet")]


def live_positions(
    topics: Mapping[str, Topic], known: Mapping[str, LiveTopic]
) -> dict[TopicPartition, int]:
    """Return the next offset of live for each partition of its tables."""
    return {
        p: known[entity_of(topic.name)].last.get(p.partition, -1) + 1
        for topic in topics.values()
        if entity_of(topic.name) in known
        for p in topic.partitions
    }


def _landing_lag(measurements: Measurements) -> Sequence[Said]:
    limit = max(_LANDING_SECONDS, 6 * measurements.config.landing.flush_seconds)
    positions = bronze_positions(measurements.topics, measurements.tables)
    return _lag(measurements, "lander", positions, limit)


def _live_lag(measurements: Measurements) -> Sequence[Said]:
    known = read_live(measurements.warehouse("batch"))
    return _lag(measurements, "live", live_positions(measurements.topics, known), _LIVE_SECONDS)


def _lag(
    measurements: Measurements, who: str, positions: Mapping[TopicPartition, int], limit: float
) -> Sequence[Said]:
    ends = measurements.ends()
    if any(at < ends[p].oldest for p, at in positions.items()):
        return [unchecked("Kafka no longer has the next offset")]
    behind = {p: at for p, at in positions.items() if at < ends[p].end}
    waiting = oldest_unread(
        measurements.config.kafka.client,
        behind,
        patience_seconds=measurements.patience_seconds,
    )
    offsets = sum(ends[p].end - positions[p] for p in waiting)
    retention = measurements.config.kafka.retention_hours * 3600.0
    lag = Lag(offsets=offsets, waiting=waiting, limit=limit, retention=retention)
    return diagnose_lag(who, lag, datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Lag of a consumer.

    Attributes:
        offsets: offsets that it has not read, in partitions with changes among them.
        waiting: when the oldest unread change was written, by partition.
        limit: maximum age of an unread change, in seconds.
        retention: Kafka's retention, in seconds.
    """

    offsets: int
    waiting: Mapping[TopicPartition, datetime]
    limit: float
    retention: float


def diagnose_lag(who: str, lag: Lag, now: datetime) -> Sequence[Said]:
    """Diagnose whether a consumer keeps up. `who` is its service."""
    if not lag.waiting:
        return [fine("not at all")]
    partition = min(lag.waiting, key=lambda p: lag.waiting[p])
    seconds = (now - lag.waiting[partition]).total_seconds()
    if seconds < -MOST_SECONDS:
        words = (
            f"{lag.offsets:,} offsets; for how long is unknown, the oldest of {partition} is "
            f"dated {-seconds:,.0f} s ahead of this machine's clock"
        )
        return [wrong(words, SET_CLOCKS)]
    seconds = max(0.0, seconds)
    words = f"{lag.offsets:,} offsets, the oldest of {partition} is {seconds:,.0f} s old"
    if seconds <= lag.limit:
        return [fine(words)]
    if seconds > lag.retention * _RETENTION_SHARE:
        left = (lag.retention - seconds) / 3600
        words += f"; Kafka drops it in {left:,.1f} hours" if left > 0 else "; Kafka may drop it"
    remedy = f"see ./pipeline logs {who} and ./pipeline status"
    return [wrong(words, remedy)]


CHECKS: Sequence[Check] = [
    Check(area="kafka", title="topics", needs=("kafka",), run=_topics),
    Check(
        area="kafka",
        title="what bronze needs",
        by_contracts=True,
        needs=("kafka", "minio"),
        run=_bronze,
    ),
    Check(
        area="kafka",
        title="what live needs",
        by_contracts=True,
        needs=("kafka", "warehouse"),
        run=_live,
    ),
    Check(
        area="kafka",
        title="bronze is behind",
        by_contracts=True,
        needs=("kafka", "minio", "lander"),
        run=_landing_lag,
    ),
    Check(
        area="kafka",
        title="live is behind",
        by_contracts=True,
        needs=("kafka", "warehouse", "live"),
        run=_live_lag,
    ),
]
