"""Simulation of live orders at the requested rate."""

import math
import time
from datetime import UTC, datetime

import structlog

from producers.engine import Limits, advance
from producers.meter import Meter
from producers.plan import LIVE_ORDERS_A_DAY, Live, Phase
from producers.rate_limiter import RateLimiter
from producers.session import Session
from producers.wal_monitor import WalMonitor

_MOST_CHANGES = 2_000
_TICK_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 0.25
_SAY_AGAIN_SECONDS = 10.0

log = structlog.get_logger()


def sell(session: Session, live: Live, watch: WalMonitor) -> Phase:
    """Simulate orders until a limit of `live` is reached or the run is stopped."""
    session.load(day_length=LIVE_ORDERS_A_DAY, moment=0.0, now=datetime.now(tz=UTC))
    session.meter = Meter()
    till = _Till(session, live, watch)
    stop = math.inf if live.minutes is None else time.monotonic() + live.minutes * 60
    while not (watch.is_stopping or till.is_done or time.monotonic() >= stop):
        till.tick()
    behind = till.rate_limiter.dropped_seconds
    return Phase(name="live", counts=session.meter.counts(), behind_seconds=behind)


class _Till:
    """One live phase. At the end of each tick, all changes are committed."""

    def __init__(self, session: Session, live: Live, watch: WalMonitor) -> None:
        self.rate_limiter = RateLimiter(
            asked=live.orders_per_second, moment=0.0, now=datetime.now(tz=UTC)
        )
        self._session = session
        self._live = live
        self._wal_monitor = watch
        self._said = -math.inf

    @property
    def is_done(self) -> bool:
        """Return whether all requested orders are committed."""
        return self._live.orders is not None and self._session.meter.orders >= self._live.orders

    def tick(self) -> None:
        """Execute and commit due events, then wait until the next one is due."""
        due = self.rate_limiter.clock.moment(datetime.now(tz=UTC))
        is_all = not self.rate_limiter.is_stopped and self._advance(due)
        self._session.commit(self._reload)
        self._wal_monitor.tick(self._live.orders_per_second)
        shop = self._session.shop
        if not self.rate_limiter.is_stopped:
            self._keep_up(shop.events.next_moment or shop.moment)
        moment = due if is_all else shop.moment
        self.rate_limiter.set_speed(self._wal_monitor.speed, moment, datetime.now(tz=UTC))
        if is_all or self.rate_limiter.is_stopped:
            self._wait(shop.events.next_moment or shop.moment)

    def _reload(self) -> None:
        now = datetime.now(tz=UTC)
        moment = self.rate_limiter.clock.moment(now)
        self._session.load(day_length=LIVE_ORDERS_A_DAY, moment=moment, now=now)

    def _advance(self, due: float) -> bool:
        """Return whether all due events were executed, up to the limit of orders."""
        shop, most = self._session.shop, self._live.orders
        if most is not None:
            most += shop.orders_placed - self._session.meter.orders
        limits = Limits(until=due, orders=most, changes=_MOST_CHANGES)
        return advance(shop, self.rate_limiter.clock, limits)

    def _keep_up(self, next_moment: float) -> None:
        if not self.rate_limiter.drop_backlog(next_moment, datetime.now(tz=UTC)):
            return
        now = time.monotonic()
        if now - self._said >= _SAY_AGAIN_SECONDS:
            self._said = now
            log.warning(
                "rate_not_held",
                asked_per_second=self._live.orders_per_second,
                now_per_second=round(self._session.meter.speed()[0], 1),
                behind_seconds=round(self.rate_limiter.dropped_seconds, 1),
            )

    def _wait(self, next_moment: float) -> None:
        until_next = self.rate_limiter.clock.instant(next_moment) - datetime.now(tz=UTC)
        seconds = max(until_next.total_seconds(), _TICK_SECONDS)
        self._wal_monitor.wait(min(seconds, _LONGEST_WAIT_SECONDS))
