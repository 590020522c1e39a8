"""The simulator: past days at full speed, or live orders at the requested rate.

    with the writer's lock:  load the shop ─▶ advance ─▶ commit ─▶ rate_limiter and throttle ─▶
    advance …

It can be stopped between any two transactions, and resumes from there the next time.
"""

from collections.abc import Callable, Iterator
from threading import Event
from zoneinfo import ZoneInfo

from lakehouse.settings import ShopSettings
from producers.filling import fill
from producers.meter import Measurement
from producers.plan import Phase, Plan, Report
from producers.selling import sell
from producers.session import Session, Terms
from producers.wal_monitor import WalMonitor
from producers.writer import Writer

_SLOT_BUDGET = 0.5
"""Share of max_slot_wal_keep_size from which on it slows down: the other half is for the shop."""
LONGEST_PAUSE_SECONDS = 60.0
"""Between two attempts to reconnect: a shop that sells should notice within a minute."""


class Simulator:
    """The simulator of one shop database. Only one at a time may write to it."""

    def __init__(
        self,
        dsn: str,
        *,
        shop: ShopSettings,
        slot_name: str,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._shop = shop
        self._slot_name = slot_name
        self._longest_pause_seconds = longest_pause_seconds

    def run(
        self,
        plan: Plan,
        *,
        stopping: Event,
        on_progress: Callable[[Measurement], None] = lambda _: None,
    ) -> Report:
        """Execute the plan, until it is done or `stopping` is set.

        Args:
            plan: history and live orders to simulate.
            stopping: set it, from any thread, to end the run after the current transaction.
            on_progress: called about twice a second with a measurement, in this thread.

        Raises:
            RetryLaterError: stopped while the database was unavailable.
            StopPipelineError: another simulator is running, or the database refuses.
        """
        terms = Terms(
            seed=plan.seed,
            dirt_percent=plan.dirt_percent,
            base_currency=self._shop.base_currency,
            zone=ZoneInfo(self._shop.time_zone),
            slot_name=self._slot_name,
            slot_budget=_SLOT_BUDGET,
        )
        pause = self._longest_pause_seconds
        with Writer(self._dsn, longest_pause_seconds=pause, stopping=stopping) as writer:
            session = Session(writer, terms)
            watch = WalMonitor(session, stopping, on_progress)
            return Report(seed=plan.seed, phases=tuple(_phases(session, plan, watch)))


def _phases(session: Session, plan: Plan, watch: WalMonitor) -> Iterator[Phase]:
    if plan.history is not None:
        yield fill(session, plan.history, watch)
    if plan.live is not None and not watch.is_stopping:
        yield sell(session, plan.live, watch)
