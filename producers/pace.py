"""Keeps a live shop at the rate asked for, and knows when it was not kept."""

from datetime import datetime, timedelta

from producers.demand import LiveClock

_PATIENCE = timedelta(seconds=1)
_SLOWEST = 0.01


class Pace:
    """Which orders are due by now.

    Up to a second behind is made up for. What is further behind is dropped, or a shop whose
    database was away for a minute would then sell a minute's orders at once.

    Attributes:
        clock: turns moments into instants at the present speed.
        dropped_seconds: how long the rate was not held.
    """

    def __init__(self, *, asked: float, moment: float, now: datetime) -> None:
        self._asked = asked
        self._speed = 1.0
        self.clock = LiveClock(start=now, moment=moment, rate=asked)
        self.dropped_seconds = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether the brake is on so hard that nothing is due."""
        return self._speed < _SLOWEST

    def set_speed(self, speed: float, now: datetime) -> None:
        """Go on at a part of the rate asked for."""
        if abs(speed - self._speed) >= _SLOWEST or speed in {0.0, 1.0} != {self._speed}:
            moment = self.clock.moment(now)
            self._speed = speed
            self.clock = LiveClock(
                start=now, moment=moment, rate=self._asked * max(speed, _SLOWEST)
            )

    def drop_backlog(self, next_moment: float, now: datetime) -> bool:
        """Forget the time that is lost for good; whether some was."""
        behind = now - self.clock.instant(next_moment)
        if behind <= _PATIENCE:
            return False
        self.dropped_seconds += behind.total_seconds()
        rate = self._asked * max(self._speed, _SLOWEST)
        self.clock = LiveClock(start=now, moment=next_moment, rate=rate)
        return True
