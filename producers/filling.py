"""Simulation of past days at full speed."""

import math
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from producers.demand import HistoryClock
from producers.engine import Limits, advance
from producers.meter import Meter
from producers.plan import ORDERS_A_DAY, History, Phase
from producers.session import Session
from producers.wal_monitor import WalMonitor

_MOST_CHANGES = 5_000
_THROTTLE_SECONDS = 0.5
_DAY = timedelta(days=1)

log = structlog.get_logger()


def fill(session: Session, history: History, watch: WalMonitor) -> Phase:
    """Simulate the past from `history.days` ago, or from the last event of the shop if later.

    Orders of the last days are not delivered yet at the end, as in a real shop.
    """
    stop = history.end or datetime.now(tz=UTC)
    start = _start(session, stop - history.days * _DAY, stop)
    daily = ORDERS_A_DAY if history.orders is None else history.orders / history.days
    orders = round(daily * ((stop - start) / _DAY))
    if orders > 0:
        zone = session.terms.zone
        sale = sale_before(stop, zone) if history.end is None else None
        clock = HistoryClock(start=start, stop=stop, orders=orders, zone=zone, sale=sale)
        _fill(session, clock, watch, orders=orders, daily=daily)
    return Phase(name="history", counts=session.meter.counts())


def sale_before(stop: datetime, zone: ZoneInfo) -> datetime:
    """Return when a sale begins, a day before `stop`, that equals minutes of live orders after it.

    It is at the same time of the shop's day, also where its clock has changed in between.
    """
    return stop.astimezone(zone) - _DAY


def _start(session: Session, wanted: datetime, stop: datetime) -> datetime:
    last = session.writer.progress.last_timestamp
    if last is None or last <= wanted:
        return wanted
    # Otherwise orders would be older than their customers' accounts.
    log.warning("history_begins_where_shop_ended", asked=str(wanted), begins=str(last))
    return min(last, stop)


def _fill(
    session: Session, clock: HistoryClock, watch: WalMonitor, *, orders: int, daily: float
) -> None:
    def load() -> None:
        moment = float(session.meter.orders)
        session.load(day_length=daily, moment=moment, now=clock.instant(moment))

    load()
    session.meter = Meter()
    while session.meter.orders < orders and not watch.is_stopping:
        began = time.monotonic()
        left = orders - session.meter.orders
        limits = Limits(
            until=math.inf, orders=session.shop.orders_placed + left, changes=_MOST_CHANGES
        )
        advance(session.shop, clock, limits)
        session.commit(load)
        _brake(watch, time.monotonic() - began)


def _brake(watch: WalMonitor, busy_seconds: float) -> None:
    """Throttle by the slot's WAL: pause until it advances, or in proportion to the work done."""
    watch.tick(None)
    while watch.speed <= 0 and not watch.is_stopping:
        watch.wait(_THROTTLE_SECONDS)
        watch.tick(None)
    if watch.speed < 1:
        watch.wait(
            min(busy_seconds / max(watch.speed, 0.01) - busy_seconds, 10 * _THROTTLE_SECONDS)
        )
