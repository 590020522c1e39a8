"""Registration of the connector. Idempotent; it returns once the connector runs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from connectors.definition import render
from connectors.masks import Masks, masks_in
from connectors.partitions import with_snapshot
from connectors.plain_words import explain
from connectors.rest import ConnectApi, ConnectorState
from connectors.slot import drop_slot
from connectors.topics import raise_limits
from connectors.wal_gap import WalGap, stop
from lakehouse.errors import PipelineError, Problem, RetryLaterError, StopPipelineError
from lakehouse.kafka import admin_client
from lakehouse.settings import ConnectSettings, KafkaSettings, OltpSettings

_POLL_SECONDS = 0.2
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is captured of the shop's rows.

    Attributes:
        snapshot: what an initial snapshot reads, see `connectors.partitions.snapshot_config`.
        masks: columns to mask, which were checked against the shop's catalog.
    """

    snapshot: Mapping[str, str] = field(default_factory=dict)
    masks: Masks = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What `apply` did.

    Attributes:
        is_changed: whether the configuration changed.
        masks_before: what the connector masked before; None if it was not registered.
    """

    is_changed: bool
    masks_before: Masks | None


def apply(
    connect: ConnectSettings,
    oltp: OltpSettings,
    kafka: KafkaSettings,
    secrets_file: Path,
    content: Content,
    *,
    timeout_seconds: float = 90,
) -> Applied:
    """Create or update the connector and the limits of its topics; wait until it runs.

    Args:
        connect: address of Connect, and the connector's name and settings.
        oltp: the database to capture, as Connect reaches it.
        kafka: the broker that has the topics.
        secrets_file: properties file that Connect reads `debezium.password` and `mask.salt` from.
        content: what is captured.
        timeout_seconds: maximum wait for Connect, its connector and its task.

    Raises:
        StopPipelineError: the connector fails; the message explains why.
        RetryLaterError: Connect or Kafka is unavailable, or the task does not run in time.
    """
    deadline = time.monotonic() + timeout_seconds
    config = with_snapshot(render(connect, oltp, secrets_file, content.masks), content.snapshot)
    raise_limits(admin_client(kafka.client), connect.topic_prefix, connect.topic_max_bytes)
    with ConnectApi.of(connect) as api:
        applied = _put_if_changed(api, config, deadline)
        _wait_until_running(api, deadline)
    return applied


def resnapshot(
    connect: ConnectSettings,
    replication_dsn: str,
    snapshot: Mapping[str, str],
    *,
    record: Callable[[WalGap], object],
    timeout_seconds: float = 90,
) -> None:
    """Delete the connector's offsets and its slot, so that it snapshots all tables again.

    Every row is written to Kafka again, with operation `r`. Rows that were deleted in the meantime
    are not reported by the snapshot.

    Args:
        connect: address of Connect; names of connector and slot.
        replication_dsn: a role that may drop the slot.
        snapshot: what the snapshot reads, see `connectors.partitions.snapshot_config`.
        record: called with the lost changes before the slot is dropped, while the connector is
            stopped.
        timeout_seconds: maximum wait for it to stop, and again for it to run.

    Raises:
        StopPipelineError: the connector fails; the message explains why.
        RetryLaterError: a service is unavailable or too slow; repeating is safe.
    """
    with ConnectApi.of(connect) as api:
        stop(api, timeout_seconds=timeout_seconds)
        position = api.stored().position
        if position is not None:
            record(WalGap(last=position, first=None))
        _forget(api, time.monotonic() + timeout_seconds)
        drop_slot(replication_dsn, connect.slot_name)
        config = api.config()
        if config is not None:
            api.put_config(with_snapshot(config, snapshot))
        api.resume()
        _wait_until_running(api, time.monotonic() + timeout_seconds)


def _forget(api: ConnectApi, deadline: float) -> None:
    while True:
        try:
            api.forget_position()
        except PipelineError:
            # Connect refuses this until the task has stopped.
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def _put_if_changed(api: ConnectApi, config: dict[str, str], deadline: float) -> Applied:
    before = _when_ready(lambda: _config(api), deadline)

    def put() -> None:
        now = _config(api)
        if now is not None and now != config:
            # Otherwise Connect says that the task runs while the former one still does, which
            # would let pass what is to be masked.
            stop(api, timeout_seconds=deadline - time.monotonic())
        if now != config:
            api.put_config(config)
        state = api.state()
        if state is not None and state.is_failed and not state.is_halted:
            api.restart_failed()

    _when_ready(put, deadline)
    masks_before = None if before is None else masks_in(before)
    return Applied(is_changed=before != config, masks_before=masks_before)


def _config(api: ConnectApi) -> dict[str, str] | None:
    config = api.config()
    return None if config is None else {k: v for k, v in config.items() if k != "name"}


def _when_ready(ask: Callable[[], Answer], deadline: float) -> Answer:
    """Ask Connect again as long as it is unavailable or busy."""
    while True:
        try:
            return ask()
        except RetryLaterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        except StopPipelineError as error:
            raise StopPipelineError(explain(str(error))) from error


def _wait_until_running(api: ConnectApi, deadline: float) -> None:
    state: ConnectorState | None = None
    failures = 0
    while time.monotonic() < deadline:
        try:
            state = api.state()
            if state is not None and state.is_halted:
                # Here, until it runs: just after a change Connect may report an older state.
                api.resume()
        except RetryLaterError:
            state = None
        if state is not None and state.is_running:
            return
        # After a restart Connect reports the old failure for a moment.
        failures = failures + 1 if state is not None and state.is_failed else 0
        if state is not None and failures * _POLL_SECONDS > 3:
            raise StopPipelineError(_failed(api, state))
        time.sleep(_POLL_SECONDS)
    problem = f"Connector {api.name} at {api.base_url} does not run yet: {state or 'no answer'}"
    raise RetryLaterError(problem, "See ./pipeline logs connect, then ./pipeline connect status")


def _failed(api: ConnectApi, state: ConnectorState) -> Problem:
    known = explain(state.trace or "Connect gives no reason")
    return Problem(f"Connector {api.name} fails: {known.problem}", known.action)
