"""Registers the connector: applied twice is applied once, and done means it runs."""

import time
from collections.abc import Callable
from pathlib import Path

from connectors.definition import render
from connectors.plain_words import explain
from connectors.rest import ConnectApi, ConnectorState
from connectors.slot import drop_slot
from connectors.topics import raise_limits
from connectors.wal_gap import WalGap, stop
from lakehouse.errors import PipelineError, RetryLaterError, StopPipelineError
from lakehouse.kafka import admin_client
from lakehouse.settings import ConnectSettings, KafkaSettings, OltpSettings

_POLL_SECONDS = 0.2


def apply(
    connect: ConnectSettings,
    oltp: OltpSettings,
    kafka: KafkaSettings,
    secrets_file: Path,
    *,
    timeout_seconds: float = 90,
) -> bool:
    """Bring the connector to its definition, its topics to its limits; wait until it runs.

    Args:
        connect: where Connect is, and the connector's name and settings.
        oltp: the database to capture.
        kafka: where the topics are.
        secrets_file: properties file that Connect reads `debezium.password` from.
        timeout_seconds: longest wait for Connect, its connector and its task.

    Returns:
        Whether the definition changed.

    Raises:
        StopPipelineError: the connector fails; the message says why in plain words.
        RetryLaterError: Connect or Kafka is away, or the task does not run in time.
    """
    deadline = time.monotonic() + timeout_seconds
    config = render(connect, oltp, secrets_file)
    raise_limits(
        admin_client(kafka.bootstrap_servers), connect.topic_prefix, connect.topic_max_bytes
    )
    with ConnectApi(connect.url, connect.connector_name) as api:
        is_changed = _put_if_changed(api, config, deadline)
        _wait_until_running(api, deadline)
    return is_changed


def resnapshot(
    connect: ConnectSettings,
    replication_dsn: str,
    *,
    record: Callable[[WalGap], object],
    timeout_seconds: float = 90,
) -> None:
    """Let the connector forget its position and its slot, and read all tables again.

    Every row is written to Kafka once more, as a snapshot's (`r`). What was deleted meanwhile is
    not told by anybody.

    Args:
        connect: where Connect is; names of connector and slot.
        replication_dsn: a role that may drop the slot.
        record: told what is lost by it, before the slot goes, while nothing is written to Kafka.
        timeout_seconds: longest wait for it to stop, and again for it to run.

    Raises:
        StopPipelineError: the connector fails; the message says why in plain words.
        RetryLaterError: something is away, or takes too long; doing it again is safe.
    """
    with ConnectApi(connect.url, connect.connector_name) as api:
        stop(api, timeout_seconds=timeout_seconds)
        position = api.stored().position
        if position is not None:
            record(WalGap(last=position, first=None))
        _forget(api, time.monotonic() + timeout_seconds)
        drop_slot(replication_dsn, connect.slot_name)
        api.resume()
        _wait_until_running(api, time.monotonic() + timeout_seconds)


def _forget(api: ConnectApi, deadline: float) -> None:
    while True:
        try:
            api.forget_position()
        except PipelineError:
            # Refused until the task has stopped.
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def _put_if_changed(api: ConnectApi, config: dict[str, str], deadline: float) -> bool:
    while True:
        try:
            now = api.config()
            if now is not None and {k: v for k, v in now.items() if k != "name"} == config:
                _set_going(api)
                return False
            api.put_config(config)
            _set_going(api)
        except RetryLaterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        except StopPipelineError as error:
            raise StopPipelineError(explain(str(error))) from error
        else:
            return True


def _set_going(api: ConnectApi) -> None:
    state = api.state()
    if state is not None and state.is_halted:
        api.resume()
    elif state is not None and state.is_failed:
        api.restart_failed()


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
