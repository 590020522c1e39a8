"""Connector and slot, as `./pipeline connect status` sees them."""

from collections.abc import Iterator

from connectors.health import Health
from monitoring.readings import Reading


def of_health(health: Health) -> Iterator[Reading]:
    """What is known; a slot that is not there counts as lost."""
    state, slot = health.state, health.slot
    yield Reading("pipeline_connector_running", state is not None and state.is_running)
    yield Reading("pipeline_slot_active", slot is not None and slot.is_active)
    yield Reading("pipeline_slot_lost", slot is None or slot.is_lost)
    known = {
        "pipeline_slot_held_bytes": None if slot is None else slot.held_bytes,
        "pipeline_slot_limit_bytes": None if slot is None else slot.limit_bytes,
        "pipeline_capture_behind_seconds": health.lag_seconds,
    }
    for name, value in known.items():
        if value is not None:
            yield Reading(name, value)
