"""Runs a shop by a plan: past days at full speed, or orders live at the rate asked for.

    with the writer's lock:  load the shop ─▶ advance ─▶ commit ─▶ rate_limiter and throttle ─▶
    advance …

It can be stopped between any two transactions, and goes on from there the next time.
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
    """The shop behind one database. One at a time writes to it."""

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
        """Do what the plan says, or as much of it as there is time for.

        Args:
            plan: what to do.
            stopping: set it, from any thread, to have the run end after the transaction it is in.
            on_progress: told about twice a second how it goes; called in this thread.

        Raises:
            RetryLaterError: told to stop while the database was away.
            StopPipelineError: another simulator is at work, or the database refuses.
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
