"""Starts a connector again that has failed, after a pause that grows.

Kafka Connect does not: a task that gives up while the broker is away stays given up when the broker
is back. A start is what every rebalance does, too, so it can do no harm at any moment. What lost
changes is left alone, until a person accepts that. The operator Strimzi calls this auto-restart.
"""

import time
from threading import Event

import structlog

from connectors.plain_words import explain, is_loss
from connectors.rest import ConnectApi, ConnectorState
from lakehouse.errors import PipelineError
from lakehouse.settings import ConnectSettings

LONGEST_SECONDS = 300.0
"""Between two starts; and how long it has to run before the next failure is the first again."""
_ASK_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Restarts:
    """When a connector is to be started again, by what Connect says of it as time goes on."""

    def __init__(self, first_seconds: float) -> None:
        """Args: first_seconds: from a failure to the start; doubled with each one that follows."""
        self._first = min(first_seconds, LONGEST_SECONDS)
        self.pause = self._first
        """Seconds from the next failure to the start that follows."""
        self._due_at: float | None = None
        self._running_since: float | None = None

    def is_due(self, state: ConnectorState | None, now: float) -> bool:
        """Whether to start it now; told True, it counts as started.

        Args:
            state: of this moment; None when there is no such connector.
            now: seconds of a clock that never goes back.
        """
        if state is None or not state.is_failed or is_loss(state.trace or ""):
            self._due_at = None
            self._note_run(now, is_running=state is not None and state.is_running)
            return False
        self._running_since = None
        if self._due_at is None:
            self._due_at = now + self.pause
        if now < self._due_at:
            return False
        self.pause = min(2 * self.pause, LONGEST_SECONDS)
        # Connect shows the old failure for a moment, and a new one may come without a run between.
        self._due_at = now + self.pause
        return True

    def _note_run(self, now: float, *, is_running: bool) -> None:
        if not is_running:
            self._running_since = None
        elif self._running_since is None:
            self._running_since = now
        elif now - self._running_since >= LONGEST_SECONDS:
            self.pause = self._first


def keep_running(connect: ConnectSettings, stop: Event) -> None:
    """Look at the connector every two seconds, and start it where that is due, until told to stop.

    Nothing that Connect answers, or does not, ends it.
    """
    restarts = Restarts(connect.restart_seconds)
    told = ""
    with ConnectApi(connect.url, connect.connector_name) as api:
        while not stop.wait(_ASK_SECONDS):
            try:
                state = api.state()
                if restarts.is_due(state, time.monotonic()):
                    reason = explain((state and state.trace) or "")
                    _log.warning("connector_restarted", why=reason, next_seconds=restarts.pause)
                    api.restart_failed()
                told = ""
            except PipelineError as error:
                if told != str(error):
                    told = str(error)
                    _log.warning("connect_does_not_answer", error=told)
