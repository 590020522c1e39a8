"""Writes deletes to a topic, all or none, and none of a row that exists.

The order of steps is the guarantee:

1. Write the records in an open Kafka transaction: they have offsets, but no reader sees them.
2. Wait until every transaction of the shop that had begun by then is finished.
3. Look these keys up in the shop again. If one exists, abort, and start again without it.
4. Commit.

Debezium writes a row that is inserted after step 3 behind the delete, so it survives. A row
inserted before, whose change may precede the delete, is found in step 3. Step 2 is needed because
Debezium may write a commit just before other sessions see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from batch.extraction.deletes import Delete
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.kafka import QuietLog, explain_kafka

_TIMEOUT_SECONDS = 30
_BY_KEY = -1
"""librdkafka's value for "the partitioner chooses"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A delete in the topic, with its coordinate."""

    delete: Delete
    partition: int
    offset: int


class DeleteWriter:
    """A transactional producer. A second one fences the first, which then cannot commit."""

    def __init__(
        self, kafka: Mapping[str, str], transactional_id: str, *, max_row_bytes: int
    ) -> None:
        self._producer = Producer(
            {
                **kafka,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 60_000,
                "compression.type": "lz4",
                "message.max.bytes": max_row_bytes,
                # The partitioner of Debezium's producer.
                "partitioner": "murmur2_random",
            },
            logger=QuietLog(),
        )

    def __enter__(self) -> "DeleteWriter":
        self._ask(lambda: self._producer.init_transactions(_TIMEOUT_SECONDS))
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.purge()

    def write(
        self,
        topic: str,
        deletes: Sequence[Delete],
        living: Callable[[Sequence[Delete]], set[int]],
    ) -> list[Written]:
        """Write the deletes of rows that are missing in the shop.

        Args:
            topic: target topic.
            deletes: deletes of rows that are believed to be missing.
            living: returns the indexes of those that exist after all.

        Raises:
            StopPipelineError: a delete, including the deleted row, exceeds Kafka's record size.
            RetryLaterError: the broker or the shop does not answer; nothing is written, or, if the
                answer to the commit was lost, perhaps everything: a repeated search shows which.
        """
        left = list(deletes)
        while left:
            written = self._try(topic, left, living)
            if isinstance(written, list):
                return written
            left = [delete for number, delete in enumerate(left) if number not in written]
        return []

    def _try(
        self, topic: str, deletes: Sequence[Delete], living: Callable[[Sequence[Delete]], set[int]]
    ) -> list[Written] | set[int]:
        self._ask(self._producer.begin_transaction)
        try:
            written = self._produce(topic, deletes)
            found = living(deletes)
        except BaseException:
            self._abort()
            raise
        if found:
            self._abort()
            return found
        self._ask(lambda: self._producer.commit_transaction(_TIMEOUT_SECONDS))
        return written

    def _produce(self, topic: str, deletes: Sequence[Delete]) -> list[Written]:
        written: list[Written] = []
        refused: list[KafkaError] = []
        for delete in deletes:
            partition = _BY_KEY if delete.partition is None else delete.partition

            def note(error: KafkaError | None, message: Message, delete: Delete = delete) -> None:
                if error is not None:
                    refused.append(error)
                else:
                    coordinate, offset = message.partition(), message.offset()
                    written.append(
                        Written(delete=delete, partition=coordinate or 0, offset=offset or 0)
                    )

            send = partial(
                self._producer.produce, topic, delete.value, delete.key,
                partition=partition, on_delivery=note,
            )  # fmt: skip
            self._ask(send)
            self._producer.poll(0)
        self._producer.flush(_TIMEOUT_SECONDS)
        if refused:
            error = KafkaException(refused[0])
            raise _explained(error) from error
        if len(written) != len(deletes):
            problem = f"Kafka accepted {len(written)} of {len(deletes)} deletes for {topic}"
            raise RetryLaterError(problem, "Try again.")
        return written

    def _abort(self) -> None:
        self._ask(lambda: self._producer.abort_transaction(_TIMEOUT_SECONDS))

    def _ask(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (KafkaException, BufferError) as error:
            raise _explained(error) from error


def _explained(error: KafkaException | BufferError) -> PipelineError:
    told = error.args[0] if error.args else None
    if isinstance(told, KafkaError) and told.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        message = (
            "A delete, including the deleted row, is larger than Kafka takes. Set "
            "CONNECT_MAX_ROW_MB to more, 90 at most, and run ./pipeline connect apply. "
            "Then try again."
        )
        return StopPipelineError(message)
    return explain_kafka(error, "Deletes cannot be written now")
