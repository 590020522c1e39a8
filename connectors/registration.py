"""Registers the connector: applied twice is applied once, and done means it runs."""

import time
from pathlib import Path

from connectors.definition import render
from connectors.plain_words import explain
from connectors.rest import ConnectApi, ConnectorState
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.settings import ConnectSettings, OltpSettings

_POLL_SECONDS = 0.2


def apply(
    connect: ConnectSettings, oltp: OltpSettings, secrets_file: Path, *, timeout_seconds: float = 90
) -> bool:
    """Bring the connector to its definition and wait until it runs.

    Args:
        connect: where Connect is, and the connector's name and settings.
        oltp: the database to capture.
        secrets_file: properties file that Connect reads `debezium.password` from.
        timeout_seconds: longest wait for Connect, its connector and its task.

    Returns:
        Whether the definition changed.

    Raises:
        StopPipelineError: the connector fails; the message says why in plain words.
        RetryLaterError: Connect is away, or the task does not run in time.
    """
    deadline = time.monotonic() + timeout_seconds
    config = render(connect, oltp, secrets_file)
    with ConnectApi(connect.url, connect.connector_name) as api:
        is_changed = _put_if_changed(api, config, deadline)
        _wait_until_running(api, deadline)
    return is_changed


def _put_if_changed(api: ConnectApi, config: dict[str, str], deadline: float) -> bool:
    while True:
        try:
            now = api.config()
            if now is not None and {k: v for k, v in now.items() if k != "name"} == config:
                state = api.state()
                if state is not None and state.is_failed:
                    api.restart_failed()
                return False
            api.put_config(config)
        except RetryLaterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        except StopPipelineError as error:
            raise StopPipelineError(explain(str(error))) from error
        else:
            return True


def _wait_until_running(api: ConnectApi, deadline: float) -> None:
    state: ConnectorState | None = None
    failures = 0
    while time.monotonic() < deadline:
        try:
            state = api.state()
        except RetryLaterError:
            state = None
        if state is not None and state.is_running:
            return
        # A restart shows the old failure for a moment.
        failures = failures + 1 if state is not None and state.is_failed else 0
        if state is not None and failures * _POLL_SECONDS > 3:
            raise StopPipelineError(_failed(api, state))
        time.sleep(_POLL_SECONDS)
    message = (
        f"Connector {api.name} at {api.base_url} does not run yet: {state or 'no answer'}. "
        "See ./pipeline logs connect, then ./pipeline connect status"
    )
    raise RetryLaterError(message)


def _failed(api: ConnectApi, state: ConnectorState) -> str:
    return f"Connector {api.name} fails: {explain(state.trace or 'Connect gives no reason')}"
