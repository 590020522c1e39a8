"""Rate limiter of live orders, which also measures when the rate was not reached."""

from datetime import datetime, timedelta

from producers.demand import LiveClock

_PATIENCE = timedelta(seconds=1)
_SLOWEST = 0.01


class RateLimiter:
    """Schedule of live orders.

    A delay of up to a second is caught up. Longer delays are dropped; otherwise, after a minute
    without database, a minute's orders would be placed at once.

    Attributes:
        clock: maps moments to instants at the current speed.
        dropped_seconds: how long the rate was not reached, other than by `set_speed`.
    """

    def __init__(self, *, asked: float, moment: float, now: datetime) -> None:
        self._asked = asked
        self._speed = 1.0
        self.clock = LiveClock(start=now, moment=moment, rate=asked)
        self.dropped_seconds = 0.0

    @property
    def is_stopped(self) -> bool:
        """Return whether the speed is 0."""
        return self._speed < _SLOWEST

    def set_speed(self, speed: float, moment: float, now: datetime) -> None:
        """Continue from `moment`, up to which all events are done, at a fraction of the rate."""
        if speed == self._speed:
            return
        # Time paused is not caught up. Otherwise the new clock continues where the old one is.
        start = now if self.is_stopped else self.clock.instant(moment)
        self._speed = speed
        self._restart(start, moment)

    def drop_backlog(self, next_moment: float, now: datetime) -> bool:
        """Drop a delay of more than a second; return whether there was one."""
        behind = now - self.clock.instant(next_moment)
        if behind <= _PATIENCE:
            return False
        self.dropped_seconds += behind.total_seconds()
        self._restart(now, next_moment)
        return True

    def _restart(self, start: datetime, moment: float) -> None:
        rate = self._asked * max(self._speed, _SLOWEST)
        self.clock = LiveClock(start=start, moment=moment, rate=rate)
