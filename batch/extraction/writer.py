"""Writes deletes to a topic, all or none, and none of a row that lives.

The order of steps is the guarantee:

1. Write the records into an open transaction of Kafka's: they have their offsets, and no reader
   sees them.
2. Wait until every transaction of the shop's that had begun by then is over.
3. Ask the shop for these keys once more. If one lives, abort, and begin again without it.
4. Commit.

A row that is inserted after step 3 is told by Debezium behind the delete, and lives. One inserted
before, whose change may stand before the delete, is seen in step 3: step 2 is there because
Debezium may tell of a commit an instant before other sessions see it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from batch.extraction.deletes import Delete
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.kafka import QuietLog, explain_kafka

_TIMEOUT_SECONDS = 30
_BY_KEY = -1
"""librdkafka's word for a partition that the producer's rule chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A delete in the topic, and where it stands."""

    delete: Delete
    partition: int
    offset: int


class DeleteWriter:
    """A producer with transactions. A second one fences the first, which then writes nothing."""

    def __init__(
        self, bootstrap_servers: str, transactional_id: str, *, max_row_bytes: int
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 60_000,
                "compression.type": "lz4",
                "message.max.bytes": max_row_bytes,
                # As Debezium's producer deals keys to partitions.
                "partitioner": "murmur2_random",
            },
            logger=QuietLog(),
        )

    def __enter__(self) -> "DeleteWriter":
        self._ask(lambda: self._producer.init_transactions(_TIMEOUT_SECONDS))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._producer.purge()

    def write(
        self,
        topic: str,
        deletes: Sequence[Delete],
        living: Callable[[Sequence[Delete]], set[int]],
    ) -> list[Written]:
        """Write those whose rows are gone.

        Args:
            topic: where to.
            deletes: of rows that are believed to be gone.
            living: asks which of them live after all: their places.

        Raises:
            StopPipelineError: a delete, with the row that it ends, is larger than Kafka takes.
            RetryLaterError: broker or shop do not answer; none is written, or, if the answer to
                the commit was lost, all: looking again tells.
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
            message = f"Kafka took {len(written)} of {len(deletes)} deletes for {topic}. Try again."
            raise RetryLaterError(message)
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
            "A delete, with the row that it ends, is larger than Kafka takes. Set "
            "CONNECT_MAX_ROW_MB to more, 90 at most, and run ./pipeline connect apply. "
            "Then do the same again."
        )
        return StopPipelineError(message)
    return explain_kafka(error, "Deletes cannot be written now")
