"""Auto-restart of a failed connector, with exponential back-off.

Kafka Connect does not restart tasks: one that failed while the broker was unavailable stays failed.
Only failures that may be transient are restarted, not those that need manual action, such as lost
changes. Named after the same function of the Strimzi operator.
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
"""Maximum pause between two restarts, and how long the connector must run to reset the pause."""
FIRST_SNAPSHOTS = 3
"""Maximum restarts during the initial snapshot: each one writes all rows to Kafka again."""
_ASK_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Restarts:
    """Schedule of restarts, computed from the observed states of the connector.

    Instants are seconds of a monotonic clock.
    """

    def __init__(self, first_seconds: float) -> None:
        """Args: first_seconds: pause before the first restart; doubled after each one."""
        self._first = min(first_seconds, LONGEST_SECONDS)
        self.pause = self._first
        """Seconds between the next failure and its restart."""
        self.starts = 0
        """Restarts since the connector last ran for LONGEST_SECONDS."""
        self._due_at: float | None = None
        self._running_since: float | None = None

    def note(self, state: ConnectorState | None, now: float) -> None:
        """Record an observed state; None if Connect does not answer or has no such connector."""
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
        """Return whether a restart is due."""
        return self._due_at is not None and now >= self._due_at

    def started(self, now: float) -> None:
        """Record a restart; doubles the pause before the next one."""
        self.starts += 1
        self.pause = min(2 * self.pause, LONGEST_SECONDS)
        # Connect reports the old failure for a moment, and the connector may fail again before a
        # running state is observed.
        self.put_off(now)

    def put_off(self, now: float) -> None:
        """Postpone the due restart by one pause."""
        self._due_at = now + self.pause


def keep_running(connect: ConnectSettings, stop: Event) -> None:
    """Poll the connector every two seconds and restart it when due, until `stop` is set.

    Errors of Connect are logged and do not end the loop.
    """
    restarts = Restarts(FIRST_SECONDS)
    told = ""
    with ConnectApi.of(connect) as api:
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
                    _log.warning("connector_check_failed", error=told)


def _start(api: ConnectApi, state: ConnectorState, restarts: Restarts) -> None:
    # Queried only when a restart is due, since reading the stored offset is expensive.
    if restarts.starts >= FIRST_SNAPSHOTS and api.stored().is_first_snapshot:
        restarts.put_off(time.monotonic())
        return
    api.restart_failed()
    restarts.started(time.monotonic())
    why = explain(state.trace or "")
    _log.warning("connector_restarted", why=why, next_seconds=restarts.pause)
