"""Findings of the comparison of a table, or of a slice of it."""

from dataclasses import dataclass, fields

FAULTS = ("missing", "extra", "different", "missing_versions", "missing_deletes", "duplicates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of difference: how often it occurs, and some of the keys as examples."""

    count: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Fault") -> "Fault":
        """Add the findings of two slices."""
        return Fault(count=self.count + other.count, examples=self.examples + other.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Counts that can be added up over slices of a table.

    `source_rows` are the shop's; `bronze_rows` are those that bronze's changes result in; `changes`
    are the records read. Faults: rows that bronze lacks (`missing`), should not have any more
    (`extra`), or has with other values (`different`); changes that must have happened but do not
    exist (`missing_versions`); deletes that must have happened because a row was inserted over an
    existing one (`missing_deletes`); records that exist twice (`duplicates`).
    Not faults: changes missing at a loss that was recorded and resolved (`excused`), and rows with
    a value in a column that was added after their latest change (`untold`).
    """

    source_rows: int = 0
    bronze_rows: int = 0
    changes: int = 0
    missing: Fault = Fault()
    extra: Fault = Fault()
    different: Fault = Fault()
    missing_versions: Fault = Fault()
    missing_deletes: Fault = Fault()
    duplicates: Fault = Fault()
    untold: Fault = Fault()
    excused: int = 0

    def __add__(self, other: "Findings") -> "Findings":
        """Add the findings of two slices."""
        names = [field.name for field in fields(self)]
        return Findings(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def faults(self) -> dict[str, Fault]:
        """Return the faults by name, in the order of `FAULTS`."""
        return {name: getattr(self, name) for name in FAULTS}

    @property
    def is_exact(self) -> bool:
        """Return whether there are no faults."""
        return not any(fault.count for fault in self.faults.values())
