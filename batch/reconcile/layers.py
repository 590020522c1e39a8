"""What comparing a layer with the one below has found, and how two frames are compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import polars as pl

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from lakehouse.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class InNoFact:
    """Money of orders that belongs to lines which are not here. No fault: so much has no line.

    `orders` that count and have such money; of their totals `total_cents` and of their refunds
    `refund_cents`, in the base currency.
    """

    orders: Fault = field(default_factory=Fault)
    total_cents: int = 0
    refund_cents: int = 0

    def __add__(self, other: "InNoFact") -> "InNoFact":
        """Both together."""
        names = [f.name for f in fields(self)]
        return InNoFact(**{n: getattr(self, n) + getattr(other, n) for n in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFindings:
    """Counts of one table, that add up over its parts.

    `expected_rows` follow from the layer below, `rows` are there. `changes` were read from below;
    of these `quarantined` are quarantined, and `unaccounted` are neither used nor quarantined, or
    both. No fault: current rows that follow with a value that counts as unknown (`unknown`), and
    payments worth more than any amount may be (`out_of_range`), which are in no sum. `in_no_fact`
    is what rows of this grain cannot hold.
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
        """Both together."""
        names = [f.name for f in fields(self)]
        return LayerFindings(**{n: getattr(self, n) + getattr(other, n) for n in names})

    @property
    def faults(self) -> dict[str, Fault]:
        """By name."""
        names = ("missing", "extra", "different", "unaccounted")
        return {name: getattr(self, name) for name in names}

    @property
    def is_exact(self) -> bool:
        """Whether nothing is wrong."""
        return not any(fault.count for fault in self.faults.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One table of a layer, compared with what the layer below says that it should be.

    `note` says why a table was not compared, if it was not.
    """

    layer: str
    table: str
    findings: LayerFindings
    seconds: float
    note: str = ""

    @classmethod
    def not_compared(cls, layer: str, table: str, why: str) -> "LayerReport":
        """Of a table that there was nothing to compare with, or that is not there yet."""
        return cls(layer=layer, table=table, findings=LayerFindings(), seconds=0.0, note=why)

    @property
    def is_compared(self) -> bool:
        """Whether its findings say anything."""
        return not self.note

    def to_json(self) -> dict[str, object]:
        """Counts by name, and keys of what is wrong."""
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
    """Whether there is any of these silver tables.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    return any(lake.open("silver", name) is not None for name in names)


def compare_frames(
    expected: pl.DataFrame, found: pl.DataFrame, key: Sequence[str], examples: Examples
) -> LayerFindings:
    """Compare two frames of the same columns, row by row, value by value.

    Args:
        expected: what should be.
        found: what is.
        key: the columns that identify a row.
        examples: how many keys to name.
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
