"""Findings of the comparison of a layer with the one below, and comparison of two frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import polars as pl

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from lakehouse.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class InNoFact:
    """Money of orders whose lines are missing. Not a fault: it belongs to no line.

    `orders` that count and have such money; `total_cents` of their totals and `refund_cents` of
    their refunds, in the base currency.
    """

    orders: Fault = field(default_factory=Fault)
    total_cents: int = 0
    refund_cents: int = 0

    def __add__(self, other: "InNoFact") -> "InNoFact":
        """Add the amounts of two parts."""
        names = [f.name for f in fields(self)]
        return InNoFact(**{n: getattr(self, n) + getattr(other, n) for n in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFindings:
    """Counts of one table that can be added up over its parts.

    `expected_rows` follow from the layer below, `rows` exist. `changes` were read from below;
    of these `quarantined` are quarantined, and `unaccounted` are neither used nor quarantined, or
    both. Not faults: current rows with a value that counts as unknown (`unknown`), and payments
    above the largest amount allowed (`out_of_range`), which are in no sum. `in_no_fact`
    is money that rows of this grain cannot hold.
    """

    expected_rows: int = 0
    rows: int = 0
    changes: int = 0
    quarantined: int = 0
    unknown: int = 0
    out_of_range: int = 0
    missing: Fault = field(default_factory=Fault)
    extra: Fault = field(default_factory=Fault)
    different: Fault = field(default_factory=Fault)
    unaccounted: Fault = field(default_factory=Fault)
    in_no_fact: InNoFact = field(default_factory=InNoFact)

    def __add__(self, other: "LayerFindings") -> "LayerFindings":
        """Add the findings of two parts."""
        names = [f.name for f in fields(self)]
        return LayerFindings(**{n: getattr(self, n) + getattr(other, n) for n in names})

    @property
    def faults(self) -> dict[str, Fault]:
        """Return the faults by name."""
        names = ("missing", "extra", "different", "unaccounted")
        return {name: getattr(self, name) for name in names}

    @property
    def is_exact(self) -> bool:
        """Return whether there are no faults."""
        return not any(fault.count for fault in self.faults.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One table of a layer, compared with what should follow from the layer below.

    `note` is the reason if the table was not compared.
    """

    layer: str
    table: str
    findings: LayerFindings
    seconds: float
    note: str = ""

    @classmethod
    def not_compared(cls, layer: str, table: str, why: str) -> "LayerReport":
        """Report a table that does not exist, or that has nothing to be compared with."""
        return cls(layer=layer, table=table, findings=LayerFindings(), seconds=0.0, note=why)

    @property
    def is_compared(self) -> bool:
        """Return whether the table was compared."""
        return not self.note

    def to_json(self) -> dict[str, object]:
        """Return counts by name, and keys of faults."""
        found = self.findings
        outside = found.in_no_fact
        return {
            "layer": self.layer,
            "table": self.table,
            "rows": found.rows,
            "expected_rows": found.expected_rows,
            "changes": found.changes,
            "quarantined": found.quarantined,
            "unknown": found.unknown,
            "out_of_range": found.out_of_range,
            **{name: fault.count for name, fault in found.faults.items()},
            "examples": {name: f.examples for name, f in found.faults.items() if f.count},
            "in_no_fact": {
                "orders": outside.orders.count,
                "total_cents": outside.total_cents,
                "refund_cents": outside.refund_cents,
                "examples": outside.orders.examples,
            },
            "note": self.note,
            "seconds": round(self.seconds, 3),
        }


def is_made(lake: Lake, names: Iterable[str]) -> bool:
    """Return whether any of these silver tables exists.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return any(lake.open("silver", name) is not None for name in names)


def compare_frames(
    expected: pl.DataFrame, found: pl.DataFrame, key: Sequence[str], examples: Examples
) -> LayerFindings:
    """Compare two frames with the same columns, row by row, value by value.

    Args:
        expected: the rows that should exist.
        found: the rows that exist.
        key: the columns that identify a row.
        examples: number of keys to report.
    """
    label = pl.concat_str([pl.col(name).cast(pl.String) for name in key], separator="/")
    keyed = expected.with_columns(key=label), found.with_columns(key=label)
    values = [name for name in expected.columns if name not in key]
    both = keyed[0].join(keyed[1], on=list(key), how="inner", suffix=":found", nulls_equal=True)
    unequal = [
        pl.when(pl.col(name).ne_missing(pl.col(f"{name}:found"))).then(pl.lit(name))
        for name in values
    ]
    named = both.with_columns(_names=pl.concat_str(unequal or [pl.lit("")], separator=", ",
                                                   ignore_nulls=True))  # fmt: skip
    differing = named.filter(pl.col("_names") != "").select(
        key=pl.concat_str("key", pl.lit(" ("), "_names", pl.lit(")"))
    )
    repeated = keyed[1].filter(pl.struct(key).is_duplicated())
    surplus = keyed[1].join(keyed[0], on=list(key), how="anti", nulls_equal=True)
    return LayerFindings(
        expected_rows=expected.height,
        rows=found.height,
        missing=examples.fault(keyed[0].join(keyed[1], on=list(key), how="anti", nulls_equal=True)),
        extra=examples.fault(pl.concat([surplus, repeated])),
        different=examples.fault(differing),
    )
