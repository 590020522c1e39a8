"""Connector and slot, as `./pipeline connect status` sees them."""

from collections.abc import Iterator

from connectors.health import Health
from connectors.slot import Slot, read_slot
from monitoring.metrics import Sample


def of_connector(health: Health) -> Iterator[Sample]:
    """What Connect says; one that does not answer does not run."""
    state = health.state
    yield Sample("pipeline_connector_running", state is not None and state.is_running)
    if health.lag_seconds is not None:
        yield Sample("pipeline_capture_behind_seconds", health.lag_seconds)


def measure_slot(monitor_dsn: str, name: str) -> Iterator[Sample]:
    """What the shop's database says of the slot.

    Raises:
        PipelineError: it cannot be asked, so nobody knows whether the slot is there.
    """
    return of_slot(read_slot(monitor_dsn, name))


def of_slot(slot: Slot | None) -> Iterator[Sample]:
    """What is known; a slot that is not there counts as lost."""
    yield Sample("pipeline_slot_active", slot is not None and slot.is_active)
    yield Sample("pipeline_slot_lost", slot is None or slot.is_lost)
    known = {
        "pipeline_slot_held_bytes": None if slot is None else slot.held_bytes,
        "pipeline_slot_limit_bytes": None if slot is None else slot.limit_bytes,
    }
    for name, value in known.items():
        if value is not None:
            yield Sample(name, value)
