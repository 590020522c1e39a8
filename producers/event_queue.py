"""What is going to happen in the shop, in order."""

import heapq
from collections.abc import Callable

Event = Callable[[], None]


class EventQueue:
    """A queue of events by moment; those of the same moment come in the order they were added."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Event]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def next_moment(self) -> float | None:
        """When the next event is due; None if there is none."""
        return self._events[0][0] if self._events else None

    def add(self, moment: float, event: Event) -> None:
        """Have `event` happen at `moment`."""
        self._added += 1
        heapq.heappush(self._events, (moment, self._added, event))

    def take(self) -> tuple[float, Event]:
        """Remove the next event, and say when it is due."""
        moment, _, event = heapq.heappop(self._events)
        return moment, event
