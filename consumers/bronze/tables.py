"""The bronze tables that this process writes, and the starting position of each partition."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from consumers.bronze.loss import (
    Loss,
    LossFoundError,
    LossKind,
    LossLedger,
    find_identity_loss,
    find_offset_loss,
)
from consumers.bronze.table import DeltaBronzeTable
from consumers.membership import BrokerRange
from lakehouse.contracts.bronze import bronze_table
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import Topic, describe_topics
from lakehouse.lake import BRONZE_SCHEMA, LOSS_LEDGER, table_uri
from lakehouse.offsets import Epoch, TopicIdentity, TopicPartition, next_position

# While waiting, the lander does not poll, and has ten seconds to leave. The next flush retries.
_VERIFY_SECONDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingTable:
    """A topic, its bronze table, and their current epoch."""

    topic: Topic
    name: str
    delta: DeltaBronzeTable
    epoch: Epoch

    @property
    def identity(self) -> TopicIdentity:
        """Return the coordinate columns that all rows of the topic share."""
        return TopicIdentity(topic_id=self.topic.topic_id, epoch=self.epoch.epoch)


class LandingTables:
    """Opens tables when topics are assigned; rejects recreated or repartitioned topics."""

    def __init__(
        self, *, bucket: str, options: Mapping[str, str], retention_hours: int, admin: AdminClient
    ) -> None:
        self._bucket = bucket
        self._options = options
        self._retention_hours = retention_hours
        self._admin = admin
        self._tables: dict[str, LandingTable] = {}
        self._ledger = LossLedger(table_uri(bucket, LOSS_LEDGER), options)

    def __getitem__(self, topic: str) -> LandingTable:
        """Return the table of an assigned topic."""
        return self._tables[topic]

    def identities(self) -> dict[str, TopicIdentity]:
        """Return the identity of every topic assigned so far."""
        return {name: table.identity for name, table in self._tables.items()}

    def starting_positions(
        self,
        wanted: Mapping[str, Collection[int]],
        offset_range: BrokerRange,
        *,
        accept_loss: bool,
    ) -> dict[TopicPartition, int]:
        """Open the tables of newly assigned partitions, and return their starting positions.

        Args:
            wanted: partitions by topic.
            offset_range: returns the broker's oldest and end offset.
            accept_loss: record losses in the ledger and resume after them.

        Raises:
            LossFoundError: changes are missing, and `accept_loss` is not set.
            RetryLaterError: the broker does not answer. Errors of the store are passed on.
        """
        described = describe_topics(self._admin, list(wanted))
        positions: dict[TopicPartition, int] = {}
        losses: list[Loss] = []
        for name, partitions in wanted.items():
            if name not in described:
                message = f"{name} was assigned, but Kafka does not know it (yet, or any more)"
                raise RetryLaterError(message)
            losses += self._open(described[name], accept_loss=accept_loss)
            for number in partitions:
                partition = described[name].partitions[number]
                position, loss = self._position(partition, offset_range, accept_loss=accept_loss)
                positions[partition] = position
                losses += [loss] if loss else []
        if losses and not accept_loss:
            raise LossFoundError(losses)
        return positions

    def verify(self, topics: Collection[str]) -> None:
        """Raise if a topic is no longer the incarnation that was assigned.

        Raises:
            LossFoundError: it was recreated, deleted or repartitioned.
            RetryLaterError: the broker does not answer.
        """
        described = describe_topics(self._admin, topics, timeout_seconds=_VERIFY_SECONDS)
        losses: list[Loss] = []
        for name in topics:
            table = self._tables[name]
            now = described.get(name) or Topic(name=name, topic_id="none", partition_count=0)
            if now != table.topic:
                landed = _watermarks(table.delta, table.topic)
                losses += find_identity_loss(now, table.epoch, landed)
        if losses:
            raise LossFoundError(losses)

    def _open(self, topic: Topic, *, accept_loss: bool) -> list[Loss]:
        name = bronze_table(topic.name)
        delta = DeltaBronzeTable.open_or_create(
            table_uri(self._bucket, name), self._options, retention_hours=self._retention_hours
        )
        epochs = delta.epochs()
        losses: list[Loss] = []
        if epochs:
            old = Topic(
                name=topic.name,
                topic_id=epochs[-1].topic_id,
                partition_count=epochs[-1].partition_count,
            )
            losses = find_identity_loss(topic, epochs[-1], _watermarks(delta, old))
        if not epochs or (losses and accept_loss):
            self._ledger.record(losses)
            epoch = delta.begin_epoch(
                after=len(epochs) - 1,
                topic_id=topic.topic_id,
                partition_count=topic.partition_count,
            )
        else:
            epoch = epochs[-1]
        self._tables[topic.name] = LandingTable(topic=topic, name=name, delta=delta, epoch=epoch)
        return losses

    def _position(
        self, partition: TopicPartition, offset_range: BrokerRange, *, accept_loss: bool
    ) -> tuple[int, Loss | None]:
        table = self._tables[partition.topic]
        position = next_position(table.delta.watermark(partition))
        oldest, end = offset_range(partition)
        loss = find_offset_loss(partition, wanted=position, oldest=oldest, end=end)
        if loss is None or not accept_loss:
            return position, loss
        self._ledger.record([loss])
        position = oldest
        if loss.kind is LossKind.BEYOND_END:
            position = end
            epoch = table.delta.begin_epoch(
                after=table.epoch.epoch,
                topic_id=table.topic.topic_id,
                partition_count=table.topic.partition_count,
            )
            self._tables[partition.topic] = LandingTable(
                topic=table.topic, name=table.name, delta=table.delta, epoch=epoch
            )
        # The watermark is moved past the offset gap: the next commit must not report it again.
        table.delta.append(BRONZE_SCHEMA.empty_table(), {partition: position - 1})
        return position, loss


def _watermarks(delta: DeltaBronzeTable, topic: Topic) -> dict[TopicPartition, int | None]:
    return {partition: delta.watermark(partition) for partition in topic.partitions}
