"""All checks, in the order of a report: from the machine along the way of a change to the pages."""

from collections.abc import Sequence

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


def all_checks() -> Sequence[Check]:
    """Every check there is."""
    parts = (
        machine, clock, services, roles, users, shop, readers, capture, topics, lake, layers,
        warehouse, pages,
    )  # fmt: skip
    return [check for part in parts for check in part.checks()]
