"""Simulated orders, sampled and reconciled while they flow."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from batch.reconcile import Report, reconcile, settle
from lakehouse.errors import PipelineError
from lakehouse.postgres import oltp_dsn
from lakehouse.secrets import Secrets
from monitoring.flow import Flow, FlowSampler
from producers.meter import Measurement
from producers.plan import Plan
from producers.script import ScriptedSimulator
from producers.simulator import Simulator
from stack.paths import StackConfig

_POLL_SECONDS = 0.5
_FIRST_RECONCILE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Values shown at one moment.

    Attributes:
        seconds: since the simulation started.
        orders_per_second, rows_per_second: committed by the simulator.
        reconciliation: progress or verdict of the reconciliation.
    """

    seconds: float
    orders: int
    orders_per_second: float
    rows_per_second: float
    flow: Flow
    reconciliation: str


class Demonstration:
    """What `demo` runs on services that are up.

    Args:
        config: the services.
        plan: the live simulation.
        minutes: its duration; None until it is stopped.
    """

    def __init__(self, config: StackConfig, plan: Plan, *, minutes: float | None) -> None:
        self._config = config
        self._secrets = Secrets(config.stack.secrets_path)
        self._plan = plan
        self._seconds = None if minutes is None else minutes * 60
        self._began = time.monotonic()
        self._measurement: Measurement | None = None
        self._reconciliation = "the first one starts soon, while orders flow"

    def fill(self, past: Plan, on_progress: Callable[[Measurement], None]) -> None:
        """Simulate past days, so that charts have a history."""
        self._simulator().run(past, stopping=threading.Event(), on_progress=on_progress)

    def run(self, closing: threading.Event, show: Callable[[Picture], None]) -> Report:
        """Simulate until time is up or `closing` is set; return the reconciliation made meanwhile.

        Args:
            closing: set it to end the simulation early.
            show: called about twice a second.

        Raises:
            PipelineError: the simulation failed, or something could not be compared.
        """
        stopping = threading.Event()
        reconciliation: Future[Report] | None = None
        with ThreadPoolExecutor(2) as pool:
            shop = pool.submit(
                self._simulator().run, self._plan, stopping=stopping, on_progress=self._read
            )
            self._began = time.monotonic()
            try:
                sampler = FlowSampler(self._config, self._secrets)
                while not shop.done() and not (
                    reconciliation and reconciliation.done() and self._is_over(closing)
                ):
                    if reconciliation is None and self._is_time_to_reconcile(closing):
                        reconciliation = pool.submit(self.reconcile, self._tell)
                        reconciliation.add_done_callback(self._tell_outcome)
                    show(self._picture(sampler.sample()))
                    time.sleep(_POLL_SECONDS)
            finally:
                stopping.set()
            shop.result()
            return (reconciliation or pool.submit(self.reconcile, self._tell)).result()

    def settle(self, on_progress: Callable[[str], None]) -> None:
        """Wait until all changes have landed."""
        settle(self._secrets, on_progress=on_progress)

    def reconcile(self, on_progress: Callable[[str], None]) -> Report:
        """Compare all layers."""
        return reconcile(self._secrets, on_progress=on_progress)

    def _simulator(self) -> Simulator | ScriptedSimulator:
        config = self._config
        dsn = oltp_dsn(config.oltp, self._secrets, role="simulator")
        if config.example is not None:
            return ScriptedSimulator(path=config.example / "simulate.py", dsn=dsn)
        return Simulator(
            dsn,
            shop=config.shop,
            slot_name=config.connect.slot_name,
        )

    def _lasted(self) -> float:
        return time.monotonic() - self._began

    def _is_over(self, closing: threading.Event) -> bool:
        return closing.is_set() or (self._seconds is not None and self._lasted() >= self._seconds)

    def _is_time_to_reconcile(self, closing: threading.Event) -> bool:
        """Return whether half the duration, at most 30 s, has passed, or the simulation ends."""
        half_time = _FIRST_RECONCILE_SECONDS if self._seconds is None else self._seconds / 2
        soon = min(half_time, _FIRST_RECONCILE_SECONDS)
        return self._lasted() >= soon or self._is_over(closing)

    def _read(self, measurement: Measurement) -> None:
        self._measurement = measurement

    def _tell(self, stage: str) -> None:
        self._reconciliation = f"while orders flow: {stage} …"

    def _tell_outcome(self, reconciliation: Future[Report]) -> None:
        try:
            self._reconciliation = reconciliation.result().verdict()
        except PipelineError as error:
            self._reconciliation = f"Cannot tell: {error}"

    def _picture(self, flow: Flow) -> Picture:
        measurement = self._measurement
        return Picture(
            seconds=self._lasted(),
            orders=measurement.orders if measurement else 0,
            orders_per_second=measurement.orders_per_second if measurement else 0.0,
            rows_per_second=measurement.rows_per_second if measurement else 0.0,
            flow=flow,
            reconciliation=self._reconciliation,
        )
