"""Tasks between two transactions: report progress, measure the slot, check for a stop."""

import time
from collections.abc import Callable
from threading import Event

from producers.meter import Measurement
from producers.session import Session

_TELL_SECONDS = 0.5
_POLL_SECONDS = 1.0


class WalMonitor:
    """Monitor of a session: its progress, and the WAL that the slot retains.

    Attributes:
        speed: allowed fraction of full speed, 0 to 1, at the last measurement.
    """

    def __init__(
        self, session: Session, stopping: Event, on_progress: Callable[[Measurement], None]
    ) -> None:
        self.speed = 1.0
        self._session = session
        self._stopping = stopping
        self._on_progress = on_progress
        self._told = self._measured = -float("inf")

    @property
    def is_stopping(self) -> bool:
        """Return whether a stop was requested."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, at most until a stop is requested."""
        self._stopping.wait(seconds)

    def tick(self, asked: float | None) -> None:
        """Report progress and measure the slot, each when due.

        Args:
            asked: requested orders per second; None for full speed.
        """
        now = time.monotonic()
        if now - self._measured >= _POLL_SECONDS:
            self._measured = now
            self.speed = self._session.measure_slot()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self._on_progress(self._measurement(asked))

    def _measurement(self, asked: float | None) -> Measurement:
        session = self._session
        orders_per_second, rows_per_second = session.meter.speed()
        return Measurement(
            orders=session.meter.orders,
            orders_per_second=orders_per_second,
            rows_per_second=rows_per_second,
            asked=asked,
            instant=session.shop.now,
            slot_share=session.slot_share,
        )
