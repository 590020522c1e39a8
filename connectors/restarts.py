"""Starts a connector again that has failed, after a pause that grows.

Kafka Connect does not: a task that gives up while the broker is away stays given up when the broker
is back. Only what may go away by itself is started: what is known to need a person waits for one,
changes that are lost above all. The operator Strimzi calls this auto-restart.
"""

import time
from threading import Event

import structlog

from connectors.plain_words import explain
from connectors.rest import ConnectApi, ConnectorState
from lakehouse.errors import PipelineError
from lakehouse.settings import ConnectSettings

FIRST_SECONDS = 10.0
"""From a failure to the first start, so that a broker which restarts can be back."""
LONGEST_SECONDS = 300.0
"""Between two starts; and how long it has to run before the next failure is the first again."""
FIRST_SNAPSHOTS = 3
"""Starts while it reads all tables for the first time: each writes their rows to Kafka again."""
_ASK_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Restarts:
    """When a connector is to be started again, by what Connect says of it as time goes on.

    Instants are seconds of a clock that never goes back.
    """

    def __init__(self, first_seconds: float) -> None:
        """Args: first_seconds: from a failure to the start; doubled with each one that follows."""
        self._first = min(first_seconds, LONGEST_SECONDS)
        self.pause = self._first
        """Seconds from the next failure to the start that follows."""
        self.starts = 0
        """Since it ran for long."""
        self._due_at: float | None = None
        self._running_since: float | None = None

    def note(self, state: ConnectorState | None, now: float) -> None:
        """What Connect says now; None where it says nothing, or that there is no connector."""
        if state is not None and state.is_failed and not state.waits_for_person:
            self._running_since = None
            if self._due_at is None:
                self._due_at = now + self.pause
            return
        self._due_at = None
        if state is None or not state.is_running:
            self._running_since = None
        elif self._running_since is None:
            self._running_since = now
        elif now - self._running_since >= LONGEST_SECONDS:
            self.pause, self.starts = self._first, 0

    def is_due(self, now: float) -> bool:
        """Whether what was noted last asks for a start."""
        return self._due_at is not None and now >= self._due_at

    def started(self, now: float) -> None:
        """It was started. If that helps nothing, the next time is later."""
        self.starts += 1
        self.pause = min(2 * self.pause, LONGEST_SECONDS)
        # Connect shows the old failure for a moment, and a new one may come without a run between.
        self.put_off(now)

    def put_off(self, now: float) -> None:
        """It is not started this time."""
        self._due_at = now + self.pause


def keep_running(connect: ConnectSettings, stop: Event) -> None:
    """Look at the connector every two seconds, and start it where that is due, until told to stop.

    Whatever Connect answers, or whether it does, this goes on.
    """
    restarts = Restarts(FIRST_SECONDS)
    told = ""
    with ConnectApi(connect.url, connect.connector_name) as api:
        while not stop.wait(_ASK_SECONDS):
            try:
                state = api.state()
                restarts.note(state, time.monotonic())
                if state is not None and restarts.is_due(time.monotonic()):
                    _start(api, state, restarts)
                told = ""
            except PipelineError as error:
                restarts.note(None, time.monotonic())
                if told != str(error):
                    told = str(error)
                    _log.warning("connector_not_looked_at", error=told)


def _start(api: ConnectApi, state: ConnectorState, restarts: Restarts) -> None:
    # Asked only when it is due: what is stored is dear to read.
    if restarts.starts >= FIRST_SNAPSHOTS and api.stored().is_first_snapshot:
        restarts.put_off(time.monotonic())
        return
    api.restart_failed()
    restarts.started(time.monotonic())
    why = explain(state.trace or "")
    _log.warning("connector_restarted", why=why, next_seconds=restarts.pause)
