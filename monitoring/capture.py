"""Probe of connector and slot, from the data of `./pipeline connect status`."""

from collections.abc import Iterator

from connectors.health import Health
from connectors.slot import Slot, read_slot
from monitoring.metrics import Sample


def of_connector(health: Health) -> Iterator[Sample]:
    """Return the connector's state; without an answer of Connect it counts as not running."""
    state = health.state
    yield Sample("pipeline_connector_running", state is not None and state.is_running)
    if health.lag_seconds is not None:
        yield Sample("pipeline_capture_behind_seconds", health.lag_seconds)


def measure_slot(monitor_dsn: str, name: str) -> Iterator[Sample]:
    """Return the slot's state in the shop's database.

    Raises:
        PipelineError: the database cannot be queried, so the state of the slot is unknown.
    """
    return of_slot(read_slot(monitor_dsn, name))


def of_slot(slot: Slot | None) -> Iterator[Sample]:
    """Return the samples of connector and slot; a missing slot counts as lost."""
    yield Sample("pipeline_slot_active", slot is not None and slot.is_active)
    yield Sample("pipeline_slot_lost", slot is None or slot.is_lost)
    known = {
        "pipeline_slot_held_bytes": None if slot is None else slot.held_bytes,
        "pipeline_slot_limit_bytes": None if slot is None else slot.limit_bytes,
    }
    for name, value in known.items():
        if value is not None:
            yield Sample(name, value)
