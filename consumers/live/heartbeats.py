"""Heartbeats of the shop, each held until charts show all that Kafka had when it was read.

A heartbeat can overtake changes: its topic is read from the end, theirs from live's positions.
Only when the partitions have passed their ends at that time, no earlier change is missing.
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
"""Maximum number of heartbeats held; further ones are dropped."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One heartbeat of the shop.

    Attributes:
        sent_at: by the shop's clock, which may be wrong.
        read: when it was read, in seconds of the monotonic clock.
    """

    sent_at: datetime
    read: float

    @property
    def held_seconds(self) -> float:
        """Return the seconds since it was read."""
        return time.monotonic() - self.read


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    heartbeat: Heartbeat
    ends: Ends


@dataclass(kw_only=True)
class Heartbeats:
    """Heartbeats that are held, oldest first.

    Attributes:
        ask_ends: requests end offsets from the broker, without waiting. The client's cached ends
            are not enough: there are none before the first fetch, and they are stale after a pause
                or a rebalance.
    """

    ask_ends: Callable[[Collection[TopicPartition]], Ends]
    _held: deque[_Held] = field(default_factory=deque, init=False)

    def hold(self, sent_at: datetime, partitions: Collection[TopicPartition]) -> None:
        """Hold a heartbeat that was read while these partitions were assigned."""
        if len(self._held) < _AT_MOST:
            heartbeat = Heartbeat(sent_at=sent_at, read=time.monotonic())
            self._held.append(_Held(heartbeat=heartbeat, ends=self.ask_ends(partitions)))

    def passed(self, positions: Mapping[TopicPartition, int]) -> Heartbeat | None:
        """Return the last heartbeat with no change missing before it; drop it and earlier ones.

        "Last" is by arrival: by the shop's timestamps, one from the future would stay the last.

        Args:
            positions: the position up to which charts show each assigned partition. A heartbeat
                that was read with another assignment is dropped.
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
