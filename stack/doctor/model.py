"""Checks: what each one needs, and what it reads and diagnoses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stack.doctor.measurements import Measurements
from stack.findings import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        area: heading in the report.
        title: subject of the check.
        needs: services that must answer for it to run.
        by_contracts: whether it compares with contracts, which a faulty mapping leaves unknown.
        run: reads and diagnoses; returns at least one result. If it raises, the finding is
            "not checked".
    """

    area: str
    title: str
    needs: tuple[str, ...] = ()
    by_contracts: bool = False
    run: Callable[[Measurements], Sequence[Said]]
