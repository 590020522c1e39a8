"""Steps of `demo`: services, simulator, live view, consolidation, two reconciliations."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from batch.reconcile import ReconcileConfig, Report, reconcile, settle
from cli.consolidate import consolidated, show_done
from cli.live_view import LiveView, Picture
from cli.output import err_console
from cli.reconcile import show_report
from cli.simulate import Progress
from cli.trigger import require_success, run_in_airflow
from cli.web_uis import show_login
from lakehouse.errors import PipelineError
from lakehouse.postgres import oltp_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import ShopSettings
from monitoring.flow import Flow, FlowSampler
from producers.plan import Plan
from producers.simulator import Simulator
from stack.engine import AnyStack
from stack.progress import Steps

if TYPE_CHECKING:
    from producers.meter import Measurement

_POLL_SECONDS = 0.5
_FIRST_RECONCILE_SECONDS = 30.0


class Demonstration:
    """One run of `demo`.

    Args:
        stack, services: what is started.
        past: the history that is simulated first, at full speed; None for none.
        plan: the live simulation.
        minutes: its duration; None until a signal.
    """

    def __init__(
        self,
        stack: AnyStack,
        services: Sequence[str],
        *,
        past: Plan | None,
        plan: Plan,
        minutes: float | None,
    ) -> None:
        self._stack = stack
        self._services = services
        self._past = past
        self._plan = plan
        self._seconds = None if minutes is None else minutes * 60
        self._closing = threading.Event()
        self._measurement: Measurement | None = None
        self._reconciliation = "the first one starts soon, while orders flow"

    def run(self) -> bool:
        """Run all steps; returns whether both reconciliations were exact.

        Raises:
            PipelineError: a step failed, or something could not be compared.
        """
        with Steps(err_console) as progress:
            self._stack.up(self._services, progress=progress)
        secrets = Secrets(self._stack.config.stack.secrets_path)
        self.show_logins()
        if self._past is not None:
            self._fill_the_past(secrets, self._past)
        with _closing_on_signals(self._closing), ThreadPoolExecutor(2) as pool:
            first = self._sell_and_watch(secrets, pool)
        err_console.rule("while orders flowed", align="left", style="dim")
        show_report(first)
        err_console.rule("after the last order", align="left", style="dim")
        self._consolidate(secrets)
        with err_console.status("comparing all layers") as status:
            last = self._reconcile(secrets, status.update)
        show_report(last)
        if last.exact:
            last.require_all()
        return first.exact and last.exact

    def _fill_the_past(self, secrets: Secrets, plan: Plan) -> None:
        """Simulate and consolidate past days, so that charts have a history."""
        with Progress() as progress:
            self._simulator(secrets).run(
                plan, stopping=threading.Event(), on_progress=progress.show
            )
        self._consolidate(secrets)

    def show_logins(self) -> None:
        """Print addresses and logins of the web UIs that the demonstration has started."""
        for page in ("superset", "airflow"):
            if page in self._services:
                show_login(page)

    def _consolidate(self, secrets: Secrets) -> None:
        """Consolidate all changes: in Airflow, or in this process without Airflow."""
        with err_console.status("draining") as status:
            settle(secrets, self._config(), on_progress=status.update)
        if "airflow" in self._services:
            require_success(run_in_airflow())
            return
        began = time.monotonic()
        done = consolidated()
        show_done(done, time.monotonic() - began)

    def _sell_and_watch(self, secrets: Secrets, pool: ThreadPoolExecutor) -> Report:
        """Simulate until time is up or a signal; returns the reconciliation made meanwhile."""
        stopping = threading.Event()
        shop = pool.submit(self._sell, secrets, stopping)
        reconciliation: Future[Report] | None = None
        began = time.monotonic()
        try:
            with LiveView(err_console) as view:
                sampler = FlowSampler(self._stack.config, secrets)
                while not shop.done() and not (
                    reconciliation and reconciliation.done() and self._is_over(began)
                ):
                    if reconciliation is None and self._is_time_to_reconcile(began):
                        reconciliation = pool.submit(self._reconcile, secrets, self._tell)
                        reconciliation.add_done_callback(self._tell_outcome)
                    view.show(self._picture(time.monotonic() - began, sampler.sample()))
                    time.sleep(_POLL_SECONDS)
        finally:
            stopping.set()
        shop.result()
        return (reconciliation or pool.submit(self._reconcile, secrets, self._tell)).result()

    def _sell(self, secrets: Secrets, stopping: threading.Event) -> None:
        self._simulator(secrets).run(self._plan, stopping=stopping, on_progress=self._read)

    def _simulator(self, secrets: Secrets) -> Simulator:
        config = self._stack.config
        return Simulator(
            oltp_dsn(config.oltp, secrets, role="simulator"),
            shop=ShopSettings(),
            slot_name=config.connect.slot_name,
        )

    def _config(self) -> ReconcileConfig:
        config = self._stack.config
        return ReconcileConfig(
            oltp=config.oltp,
            kafka=config.kafka,
            connect=config.connect,
            minio=config.minio,
            warehouse=config.warehouse,
        )

    def _reconcile(self, secrets: Secrets, on_progress: Callable[[str], None]) -> Report:
        return reconcile(secrets, self._config(), on_progress=on_progress)

    def _is_over(self, began: float) -> bool:
        has_lasted = self._seconds is not None and time.monotonic() - began >= self._seconds
        return has_lasted or self._closing.is_set()

    def _is_time_to_reconcile(self, began: float) -> bool:
        """Return whether half the duration, at most 30 s, has passed, or the simulation ends."""
        half_time = _FIRST_RECONCILE_SECONDS if self._seconds is None else self._seconds / 2
        soon = min(half_time, _FIRST_RECONCILE_SECONDS)
        return time.monotonic() - began >= soon or self._is_over(began)

    def _read(self, measurement: "Measurement") -> None:
        self._measurement = measurement

    def _tell(self, stage: str) -> None:
        self._reconciliation = f"while orders flow: {stage} …"

    def _tell_outcome(self, reconciliation: "Future[Report]") -> None:
        try:
            self._reconciliation = reconciliation.result().verdict()
        except PipelineError as error:
            self._reconciliation = f"Cannot tell: {error}"

    def _picture(self, seconds: float, flow: Flow) -> Picture:
        measurement = self._measurement
        return Picture(
            seconds=seconds,
            orders=measurement.orders if measurement else 0,
            orders_per_second=measurement.orders_per_second if measurement else 0.0,
            rows_per_second=measurement.rows_per_second if measurement else 0.0,
            flow=flow,
            reconciliation=self._reconciliation,
        )


@contextmanager
def _closing_on_signals(closing: threading.Event) -> Iterator[None]:
    """Set `closing` on the first SIGINT or SIGTERM; let a second one interrupt."""

    def close(_number: int, _frame: FrameType | None) -> None:
        closing.set()
        for one in before:
            signal.signal(one, signal.default_int_handler)

    wanted = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, close) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
