"""Heartbeats of the shop, each held back until charts show all that Kafka had when it was read.

A beat overtakes changes: its topic is read from the end, theirs from where live has come to. Only
when the partitions have passed the ends that they had then, nothing from before it is missing.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import ListOffsetsResultInfo  # type: ignore[attr-defined]

from lakehouse.coordinates import TopicPartition

Ends = Mapping[TopicPartition, Future[ListOffsetsResultInfo]]
"""The broker's answers: the end offset of each partition."""
_AT_MOST = 60
"""Beats held. Behind by more, how far exactly does not matter: those that come are passed over."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    beat_at: str
    ends: Ends


@dataclass(kw_only=True)
class Beats:
    """Those that wait, oldest first.

    Attributes:
        ask_ends: asks the broker, without waiting. The client's own idea of an end is not enough:
            it has none before the first fetch, and an old one after a pause or a rebalance.
    """

    ask_ends: Callable[[Collection[TopicPartition]], Ends]
    _held: deque[_Held] = field(default_factory=deque, init=False)

    def hold(self, beat_at: str, partitions: Collection[TopicPartition]) -> None:
        """A beat was read by the owner of these partitions."""
        if len(self._held) < _AT_MOST:
            self._held.append(_Held(beat_at=beat_at, ends=self.ask_ends(partitions)))

    def passed(self, positions: Mapping[TopicPartition, int]) -> str | None:
        """The newest beat of which everything before is there; it and older ones are forgotten.

        Args:
            positions: up to which charts show each partition that is owned now. A beat that was
                read with other partitions says nothing of these.
        """
        newest = None
        waiting: deque[_Held] = deque()
        for held in self._held:
            if held.ends.keys() != positions.keys():
                continue
            if not all(end.done() for end in held.ends.values()):
                waiting.append(held)
                continue
            try:
                is_passed = all(positions[p] >= end.result().offset for p, end in held.ends.items())
            except KafkaException as error:
                _log.debug("ends_not_known", error=str(error))
                continue
            if is_passed:
                newest = held.beat_at
                waiting.clear()
            else:
                waiting.append(held)
        self._held = waiting
        return newest
