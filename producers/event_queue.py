"""Queue of the shop's future events."""

import heapq
from collections.abc import Callable

Event = Callable[[], None]


class EventQueue:
    """A queue of events by moment; events of the same moment keep the order they were added in."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Event]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def next_moment(self) -> float | None:
        """Return the moment of the next event; None if the queue is empty."""
        return self._events[0][0] if self._events else None

    def add(self, moment: float, event: Event) -> None:
        """Schedule `event` at `moment`."""
        self._added += 1
        heapq.heappush(self._events, (moment, self._added, event))

    def take(self) -> tuple[float, Event]:
        """Remove the next event and return it with its moment."""
        moment, _, event = heapq.heappop(self._events)
        return moment, event
