"""Entries that commands write to the loss ledger: lost changes, and losses that were resolved."""

from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import KafkaException

from consumers.bronze.loss import (
    LossLedger,
    losses_of_slot,
    losses_of_truncate,
    resolution_of,
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
from lakehouse.settings import ConnectSettings, KafkaSettings, MinioSettings

_NO_LEDGER = "The loss ledger does not open"


@dataclass(frozen=True, kw_only=True)
class SlotLosses:
    """Records WAL gaps and truncates, for all topics with this prefix.

    All methods raise RetryLaterError if the broker or the store does not answer.
    """

    kafka: KafkaSettings
    minio: MinioSettings
    topic_prefix: str
    secrets: Secrets

    @classmethod
    def of_settings(cls, secrets: Secrets) -> "SlotLosses":
        """Return the ledger of the environment."""
        return cls(
            kafka=KafkaSettings(),
            minio=MinioSettings(),
            topic_prefix=ConnectSettings().topic_prefix,
            secrets=secrets,
        )

    def record(self, words: str) -> int:
        """Record that `words` were lost at the current end offsets. No writer may be active.

        Returns:
            The number of partitions.
        """
        losses = losses_of_slot(self._ends(), words)
        with retry_later(_NO_LEDGER):
            self._ledger().record(losses)
        return len(losses)

    def record_truncated(
        self, ended: Collection[tuple[TopicPartition, OffsetRange]], words: str
    ) -> None:
        """Record where rows ended without deletes, and that `words` resolved these losses.

        Args:
            ended: offset ranges before which rows ended, and in which they were inserted again.
            words: how that was found.
        """
        lost = losses_of_truncate(ended)
        with retry_later(_NO_LEDGER):
            ledger = self._ledger()
            ledger.record(lost)
            ledger.record(
                [
                    resolution_of(loss, offsets.stop, words)
                    for loss, (_, offsets) in zip(lost, ended, strict=True)
                ]
            )

    def record_resolved(self, topics: Collection[str], words: str) -> None:
        """Record that a full extraction resolved these topics' losses, up to the current ends."""
        ends = {p: end for p, end in self._ends().items() if p.topic in topics}
        with retry_later(_NO_LEDGER):
            ledger = self._ledger()
            ledger.record(resolved_by_snapshot(ledger.rows(), ends, words))

    def _ledger(self) -> LossLedger:
        uri = table_uri(self.minio.bronze_bucket, LOSS_LEDGER)
        return LossLedger(uri, storage_options(self.minio, self.secrets, user="lander"))

    def _ends(self) -> dict[TopicPartition, int]:
        admin = admin_client(self.kafka.client)
        topics = describe_topics(admin, matching_topics(admin, captured_pattern(self.topic_prefix)))
        partitions = [p for topic in topics.values() for p in topic.partitions]
        try:
            return {p: asked.result().offset for p, asked in ask_ends(admin, partitions).items()}
        except KafkaException as error:
            raise explain_kafka(error, "The end offsets of topics cannot be requested") from error
