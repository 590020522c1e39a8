"""What a run of the simulator is to do, and what it did."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lakehouse.errors import StopPipelineError
from producers.meter import Counts

ORDERS_A_DAY = 1_000
"""Orders in a day of the shop, unless a history is asked to hold more or fewer.

Live, a day has as many too, whatever the rate: at 20 orders a second an order is delivered a few
minutes after it is placed, so that there is something to see.
"""
_MOST = {
    "--history": 3_650,
    "--orders": 10**9,
    "--orders-per-second": 10**6,
    "--minutes": 10**6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Days of the past to fill.

    Attributes:
        days: how many.
        orders: in all of them together; None for `ORDERS_A_DAY` in each.
        end: when they end; None for now.
    """

    days: float
    orders: int | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Orders as they come, until one of the limits, or for ever.

    Attributes:
        orders_per_second: the rate to hold.
        minutes: how long; None for no limit.
        orders: how many; None for no limit.
    """

    orders_per_second: float
    minutes: float | None = None
    orders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do: a history first, or live orders, or the one and then the other.

    Attributes:
        seed: the same one, on the same shop, makes the same things happen.
        dirt_percent: of the rows that can be wrong, how many are.

    Raises:
        StopPipelineError: a metric that makes no sense, by the name of its option.
    """

    seed: int
    history: History | None = None
    live: Live | None = None
    dirt_percent: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dirt_percent <= 100:
            message = f"--dirt is {self.dirt_percent:g}; it is a percentage, from 0 to 100."
            raise StopPipelineError(message)
        for name, value in self._amounts():
            if value is not None and not 0 < value <= _MOST[name]:
                message = f"{name} is {value:g}; it has to be more than 0, up to {_MOST[name]:,}."
                raise StopPipelineError(message)

    def _amounts(self) -> Iterator[tuple[str, float | None]]:
        if self.history is not None:
            yield "--history", self.history.days
            yield "--orders", self.history.orders
        if self.live is not None:
            yield "--orders-per-second", self.live.orders_per_second
            yield "--minutes", self.live.minutes
            yield "--orders", self.live.orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What was done of one half of a plan.

    Attributes:
        name: history or live.
        behind_seconds: for how long the rate asked for was not held.
    """

    name: str
    counts: Counts
    behind_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did."""

    seed: int
    phases: tuple[Phase, ...]
