"""Checks of change capture: connector, task and slot."""

from collections.abc import Sequence

from connectors.health import Health, check
from connectors.plain_words import HEAL
from lakehouse.errors import Problem
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check, Said, fine, wrong, wrong_as_told

_HEAL = "./pipeline connect apply --accept-loss; then ./pipeline extract --full"
_APPLY = "./pipeline connect apply"


def _capture(measurements: Measurements) -> Sequence[Said]:
    return diagnose_capture(check(measurements.config.connect, measurements.oltp("monitor")))


def diagnose_capture(health: Health) -> Sequence[Said]:
    """Diagnose whether changes flow from the shop's database to Kafka."""
    # A loss comes first: accepting it starts the connector, too.
    lost = [problem for problem in health.problems if problem.action == HEAL]
    said = [_as_told(health, problem) for problem in lost or health.problems]
    return said or [fine(f"connector and task run{_handed_on(health)}"), fine(_slot(health))]


def _as_told(health: Health, problem: Problem) -> Said:
    if problem.action == HEAL:
        return wrong(problem.problem, _HEAL)
    if health.state is not None and health.state.is_halted:
        words = f"connector {health.connector} is {health.state.connector.lower()}"
        return wrong(words, _APPLY)
    return wrong_as_told(problem)


def _handed_on(health: Health) -> str:
    if health.lag_seconds is None:
        return ""
    return f", the last change was written {health.lag_seconds:.0f} s ago"


def _slot(health: Health) -> str:
    slot = health.slot
    held = 0 if slot is None else (slot.held_bytes or 0)
    of = "" if slot is None or not slot.limit_bytes else f" of {slot.limit_bytes / 2**20:,.0f} MB"
    return f"slot {health.slot_name} is active and retains {held / 2**20:,.0f}{of or ' MB'} of WAL"


CHECKS: Sequence[Check] = [
    Check(area="capture", title="connector and slot", needs=("oltp", "connect"), run=_capture)
]
