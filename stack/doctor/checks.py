"""All checks, in the order of a report: machine, then the path of a change, then web pages."""

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
    """Return all checks."""
    parts = (
        machine, clock, services, roles, users, shop, readers, capture, topics, lake, layers,
        warehouse, pages,
    )  # fmt: skip
    return [check for part in parts for check in part.CHECKS]
