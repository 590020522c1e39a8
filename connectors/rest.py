"""Client of Kafka Connect's REST interface for one connector."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from connectors.plain_words import needs_person
from lakehouse.errors import AwayError, RetryLaterError, StopPipelineError
from lakehouse.http import http_client
from lakehouse.settings import ConnectSettings

_TIMEOUT = httpx.Timeout(20, connect=5)
_POSITIONS = ("lsn", "lsn_proc", "lsn_commit")
"""Positions in Debezium's offset: of the last change, and of the last complete transaction."""
_RETRY_STATUS = (404, 409, 500, 503)
"""Status codes while Connect starts (404 for a PUT) or its workers rebalance."""

_LOGIN_STATUS = (401, 403)
_LOGIN = "CONNECT_AUTH_FILE has to name a file with user:password that it accepts."
_TRUST = (
    "SSL_CERT_FILE has to name the authority that signed its certificate, and that one has to be "
    "in date and to have the name CONNECT_HOST."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorState:
    """State of a connector and its task."""

    connector: str
    task: str | None
    trace: str | None

    @property
    def is_running(self) -> bool:
        """Whether connector and task run."""
        return self.connector == self.task == "RUNNING"

    @property
    def is_halted(self) -> bool:
        """Whether it was stopped or paused on purpose."""
        return self.connector in ("STOPPED", "PAUSED")

    @property
    def is_failed(self) -> bool:
        """Whether connector or task has failed."""
        return "FAILED" in (self.connector, self.task)

    @property
    def waits_for_person(self) -> bool:
        """Whether the failure needs manual action; others are restarted automatically."""
        return self.is_halted or (self.is_failed and needs_person(self.trace or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The source offset that Connect stores in the transactions that write changes to Kafka.

    Attributes:
        position: the highest WAL position (LSN); None during the initial snapshot.
        is_first_snapshot: whether the initial snapshot has started and not ended. After an
            interruption it starts from the beginning.
        handed_on_at: commit time of the last change; None if there was none.
        extraction_id: id of the signal of the running extraction; None if there is none.
    """

    position: int | None
    is_first_snapshot: bool
    handed_on_at: datetime | None
    extraction_id: str | None


class ConnectApi:
    """One connector of one Connect worker."""

    def __init__(self, base_url: str, name: str, *, auth: tuple[str, str] | None = None) -> None:
        self.base_url = base_url
        self.name = name
        self._client = http_client(base_url, timeout=_TIMEOUT, auth=auth)

    @classmethod
    def of(cls, settings: ConnectSettings) -> "ConnectApi":
        """Return the connector of these settings.

        Raises:
            StopPipelineError: the file with its login cannot be read.
        """
        return cls(settings.url, settings.connector_name, auth=settings.auth)

    def __enter__(self) -> "ConnectApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def config(self) -> dict[str, str] | None:
        """Return the current configuration; None if the connector does not exist."""
        config: dict[str, str] | None = self._get("config")
        return config

    def put_config(self, config: Mapping[str, str]) -> None:
        """Create or update the connector; Connect restarts its task."""
        self._request("PUT", f"/connectors/{self.name}/config", json=dict(config))

    def state(self) -> ConnectorState | None:
        """Return the state of connector and task; None if the connector does not exist."""
        status = self._get("status")
        return None if status is None else read_state(status)

    def stored(self) -> Stored:
        """Return the stored offset. Expensive: Connect reads a topic from its beginning."""
        offset = self._offset()
        is_first_snapshot = "snapshot" in offset and not offset.get("snapshot_completed")
        names = () if is_first_snapshot else _POSITIONS
        found = [offset[name] for name in names if offset.get(name) is not None]
        instant = offset.get("ts_usec")
        is_extracting = offset.get("incremental_snapshot_collections") not in (None, "", "[]")
        return Stored(
            position=max(found, default=None),
            is_first_snapshot=is_first_snapshot,
            handed_on_at=datetime.fromtimestamp(instant / 1e6, tz=UTC) if instant else None,
            extraction_id=offset.get("incremental_snapshot_correlation_id")
            if is_extracting
            else None,
        )

    def put_position(self, position: int) -> None:
        """Overwrite the stored position; the connector must be stopped.

        A running extraction is discarded.
        """
        instant = self._offset().get("ts_usec")
        offset = {"lsn": position} | ({"ts_usec": instant} if instant else {})
        entry = {"partition": {"server": self._server()}, "offset": offset}
        self._request("PATCH", f"/connectors/{self.name}/offsets", json={"offsets": [entry]})

    def is_stopped(self) -> bool:
        """Return whether it is stopped and has no task any more."""
        status = self._get("status") or {"connector": {"state": "STOPPED"}}
        return status["connector"]["state"] == "STOPPED" and not status.get("tasks")

    def stop(self) -> None:
        """Request that connector and task stop; does not wait for it. The position is kept."""
        self._request("PUT", f"/connectors/{self.name}/stop")

    def forget_position(self) -> None:
        """Delete the stored position, so that the next start takes an initial snapshot.

        The connector must be stopped.
        """
        self._request("DELETE", f"/connectors/{self.name}/offsets")

    def resume(self) -> None:
        """Resume it after a stop or a pause."""
        self._request("PUT", f"/connectors/{self.name}/resume")

    def restart_failed(self) -> None:
        """Restart the connector and its task, if they have failed."""
        query = {"includeTasks": "true", "onlyFailed": "true"}
        self._request("POST", f"/connectors/{self.name}/restart", params=query)

    def _offset(self) -> dict[str, Any]:
        stored = self._get("offsets") or {}
        offsets = [entry.get("offset") or {} for entry in stored.get("offsets", [])]
        return offsets[0] if offsets else {}

    def _server(self) -> str:
        config = self.config() or {}
        return config["topic.prefix"]

    def _get(self, what: str) -> Any | None:  # noqa: ANN401
        response = self._request("GET", f"/connectors/{self.name}/{what}", absent_is_fine=True)
        return None if response.status_code == httpx.codes.NOT_FOUND else response.json()

    def _request(
        self,
        method: str,
        path: str,
        *,
        absent_is_fine: bool = False,
        **options: Any,  # noqa: ANN401
    ) -> httpx.Response:
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            problem = f"Kafka Connect does not answer at {self.base_url}: {error}"
            if "CERTIFICATE_VERIFY_FAILED" in problem:
                raise StopPipelineError(problem, _TRUST) from error
            raise AwayError(problem, "Is it up? ./pipeline status") from error
        is_absent = absent_is_fine and response.status_code == httpx.codes.NOT_FOUND
        if response.is_success or is_absent:
            return response
        raise _refusal(response)


def read_state(status: Mapping[str, Any]) -> ConnectorState:
    """Parse Connect's response to `/status`."""
    tasks = status.get("tasks") or [{}]
    traces = (part.get("trace") for part in (tasks[0], status["connector"]))
    return ConnectorState(
        connector=status["connector"]["state"],
        task=tasks[0].get("state"),
        trace=next((trace for trace in traces if trace), None),
    )


def _refusal(response: httpx.Response) -> RetryLaterError | StopPipelineError:
    try:
        detail = str(response.json()["message"])
    except (ValueError, KeyError):
        detail = response.text[:500]
    if response.status_code in _RETRY_STATUS:
        problem = f"Kafka Connect is busy ({response.status_code}): {detail}"
        return RetryLaterError(problem, "Try again.")
    action = _LOGIN if response.status_code in _LOGIN_STATUS else ""
    return StopPipelineError(f"Kafka Connect refuses ({response.status_code}): {detail}", action)
