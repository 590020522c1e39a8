"""Between two transactions: tell how it goes, look at the slot, hear a call to stop."""

import time
from collections.abc import Callable
from threading import Event

from producers.meter import Reading
from producers.session import Session

_TELL_SECONDS = 0.5
_LOOK_SECONDS = 1.0


class Watch:
    """Keeps an eye on a session.

    Attributes:
        speed: the part of full speed to go at, 0 to 1, as of the last look at the slot.
    """

    def __init__(
        self, session: Session, stopping: Event, on_progress: Callable[[Reading], None]
    ) -> None:
        self.speed = 1.0
        self._session = session
        self._stopping = stopping
        self._on_progress = on_progress
        self._told = self._looked = -float("inf")

    @property
    def is_stopping(self) -> bool:
        """Whether somebody wants this to end."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until a call to stop."""
        self._stopping.wait(seconds)

    def look(self, asked: float | None) -> None:
        """Tell how it goes and look at the slot, each if it is time to.

        Args:
            asked: orders per second that were; None for as many as it can.
        """
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self.speed = self._session.look_at_slot()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self._on_progress(self._reading(asked))

    def _reading(self, asked: float | None) -> Reading:
        session = self._session
        orders_per_second, rows_per_second = session.meter.speed()
        return Reading(
            orders=session.meter.orders,
            orders_per_second=orders_per_second,
            rows_per_second=rows_per_second,
            asked=asked,
            instant=session.shop.now,
            slot_share=session.slot_share,
        )
