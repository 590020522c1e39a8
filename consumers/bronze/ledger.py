"""What commands write to the loss ledger: changes that nobody tells any more, and their mending."""

from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import KafkaException

from consumers.bronze.loss import (
    Loss,
    LossLedger,
    losses_of_slot,
    losses_of_truncate,
    mending_of,
    resolved_by_snapshot,
)
from lakehouse.delta import retry_later
from lakehouse.kafka import (
    admin_client,
    ask_ends,
    captured_pattern,
    describe_topics,
    explain_kafka,
    matching_topics,
)
from lakehouse.lake import LOSS_LEDGER, storage_options, table_uri
from lakehouse.offsets import OffsetRange, TopicPartition
from lakehouse.secrets import Secrets
from lakehouse.settings import KafkaSettings, MinioSettings

_NO_LEDGER = "The loss ledger does not open"


@dataclass(frozen=True, kw_only=True)
class SlotLosses:
    """Records losses of the replication slot and of truncates, in all topics with this prefix.

    All of its methods raise RetryLaterError when the broker or the store does not answer.
    """

    kafka: KafkaSettings
    minio: MinioSettings
    topic_prefix: str
    secrets: Secrets

    def record(self, words: str) -> int:
        """Record that `words` are lost, at the present ends. Nobody may be writing.

        Returns:
            Of how many partitions.
        """
        losses = losses_of_slot(self._ends(), words)
        with retry_later(_NO_LEDGER):
            self._ledger().record(losses)
        return len(losses)

    def record_truncated(
        self, ended: Collection[tuple[TopicPartition, OffsetRange]], words: str
    ) -> None:
        """Record where rows ended that no delete tells of, and that `words` account for them.

        Args:
            ended: rows ended before a offsets, and were inserted again in it.
            words: by what that was found.
        """
        lost = losses_of_truncate(ended)
        with retry_later(_NO_LEDGER):
            ledger = self._ledger()
            ledger.record(lost)
            ledger.record(
                [
                    mending_of(loss, offsets.stop, words)
                    for loss, (_, offsets) in zip(lost, ended, strict=True)
                ]
            )

    def record_resolved(self, topics: Collection[str], words: str) -> list[Loss]:
        """Record of losses in these topics that their tables were read again, up to now."""
        ends = {p: end for p, end in self._ends().items() if p.topic in topics}
        with retry_later(_NO_LEDGER):
            ledger = self._ledger()
            mended = resolved_by_snapshot(ledger.rows(), ends, words)
            ledger.record(mended)
        return mended

    def _ledger(self) -> LossLedger:
        uri = table_uri(self.minio.bronze_bucket, LOSS_LEDGER)
        return LossLedger(uri, storage_options(self.minio, self.secrets, user="lander"))

    def _ends(self) -> dict[TopicPartition, int]:
        admin = admin_client(self.kafka.bootstrap_servers)
        topics = describe_topics(admin, matching_topics(admin, captured_pattern(self.topic_prefix)))
        partitions = [p for topic in topics.values() for p in topic.partitions]
        try:
            return {p: asked.result().offset for p, asked in ask_ends(admin, partitions).items()}
        except KafkaException as error:
            raise explain_kafka(error, "Where topics end cannot be asked for") from error
