"""What comparing a table, or a slice of it, has found."""

from dataclasses import dataclass, fields

FAULTS = ("missing", "extra", "different", "missing_versions", "missing_deletes", "duplicates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault: how often, and some of the keys, for a person to look up."""

    count: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Fault") -> "Fault":
        """Both together."""
        return Fault(count=self.count + other.count, examples=self.examples + other.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Counts that add up over slices of a table.

    `source_rows` are the shop's; `bronze_rows` those that bronze's changes add up to; `changes`
    the records they were read from. The faults: rows that bronze lacks (`missing`), should not
    have any more (`extra`), or has with other values (`different`); changes that must have
    happened and are not there (`missing_versions`), of which a row that was inserted over a living
    one proves that its delete is (`missing_deletes`); records that are there twice (`duplicates`).
    No fault: changes that are missing where a loss was recorded and mended (`excused`).
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
    excused: int = 0

    def __add__(self, other: "Findings") -> "Findings":
        """Both together."""
        names = [field.name for field in fields(self)]
        return Findings(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def faults(self) -> dict[str, Fault]:
        """By name, in the order of `FAULTS`."""
        return {name: getattr(self, name) for name in FAULTS}

    @property
    def is_exact(self) -> bool:
        """Whether nothing is wrong."""
        return not any(fault.count for fault in self.faults.values())
