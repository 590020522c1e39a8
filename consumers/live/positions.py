"""Which incarnation of each topic live reads, and the starting position of each partition."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import psycopg
from confluent_kafka.admin import AdminClient

from consumers.live.overlay import Overlay
from consumers.membership import BrokerRange
from lakehouse.contracts.bronze import entity_name
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.kafka import Topic, describe_topics
from lakehouse.offsets import TopicIdentity, TopicPartition, next_position

_LOADED = """
select w.epoch, array_agg(distinct w.topic_id)
from etl.watermark as w
where w.entity = %s
group by w.epoch
order by w.epoch desc
limit 1"""
_KNOWN = "select t.topic_id, t.epoch, t.partition_count from live.topic as t where t.entity = %s"
_ADOPT = """
insert into live.topic (entity, topic_id, epoch, partition_count)
values (%s, %s, %s, %s)
on conflict (entity) do update set
    (topic_id, epoch, partition_count)
    = row(excluded.topic_id, excluded.epoch, excluded.partition_count)"""
# If the warehouse is ahead, start at its watermark: its changes are not read again.
_JUMP = """
insert into live.watermark as l (entity, topic_id, epoch, partition, last_offset)
select p.entity, p.topic_id, p.epoch, p.partition, coalesce(s.last_offset, -1)
from unnest(%s::text[], %s::text[], %s::integer[], %s::integer[])
    as p (entity, topic_id, epoch, partition)
left join etl.watermark as s
    on p.entity = s.entity and p.topic_id = s.topic_id
    and p.epoch = s.epoch and p.partition = s.partition
on conflict (entity, topic_id, epoch, partition) do update
set last_offset = excluded.last_offset
where l.last_offset < excluded.last_offset
returning l.entity"""
_POSITIONS = """
select w.entity, w.topic_id, w.epoch, w.partition, w.last_offset
from live.watermark as w"""


@dataclass(kw_only=True)
class LivePositions:
    """Reads starting positions from the warehouse when partitions are assigned."""

    overlay: Overlay
    admin: AdminClient
    _identities: dict[str, TopicIdentity] = field(default_factory=dict, init=False)

    def identities(self) -> dict[str, TopicIdentity]:
        """Return the identity of every topic assigned so far."""
        return self._identities

    def starting_positions(
        self, wanted: Mapping[str, Collection[int]], offset_range: BrokerRange
    ) -> dict[TopicPartition, int]:
        """Return each partition's starting position: after what live or the warehouse has applied.

        Args:
            wanted: partitions by topic.
            offset_range: returns the broker's oldest and end offset.

        Raises:
            StopPipelineError: a topic was recreated or repartitioned, or Kafka no longer has the
                next offset.
            RetryLaterError: the broker or the warehouse does not answer.
        """
        described = describe_topics(self.admin, list(wanted))
        partitions = []
        for name, numbers in wanted.items():
            if name not in described:
                message = f"{name} was assigned, but Kafka does not know it (yet, or any more)"
                raise RetryLaterError(message)
            topic = described[name]
            self._identities[name] = self.overlay.do(partial(_identify, topic=topic))
            partitions += [topic.partitions[number] for number in numbers]
        watermarks = self.overlay.do(lambda connection: self._watermarks(connection, partitions))
        positions = {p: next_position(watermarks[self._coordinate(p)]) for p in partitions}
        for partition, position in positions.items():
            _refuse_gap(partition, position, *offset_range(partition))
        return positions

    def _watermarks(
        self, connection: psycopg.Connection, partitions: Iterable[TopicPartition]
    ) -> dict[tuple[str, str, int, int], int]:
        positions = [self._coordinate(partition) for partition in partitions]
        with connection.transaction():
            connection.execute("select live.own_overlay()")
            moved = connection.execute(_JUMP, [list(c) for c in zip(*positions, strict=True)])
            if moved.rowcount:
                # Rows that were computed without the changes that were skipped.
                connection.execute("select live.settle()")
            return {
                tuple(coordinate): offset for *coordinate, offset in connection.execute(_POSITIONS)
            }

    def _coordinate(self, partition: TopicPartition) -> tuple[str, str, int, int]:
        epoch = self._identities[partition.topic].epoch
        return (entity_of(partition.topic), partition.topic_id, epoch, partition.partition)


def entity_of(topic: str) -> str:
    """Return the entity whose changes are in a topic `<prefix>.<schema>.<table>`."""
    return entity_name(topic.rsplit(".", 1)[-1])


def _identify(connection: psycopg.Connection, topic: Topic) -> TopicIdentity:
    entity = entity_of(topic.name)
    warehouse = connection.execute(_LOADED, [entity]).fetchone()
    known = connection.execute(_KNOWN, [entity]).fetchone()
    epoch = 0 if warehouse is None else int(warehouse[0])
    if warehouse is not None and (known is None or epoch > known[1]):
        if topic.topic_id not in warehouse[1]:
            raise StopPipelineError(_changed(topic))
    elif known is not None:
        if (known[0], known[2]) != (topic.topic_id, topic.partition_count):
            raise StopPipelineError(_changed(topic))
        return TopicIdentity(topic_id=topic.topic_id, epoch=known[1])
    connection.execute(_ADOPT, [entity, topic.topic_id, epoch, topic.partition_count])
    return TopicIdentity(topic_id=topic.topic_id, epoch=epoch)


def _changed(topic: Topic) -> str:
    return (
        f"{topic.name} was recreated or has another number of partitions, and the warehouse does "
        "not know of it yet. Check the lander first (./pipeline logs lander), then run ./pipeline "
        "consolidate, then ./pipeline up live."
    )


def _refuse_gap(partition: TopicPartition, position: int, oldest: int, end: int) -> None:
    if oldest <= position <= end:
        return
    problem = f"{partition}: live resumes at offset {position}, but Kafka has {oldest} to {end}"
    action = "Bronze may have the rest: run ./pipeline consolidate, then ./pipeline up live."
    raise StopPipelineError(problem, action)
