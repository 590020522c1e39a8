"""Start of services in order of their dependencies, with an explanation of failures."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.settings import StackSettings
from stack.bootstrap import Step
from stack.log import last_lines
from stack.paths import Data
from stack.program import Service
from stack.progress import Steps
from stack.supervision import ProgramState, Supervisor

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_STARTS = 4
"""Number of processes of one program within one wait after which the start has failed."""
_LOG_LINES = 15


def _has_stopped(service: Service, state: ProgramState) -> bool:
    """Return whether it ended in a way after which supervisor does not restart it."""
    final = service.program.final_exit_status
    return final is not None and state.state == "EXITED" and state.exit_status == final


class CancelledError(Exception):
    """Another service failed, or the user interrupted the start."""


class Starter:
    """One start of services, until all are ready or one fails."""

    def __init__(
        self,
        supervisor: Supervisor,
        data: Data,
        settings: StackSettings,
        progress: Steps,
        *,
        is_building: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make a start. While `is_building`, which keeps all cores busy, no wait is too long."""
        self._supervisor = supervisor
        self._data = data
        self._patience_seconds = settings.start_timeout_seconds
        self._progress = progress
        self._is_building = is_building
        self._is_cancelled = threading.Event()

    def start(
        self, service: Service, needs: Sequence["Future[None]"], after: Sequence[Step]
    ) -> None:
        """Start a service, wait until it answers, and run its set-up steps.

        Args:
            service: may be running already.
            needs: services to wait for.
            after: steps once it is ready.

        Raises:
            StopPipelineError: it does not become ready, or a step fails.
        """
        for need in needs:
            need.result()
        if self._is_cancelled.is_set():
            raise CancelledError(service.name)
        self._progress.begin(service.name, service.title)
        if not self._supervisor.state(service.name).is_alive:
            service.prepare()
            self._supervisor.start(service.name)
        self._wait_until_ready(service)
        for step in after:
            self._progress.advance(service.name, step.name)
            self._do(step)
        self._progress.finish(service.name, "ready")

    def wait(self, started: Mapping[str, "Future[None]"]) -> None:
        """Wait for all services; the first failure cancels the others.

        Raises:
            StopPipelineError: the first failure.
        """
        try:
            done, _ = wait(started.values(), return_when=FIRST_EXCEPTION)
            self._raise_first(done)
        finally:
            self._is_cancelled.set()

    @staticmethod
    def _raise_first(done: set["Future[None]"]) -> None:
        errors = [error for future in done if (error := future.exception())]
        # Report the cause, not the services that were cancelled because of it.
        errors.sort(key=lambda error: isinstance(error, CancelledError))
        if errors:
            raise errors[0]

    def _wait_until_ready(self, service: Service) -> None:
        deadline = time.monotonic() + self._patience_seconds
        pids: set[int] = set()
        while True:
            state = self._supervisor.state(service.name)
            if state.is_alive and service.probe():
                return
            if state.pid:
                pids.add(state.pid)
            if state.state == "FATAL" or len(pids) >= _STARTS:
                raise StopPipelineError(self._not_ready(service, state, "keeps dying"))
            if _has_stopped(service, state):
                raise StopPipelineError(self._not_ready(service, state, "has stopped"))
            deadline = self._extended(deadline)
            if time.monotonic() > deadline:
                waited = f"is not ready after {self._patience_seconds:.0f} s"
                raise StopPipelineError(self._not_ready(service, state, waited))
            if self._is_cancelled.wait(_POLL_SECONDS):
                raise CancelledError(service.name)

    def _extended(self, deadline: float) -> float:
        """Return the deadline of a wait, which begins again while something is being built."""
        return time.monotonic() + self._patience_seconds if self._is_building() else deadline

    def _do(self, step: Step) -> None:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                step.do()
            except RetryLaterError as error:
                deadline = self._extended(deadline)
                if time.monotonic() > deadline or self._is_cancelled.wait(_RETRY_SECONDS):
                    message = f"{step.service}: {step.name} could not be done. {error}"
                    raise StopPipelineError(message) from error
            else:
                return

    def _not_ready(self, service: Service, state: ProgramState, what: str) -> str:
        log = self._data.log_of(service.name)
        lines = "".join(f"  {line}\n" for line in last_lines(log, _LOG_LINES)) or "  (empty)\n"
        why = f" ({state.problem})" if state.problem else ""
        return (
            f"{service.name} ({service.title}) {what}; its state is {state.state}{why}. "
            f"The last lines of {log}:\n{lines}"
            f"See ./pipeline logs {service.name} -n 100. What this command started is stopped; run "
            "./pipeline up again. A slow machine may need a larger STACK_START_TIMEOUT_SECONDS. "
            "./pipeline reset deletes all data."
        )
