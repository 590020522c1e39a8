"""Heartbeats of the shop, each held back until charts show all that Kafka had when it was read.

A heartbeat overtakes changes: its topic is read from the end, theirs from where live has come to.
Only when the partitions have passed the ends that they had then, nothing from before it is missing.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import ListOffsetsResultInfo  # type: ignore[attr-defined]

from lakehouse.offsets import TopicPartition

Ends = Mapping[TopicPartition, Future[ListOffsetsResultInfo]]
"""The broker's answers: the end offset of each partition."""
_AT_MOST = 60
"""Heartbeats held at most; further ones are dropped."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One heartbeat of the shop.

    Attributes:
        sent_at: by the clock of the shop, which may be any.
        read: when it came, in seconds of the monotonic clock.
    """

    sent_at: datetime
    read: float

    @property
    def held_seconds(self) -> float:
        """How long ago it came."""
        return time.monotonic() - self.read


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    heartbeat: Heartbeat
    ends: Ends


@dataclass(kw_only=True)
class Heartbeats:
    """Those that wait, oldest first.

    Attributes:
        ask_ends: asks the broker, without waiting. The client's own idea of an end is not enough:
            it has none before the first fetch, and an old one after a pause or a rebalance.
    """

    ask_ends: Callable[[Collection[TopicPartition]], Ends]
    _held: deque[_Held] = field(default_factory=deque, init=False)

    def hold(self, sent_at: datetime, partitions: Collection[TopicPartition]) -> None:
        """A heartbeat was read by the owner of these partitions."""
        if len(self._held) < _AT_MOST:
            heartbeat = Heartbeat(sent_at=sent_at, read=time.monotonic())
            self._held.append(_Held(heartbeat=heartbeat, ends=self.ask_ends(partitions)))

    def passed(self, positions: Mapping[TopicPartition, int]) -> Heartbeat | None:
        """Return the last heartbeat before which nothing is missing; drop it and earlier ones.

        The last that came: by the instants of the shop, one from the future would be it for ever.

        Args:
            positions: up to which charts show each partition that is owned now. A heartbeat that
                was read with other partitions says nothing of these.
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
                newest = held.heartbeat
                waiting.clear()
            else:
                waiting.append(held)
        self._held = waiting
        return newest
