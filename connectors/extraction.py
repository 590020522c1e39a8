"""Extractions: Debezium's incremental snapshots of tables, while it streams changes.

An extraction is requested by a row of the signal table. Debezium reports its progress in the
notification topic; whether one is running is part of the offset that Connect has stored.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from connectors.health import Health, check, in_sentences
from connectors.notifications import Notifications
from connectors.progress import UNKNOWN, Progress, end
from connectors.request import Request
from connectors.rest import ConnectApi
from connectors.wal_gap import stop
from lakehouse.errors import BusyError, RetryLaterError, StopPipelineError
from lakehouse.kafka import notification_topic
from lakehouse.postgres import explaining, oltp_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings, KafkaSettings, OltpSettings
from lakehouse.trouble import Service

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 5.0
_PATIENCE_SECONDS = 600.0
"""Maximum wait for a failed connector, which auto-restart starts again."""
_ANSWER_SECONDS = 60.0
_SIGNAL = "insert into cdc.signal (id, type, data) values (%s, %s, %s)"
_ALL = '{"type": "incremental"}'


@dataclass(frozen=True, kw_only=True)
class Extractions:
    """Control of extractions: start, follow, pause, resume, stop.

    Attributes:
        api: the connector.
        notifications: the topic of its progress notifications.
        signal_dsn: a role that may insert into the signal table.
        health: checks the connector.
    """

    api: ConnectApi
    notifications: Notifications
    signal_dsn: str
    health: Callable[[], Health]

    @classmethod
    @contextmanager
    def of_settings(cls, secrets: Secrets) -> Iterator["Extractions"]:
        """Connect to the services of the environment within a block."""
        connect, oltp = ConnectSettings(), OltpSettings()
        monitor_dsn = oltp_dsn(oltp, secrets, role="monitor")
        kafka, topic = KafkaSettings().client, notification_topic(connect.topic_prefix)
        with (
            ConnectApi.of(connect) as api,
            Notifications(kafka, topic) as notifications,
        ):
            yield cls(
                api=api,
                notifications=notifications,
                signal_dsn=oltp_dsn(oltp, secrets, role="extract"),
                health=lambda: check(connect, monitor_dsn),
            )

    def current(self) -> Progress | None:
        """Return the running extraction; None if there is none."""
        signal_id = self.api.stored().extraction_id
        return None if signal_id is None else self.notifications.progress(signal_id)

    def start(self, request: Request, on_found: Callable[[Progress], None]) -> Progress:
        """Start an extraction, or return the running one if its request is the same.

        Args:
            request: what to read.
            on_found: called with an equal extraction that is running already.

        Raises:
            BusyError: another extraction is running.
            StopPipelineError: the request is too long, or changes do not flow.
            RetryLaterError: a service does not answer in time.
        """
        data = request.data()
        with self._alone():
            found = self.current()
            if found is not None and not found.is_over:
                if found.id.startswith(request.digest):
                    on_found(found)
                    return found
                names = ", ".join(table.table for table in found.tables)
                problem = f"Another extraction is running ({names})"
                action = (
                    "See ./pipeline extract --status; wait for its end, or ./pipeline extract "
                    "--stop."
                )
                raise BusyError(problem, action)
            self._require_health()
            signal_id = f"{request.digest}-{uuid.uuid4().hex[:16]}"
            self._send(signal_id, "execute-snapshot", data)
            return self._wait(signal_id, lambda one: one.is_started, "begun")

    def follow(self, progress: Progress, on_progress: Callable[[Progress], None]) -> Progress:
        """Wait until the extraction has ended, without a time limit.

        Debezium stands still behind a table that it cannot read, unless that is the last one, and
        obeys no signal until it is started again; then it continues with the next table.

        Raises:
            StopPipelineError: the connector needs manual action.
            RetryLaterError: the connector has not run for ten minutes.
        """
        checked_at = running_at = time.monotonic()
        absent = 0
        before, restarted_for = progress, frozenset[str]()
        while not progress.is_over:
            on_progress(progress)
            time.sleep(_POLL_SECONDS)
            progress = self.notifications.progress(progress.id)
            if time.monotonic() > checked_at + _CHECK_SECONDS and not progress.is_over:
                if self._runs(since=running_at):
                    running_at = time.monotonic()
                absent = absent + 1 if self._is_forgotten(progress) else 0
                if absent > 1:
                    return end(self.notifications.progress(progress.id))
                is_still = progress == before and not progress.is_paused
                if is_still and progress.unread - restarted_for:
                    restarted_for = progress.unread
                    self._restart()
                before = progress
                checked_at = time.monotonic()
        on_progress(progress)
        return progress

    def read_unknown(
        self, request: Request, progress: Progress, on_progress: Callable[[Progress], None]
    ) -> Progress:
        """Restart the connector and extract the tables that Debezium did not know.

        Debezium learns tables from their changes, and all of them when it starts; it does not know
        a table that was renamed and not written to since.

        Args:
            request: the original request.
            progress: its outcome.
            on_progress: as in `follow`.

        Returns:
            The outcome for all tables of the request.

        Raises:
            BusyError: another extraction was started meanwhile.
            StopPipelineError: as `start` and `follow`.
            RetryLaterError: the connector does not stop or start in time.
        """
        known = tuple(table for table in progress.tables if table.reason != UNKNOWN)
        unknown = {table.table for table in progress.tables} - {table.table for table in known}
        if not unknown:
            return progress
        self._restart()
        rest = tuple(table for table in request.tables if table.table_name in unknown)
        begun = self.start(replace(request, tables=rest), lambda _: None)
        read = self.follow(begun, on_progress)
        return replace(read, tables=(*known, *read.tables))

    def pause(self) -> Progress:
        """Pause the running extraction. A restart of the connector resumes it, too."""
        found = self._required()
        if found.is_paused:
            return found
        self._send(_new_id(), "pause-snapshot", _ALL)
        return self._wait(found.id, lambda one: one.is_paused or one.is_over, "paused")

    def resume(self) -> Progress:
        """Resume the paused extraction."""
        found = self._required()
        if not found.is_paused:
            return found
        self._send(_new_id(), "resume-snapshot", _ALL)
        return self._wait(found.id, lambda one: not one.is_paused or one.is_over, "resumed")

    def stop(self) -> Progress:
        """Stop the running extraction. Rows that were read stay in Kafka."""
        found = self._required()
        if found.unread:
            # Otherwise it may stand still, and obey no signal (see `follow`).
            self._restart()
        self._send(_new_id(), "stop-snapshot", _ALL)
        # Debezium ignores a stop while the extraction is paused.
        self._send(_new_id(), "resume-snapshot", _ALL)
        return self._wait(found.id, lambda one: one.is_over, "stopped")

    def _restart(self) -> None:
        stop(self.api, timeout_seconds=_ANSWER_SECONDS)
        self.api.resume()
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self.health().is_healthy and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _required(self) -> Progress:
        found = self.current()
        if found is None or found.is_over:
            problem = "No extraction is running"
            raise StopPipelineError(problem, "./pipeline extract --full starts one.")
        return found

    def _runs(self, *, since: float) -> bool:
        found = self.health()
        if found.is_hopeless:
            raise StopPipelineError(in_sentences(found.problems))
        if found.state is not None and found.state.is_running:
            return True
        if time.monotonic() > since + _PATIENCE_SECONDS:
            message = (
                f"The connector has not run for {_PATIENCE_SECONDS / 60:.0f} minutes. "
                f"{in_sentences(found.problems)} Run the same command again to follow it."
            )
            raise RetryLaterError(message)
        return False

    def _is_forgotten(self, progress: Progress) -> bool:
        try:
            return self.api.stored().extraction_id != progress.id
        except RetryLaterError:
            return False

    def _require_health(self) -> None:
        found = self.health()
        if not found.is_healthy:
            problems = in_sentences(found.problems)
            message = f"Changes do not flow, so nothing can be extracted. {problems}"
            raise StopPipelineError(message)

    def _wait(self, signal_id: str, is_there: Callable[[Progress], bool], word: str) -> Progress:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            progress = self.notifications.progress(signal_id)
            if is_there(progress):
                return progress
            time.sleep(_POLL_SECONDS)
        problem = f"The extraction was not {word} within {_ANSWER_SECONDS:.0f} s"
        action = "See ./pipeline connect status, then ./pipeline extract --status."
        raise RetryLaterError(problem, action)

    def _send(self, signal_id: str, kind: str, data: str) -> None:
        with self._connected() as connection:
            connection.execute(_SIGNAL, [signal_id, kind, data])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock, so that of two concurrent requests the second one finds the first."""
        with self._connected() as connection:
            connection.execute("select pg_advisory_lock(hashtext('cdc.extract'))")
            yield

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with (
            explaining(Service.SHOP, "No signal can be sent to Debezium"),
            psycopg.connect(self.signal_dsn, autocommit=True) as connection,
        ):
            yield connection


def _new_id() -> str:
    return uuid.uuid4().hex
