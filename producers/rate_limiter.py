"""Keeps a live shop at the rate asked for, and knows when it was not kept."""

from datetime import datetime, timedelta

from producers.demand import LiveClock

_PATIENCE = timedelta(seconds=1)
_SLOWEST = 0.01


class RateLimiter:
    """Which orders are due by now.

    Up to a second behind is made up for. What is further behind is dropped, or a shop whose
    database was away for a minute would then sell a minute's orders at once.

    Attributes:
        clock: turns moments into instants at the present speed.
        dropped_seconds: how long the rate was not held, other than by `set_speed`.
    """

    def __init__(self, *, asked: float, moment: float, now: datetime) -> None:
        self._asked = asked
        self._speed = 1.0
        self.clock = LiveClock(start=now, moment=moment, rate=asked)
        self.dropped_seconds = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is to happen, whatever the clock says."""
        return self._speed < _SLOWEST

    def set_speed(self, speed: float, moment: float, now: datetime) -> None:
        """Go on from `moment`, up to which everything has happened, at a part of the rate."""
        if speed == self._speed:
            return
        # A pause is no backlog. Otherwise the new clock takes over where the old one is.
        start = now if self.is_stopped else self.clock.instant(moment)
        self._speed = speed
        self._restart(start, moment)

    def drop_backlog(self, next_moment: float, now: datetime) -> bool:
        """Forget the time that is lost for good; whether some was."""
        behind = now - self.clock.instant(next_moment)
        if behind <= _PATIENCE:
            return False
        self.dropped_seconds += behind.total_seconds()
        self._restart(now, next_moment)
        return True

    def _restart(self, start: datetime, moment: float) -> None:
        rate = self._asked * max(self._speed, _SLOWEST)
        self.clock = LiveClock(start=start, moment=moment, rate=rate)
