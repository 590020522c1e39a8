"""All checks, in the order of a report: machine, then the path of a change, then web pages."""

from collections.abc import Sequence
from dataclasses import replace

from lakehouse.contracts import MAPPING_FAULT
from stack.doctor import (
    capture,
    clock,
    lake,
    layers,
    machine,
    pages,
    readers,
    roles,
    services,
    shop,
    topics,
    users,
    warehouse,
)
from stack.doctor.model import Check
from stack.findings import unchecked, wrong_as_told


def all_checks() -> Sequence[Check]:
    """Return all checks. Of a faulty mapping, all that compare with contracts say so."""
    parts = (
        machine, clock, services, roles, users, shop, readers, capture, topics, lake, layers,
        warehouse, pages,
    )  # fmt: skip
    checks = [check for part in parts for check in part.CHECKS]
    if MAPPING_FAULT is None:
        return checks
    told, why = MAPPING_FAULT.told, unchecked("the mapping is faulty")
    fault = Check(area="shop", title="mapping", run=lambda _: [wrong_as_told(told)])
    without = {"needs": (), "run": lambda _: [why]}
    return [fault, *(replace(one, **without) if one.by_contracts else one for one in checks)]
