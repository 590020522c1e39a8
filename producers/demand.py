"""Model of demand: by hour of day, by weekday, and a long tail of products.

The shop counts time in orders: at moment 1500.0 the 1500th order is due. A clock maps moments to
instants, so events do not depend on the rate: the same seed gives the same shop at any rate, live
or in the past.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from random import Random
from typing import Protocol
from zoneinfo import ZoneInfo

HOUR_WEIGHTS = (
    0.35, 0.20, 0.12, 0.10, 0.10, 0.15, 0.35, 0.60, 0.85, 1.00, 1.15, 1.25,
    1.35, 1.30, 1.15, 1.10, 1.15, 1.30, 1.55, 1.80, 2.00, 1.80, 1.25, 0.70,
)  # fmt: skip
"""Relative demand at each hour of the shop's day."""
WEEKDAY_WEIGHTS = (1.05, 0.95, 0.95, 1.00, 1.10, 1.25, 1.30)
"""Relative demand on each weekday, from Monday."""

_HOUR = timedelta(hours=1)
_SALE = timedelta(minutes=30)
_SALE_DEMAND = 23.0
"""Demand that a sale adds while it lasts: 45 % of the orders of a whole day."""
_RANKS = 613  # a prime near the number of products
_STEEPNESS = 0.9
_ALL_WEIGHTS = sum(1.0 / float(rank**_STEEPNESS) for rank in range(1, _RANKS + 1))


class Clock(Protocol):
    """Mapping of moments to instants."""

    def instant(self, moment: float) -> datetime:
        """Return the instant of `moment`; monotonic."""


class HistoryClock:
    """Clock that spreads moments 0 to `orders` over a window of the past, by demand.

    Args:
        sale: beginning of half an hour of additional demand, if there is one.
    """

    def __init__(
        self,
        *,
        start: datetime,
        stop: datetime,
        orders: int,
        zone: ZoneInfo,
        sale: datetime | None = None,
    ) -> None:
        self._stop = stop
        self._edges = _hours(start, stop)
        sales = () if sale is None else (sale.astimezone(UTC), sale.astimezone(UTC) + _SALE)
        self._edges = sorted({*self._edges, *(edge for edge in sales if start < edge < stop)})
        shares = (
            (demand(edge, zone) + (_SALE_DEMAND if sales and sales[0] <= edge < sales[1] else 0))
            * ((after - edge) / _HOUR)
            for edge, after in pairwise(self._edges)
        )
        volumes = [0.0, *accumulate(shares)]
        self._moments = [volume / volumes[-1] * orders for volume in volumes]

    def instant(self, moment: float) -> datetime:
        """Return the instant of `moment`; later moments are at the end of the window."""
        if moment >= self._moments[-1]:
            return self._stop
        hour = max(bisect_right(self._moments, moment) - 1, 0)
        first, last = self._moments[hour], self._moments[hour + 1]
        part = (moment - first) / (last - first)
        return self._edges[hour] + (self._edges[hour + 1] - self._edges[hour]) * max(part, 0.0)


class LiveClock:
    """Clock in which moments pass at a constant rate from an instant on; both can be changed."""

    def __init__(self, *, start: datetime, moment: float, rate: float) -> None:
        self._start = start
        self._moment = moment
        self._rate = rate

    def instant(self, moment: float) -> datetime:
        """Return the instant of `moment`."""
        return self._start + timedelta(seconds=(moment - self._moment) / self._rate)

    def moment(self, instant: datetime) -> float:
        """Return the moment at `instant`."""
        return self._moment + (instant - self._start).total_seconds() * self._rate


class Popularity:
    """Random choice of list positions by weight."""

    def __init__(self, weights: list[float]) -> None:
        self._sums = list(accumulate(weights))

    def pick(self, random: Random) -> int:
        """Return a position; its probability is proportional to its weight."""
        return self.at(random.random())

    def at(self, share: float) -> int:
        """Return the position at this share, from 0 to below 1, of all weights."""
        return bisect_right(self._sums, share * self._sums[-1])


def demand(instant: datetime, zone: ZoneInfo) -> float:
    """Return the demand at `instant` as a multiple of the average."""
    local = instant.astimezone(zone)
    return HOUR_WEIGHTS[local.hour] * WEEKDAY_WEIGHTS[local.weekday()]


def product_weight(product_id: int) -> float:
    """Return the popularity of a product, by Zipf's law over pseudo-random ranks.

    It only depends on the key, so that it is the same after a restart.
    """
    rank = 1 + product_id * 389 % _RANKS
    return 1.0 / float(rank**_STEEPNESS)


def share_of_demand(product_id: int) -> float:
    """Return the share of all sales that is this product's."""
    return product_weight(product_id) / _ALL_WEIGHTS


def long_tail_position(random: Random, length: int) -> int:
    """Return a random position; the first tenth of the list is chosen a third of the time."""
    return int(length * random.random() ** 2)


def _hours(start: datetime, stop: datetime) -> list[datetime]:
    """`start`, every full hour after it, `stop`; in UTC, where every hour is as long."""
    edges = [start.astimezone(UTC)]
    following = edges[0].replace(minute=0, second=0, microsecond=0) + _HOUR
    while following < stop:
        edges.append(following)
        following += _HOUR
    return [*edges, stop.astimezone(UTC)]
