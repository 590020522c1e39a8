"""Checks of change capture: connector, task, slot and masks."""

from collections.abc import Mapping, Sequence

from connectors.health import Health, check
from connectors.masks import (
    Catalog,
    Masks,
    differing,
    hindrances,
    masked_catalog,
    masks_in_effect,
    masks_of,
)
from connectors.plain_words import HEAL
from lakehouse.contracts.files import ContractFile, read_files
from lakehouse.errors import Problem
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, note, wrong, wrong_as_told

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


def _masks(measurements: Measurements) -> Sequence[Said]:
    config = measurements.config
    files = read_files(config.contracts.dir)
    applied = masks_in_effect(config.connect)
    if not (masks_of(files) or applied):
        return [fine("no contract file masks a column")]
    return diagnose_masks(files, applied, masked_catalog(measurements.oltp("monitor")))


def diagnose_masks(
    files: Mapping[str, ContractFile], applied: Masks, catalog: Catalog
) -> Sequence[Said]:
    """Diagnose whether the connector masks what contract files say, and the shop still has it.

    Args:
        files: contract files by table.
        applied: masks in the connector's configuration.
        catalog: the shop's columns.
    """
    asked = masks_of(files)
    said = []
    if others := differing(asked, applied):
        words = f"the connector does not mask {', '.join(others)} as the contract files say"
        said.append(wrong(words, _APPLY))
    # A column that was renamed is captured as it is, under its new name.
    said += [
        wrong(f"{one.problem}, which is to be masked", f"correct the contract file; then {_APPLY}")
        for one in hindrances({**asked, **applied}, catalog)
    ]
    said += [
        note(f"the shop has no table {table}: its masks apply once it is created")
        for table in sorted({*asked, *applied} - {*catalog})
    ]
    number = sum(map(len, applied.values()))
    return said or [fine(f"{number} columns are masked, as contract files say")]


CHECKS: Sequence[Check] = [
    Check(area="capture", title="connector and slot", needs=("oltp", "connect"), run=_capture),
    Check(area="capture", title="masks", needs=("oltp", "connect"), run=_masks),
]
