"""Plan and report of a run of the simulator."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lakehouse.errors import StopPipelineError
from producers.meter import Counts

ORDERS_A_DAY = 2_000
"""Orders per day of a history, unless it sets another number."""
LIVE_ORDERS_A_DAY = 1_000
"""Orders per day of the shop while it sells live, at any rate: at 20 orders per second an order is
delivered a few minutes after it is placed, so that a demonstration shows the whole lifecycle.
"""
_MOST = {
    "--history": 3_650,
    "--orders": 10**9,
    "--orders-per-second": 10**6,
    "--minutes": 10**6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Past days to simulate.

    Attributes:
        days: number of days.
        orders: total number of orders; None for `ORDERS_A_DAY` per day.
        end: end of the last day; None for now: then a sale on the day before, from this time of day
            on, is what the live orders that follow are compared with.
    """

    days: float
    orders: int | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Live orders, until one of the limits is reached.

    Attributes:
        orders_per_second: rate of orders.
        minutes: maximum duration; None for no limit.
        orders: maximum number; None for no limit.
    """

    orders_per_second: float
    minutes: float | None = None
    orders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A simulation: a history, live orders, or a history followed by live orders.

    Attributes:
        seed: the same seed on the same shop gives the same events.
        dirt_percent: share of user-entered rows with a fault, in percent.

    Raises:
        StopPipelineError: a value is out of range; the message names its option.
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
    """Report of one phase of a plan.

    Attributes:
        name: history or live.
        behind_seconds: how long the requested rate was not reached.
    """

    name: str
    counts: Counts
    behind_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Report of a run."""

    seed: int
    phases: tuple[Phase, ...]
