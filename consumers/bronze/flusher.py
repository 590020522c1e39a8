"""Writes batches in the background: tables in parallel, the commits of one table in order."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import structlog

from consumers.bronze.commit import BronzeTable, Outcome, commit_batch
from consumers.bronze.metrics import LandingMetrics
from consumers.buffer import Batch
from lakehouse.delta import explain_store, is_of_store
from lakehouse.errors import RetryLaterError
from lakehouse.offsets import TopicPartition

_LONGEST_PAUSE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """A batch that has been written."""

    topic: str
    batch: Batch
    outcome: Outcome
    seconds: float


class Flusher:
    """Writer of batches; the caller submits at most one batch per topic at a time."""

    def __init__(self, *, writers: int, metrics: LandingMetrics) -> None:
        self._pool = ThreadPoolExecutor(writers, thread_name_prefix="writer")
        self._running: dict[str, tuple[Future[Flushed], Batch]] = {}
        self._metrics = metrics
        self._give_up = threading.Event()

    @property
    def bytes_under_way(self) -> int:
        """Return the size of all batches that are being written."""
        return sum(batch.rows.nbytes for _, batch in self._running.values())

    def is_busy(self, topic: str) -> bool:
        """Return whether a batch of this topic is being written."""
        return topic in self._running

    def starts_under_way(self, topic: str) -> dict[TopicPartition, int]:
        """Return the first offsets, by partition, of the topic's batch that is being written."""
        if topic not in self._running:
            return {}
        return {
            partition: offsets.start
            for partition, offsets in self._running[topic][1].ranges.items()
        }

    def submit(self, topic: str, name: str, table: BronzeTable, batch: Batch) -> None:
        """Start writing; the topic must not be busy."""
        future = self._pool.submit(self._write, topic, name, table, batch)
        self._running[topic] = (future, batch)

    def collect(self, timeout_seconds: float = 0) -> Iterator[Flushed]:
        """Yield the finished batches, after waiting at most this long for the first.

        Raises:
            Exception: a write failed permanently.
        """
        futures = {future for future, _ in self._running.values()}
        if not futures:
            return
        done, _ = wait(futures, timeout_seconds, FIRST_COMPLETED)
        for topic, (future, _) in list(self._running.items()):
            if future in done:
                del self._running[topic]
                yield future.result()

    def close(self) -> None:
        """Let writes finish their current attempt, without further retries."""
        self._give_up.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _write(self, topic: str, name: str, table: BronzeTable, batch: Batch) -> Flushed:
        started = time.monotonic()

        def back_off(tries: int, error: Exception) -> None:
            explained = explain_store(error, f"bronze/{name}: could not commit")
            if explained is not None and not is_of_store(error):
                raise explained from error
            self._metrics.retries.labels(name).inc()
            pause = min(0.05 * 2**tries, _LONGEST_PAUSE_SECONDS)
            log = _log.info if tries == 1 else _log.warning
            log("commit_unknown", table=name, tries=tries, pause_seconds=pause, error=str(error))
            if self._give_up.wait(pause):
                message = f"bronze/{name}: stopped while the object store did not answer: {error}"
                raise RetryLaterError(message) from error

        outcome = commit_batch(table, batch, back_off)
        return Flushed(
            topic=topic, batch=batch, outcome=outcome, seconds=time.monotonic() - started
        )
