"""The result of a reconciliation."""

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from batch.catalogue import LayerBehind, in_a_sentence
from batch.reconcile.findings import FAULTS, Fault, Findings
from batch.reconcile.layers import InNoFact, LayerReport
from lakehouse.errors import RetryLaterError, StopPipelineError

_LAYERS = {"silver": "silver", "warehouse": "the warehouse", "gold": "gold"}
"""Names of layers in messages, in the order in which they are built."""
_CAUSES = {
    "missing_deletes": (
        "inserted again over a row without a delete, as after a TRUNCATE that was not captured"
    ),
}
"""The cause of a fault in bronze, where it is known."""
_EXCUSED = (
    " Except {:,} changes in between, lost in a WAL gap or by a TRUNCATE, as recorded in "
    "bronze/_loss_ledger."
)
_UNTOLD = (
    " Warning: {:,} rows have values in columns that were added after their latest change, which "
    "no change tells ({}): ./pipeline extract {} --full reads them; of a table with a generated "
    "column, which Debezium cannot extract, an update of these rows in the shop does."
)
_UNKNOWN = " Warning: {:,} rows have values that are in no list: see mart.unknown_values."
_OUT_OF_RANGE = (
    " Warning: {:,} payments or refunds exceed the largest amount allowed and are in no sum: their "
    "base_amount_cents in mart.fact_payments is null."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """Result of one table. `bronze` is the bronze table's name, `seconds` the duration.

    `not_compared` are columns whose types have no comparable text. `is_dropped`: the shop has
    dropped the table, and bronze keeps its changes. `note` is the reason if the table could not be
    compared; `may_pass` whether a retry may help. `has_key`: it can be extracted.
    """

    table: str
    bronze: str
    findings: Findings
    seconds: float
    not_compared: tuple[str, ...] = ()
    is_dropped: bool = False
    note: str = ""
    may_pass: bool = False
    has_key: bool = True

    @property
    def is_compared(self) -> bool:
        """Return whether the table was compared."""
        return not self.note

    @property
    def needs_rows(self) -> bool:
        """Return whether extracting its rows again helps: they differ, or ended without deletes."""
        found = self.findings
        faults = (found.missing, found.extra, found.different, found.missing_deletes)
        return any(fault.count for fault in faults)

    @property
    def has_other_changes(self) -> bool:
        """Return whether changes of its rows are missing or duplicated."""
        return any(
            fault.count for fault in (self.findings.missing_versions, self.findings.duplicates)
        )

    def to_json(self) -> dict[str, object]:
        """Return counts by name, and keys of faults."""
        found = self.findings
        return {
            "table": self.table,
            "source_rows": found.source_rows,
            "bronze_rows": found.bronze_rows,
            **{name: found.faults[name].count for name in FAULTS},
            "changes": found.changes,
            "excused_versions": found.excused,
            "untold": found.untold.count,
            "examples": {name: f.examples for name, f in found.faults.items() if f.count},
            "not_compared": self.not_compared,
            "is_dropped": self.is_dropped,
            "note": self.note,
            "bronze_table": self.bronze,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """Time of the comparison: Postgres' snapshot, WAL position and clock."""

    snapshot: str
    lsn: str
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Results of all shop tables, by name, and of all layers above bronze.

    A layer is compared as of the changes that it has applied, not as of the snapshot. A table that
    could not be compared has a note.
    """

    tables: tuple[TableReport, ...]
    snapshot: SnapshotReport
    seconds: float
    layers: tuple[LayerReport, ...] = ()
    behind: tuple[LayerBehind, ...] = ()
    """How far each layer is behind the one below: the state that was compared."""

    @property
    def exact(self) -> bool:
        """Return whether bronze has every change of every row once, and compared layers agree."""
        return not self.is_faulty and not self._unreadable()

    @property
    def is_faulty(self) -> bool:
        """Return whether anything that was compared has a fault."""
        is_bronze_exact = all(table.findings.is_exact for table in self.tables)
        return not (is_bronze_exact and all(one.findings.is_exact for one in self.layers))

    def require_exact(self) -> None:
        """Raise unless all layers were compared, and all are exact.

        Raises:
            StopPipelineError: there are differences, or the shop hides rows of a table.
            RetryLaterError: another program has changed one layer but not yet the next, so that
                they cannot be compared.
        """
        if self.is_faulty:
            message = f"{self.verdict()}\nRun ./pipeline reconcile before and after repairs."
            raise StopPipelineError(message)
        self.require_all()

    def require_all(self) -> None:
        """Raise unless all layers were compared.

        If bronze is empty, silver is rightly empty, and there is no warehouse and no gold.

        Raises:
            StopPipelineError: the shop hides rows of a table.
            RetryLaterError: something was not compared; a consolidation makes it comparable, or
                a retry.
        """
        if any(table.note and not table.may_pass for table in self.tables):
            message = f"Cannot tell whether bronze is exact. {' '.join(self._unreadable())}"
            raise StopPipelineError(message)
        if unreadable := self._unreadable():
            message = f"Cannot tell whether bronze is exact now. {' '.join(unreadable)}"
            raise RetryLaterError(message)
        if lacking := self._not_compared():
            message = f"Cannot tell whether all layers are exact.{lacking} Then reconcile again."
            raise RetryLaterError(message)

    def to_json(self) -> dict[str, object]:
        """Return what `./pipeline reconcile --format json` prints."""
        return {
            "exact": self.exact,
            "tables": [table.to_json() for table in self.tables],
            "layers": [layer.to_json() for layer in self.layers],
            "behind": [layer.to_json() for layer in self.behind],
            "snapshot": asdict(self.snapshot),
            "seconds": round(self.seconds, 3),
        }

    def verdict(self) -> str:
        """Summarize the result: the state that was compared, then one line, or one per fault."""
        # Each layer was compared as of what it has applied.
        behind = [in_a_sentence(self.behind)] if self.behind else []
        return "\n".join([*behind, self._verdict()])

    def _verdict(self) -> str:
        if self.exact:
            changes = sum(table.findings.changes for table in self.tables)
            count = sum(not table.is_dropped for table in self.tables)
            excused = _if_any(_EXCUSED, (table.findings.excused for table in self.tables))
            return (
                f"Exact: bronze holds every change of every row of {count} tables, once "
                f"({changes:,} changes).{excused}{self._untold()}{self._of_layers()}"
            )
        if not self.is_faulty:
            return "\n".join(["Cannot tell whether bronze is exact.", *self._unreadable()])
        lines = [
            f"{_counted(one.table, name, fault)}{_cause(name)}"
            for one in self.tables
            for name, fault in one.findings.faults.items()
            if fault.count
        ]
        lines += [
            _counted(f"{one.layer} {one.table}", name, fault)
            for one in self.layers
            for name, fault in one.findings.faults.items()
            if fault.count
        ]
        lines += self._unreadable()
        told = (self._untold(), self._in_no_fact(), self._not_compared())
        lines += [text.strip() for text in told if text]
        lines += self._advice()
        return "Not exact.\n" + "\n".join(lines)

    def _untold(self) -> str:
        found = {one.table: one.findings.untold for one in self.tables if one.findings.untold.count}
        if not found:
            return ""
        named = "; ".join(f"{table} {_named(fault)}" for table, fault in found.items())
        tables = " ".join(shlex.quote(table) for table in found)
        return _UNTOLD.format(sum(fault.count for fault in found.values()), named, tables)

    def _advice(self) -> list[str]:
        """Return commands that repair the faults, from bronze upwards."""
        lines = []
        of_rows = [table for table in self.tables if table.needs_rows and not table.is_dropped]
        if keyed := [shlex.quote(table.table) for table in of_rows if table.has_key]:
            lines.append(
                f"./pipeline extract {' '.join(keyed)} --full extracts rows again, such as those "
                "that `alter table` has rewritten without log entries, and finds missed deletes."
            )
        if keyless := [table.table for table in of_rows if not table.has_key]:
            lines.append(
                f"./pipeline connect resnapshot extracts {', '.join(keyless)} and all others: "
                "tables without a primary key cannot be extracted alone."
            )
        if any(table.has_other_changes for table in self.tables):
            lines.append("./pipeline replay --into bronze --all restores what Kafka still has.")
        faulty = [one.layer for one in self.layers if not one.findings.is_exact]
        if faulty:
            lowest = next(layer for layer in _LAYERS if layer in faulty)
            lines.append(f"./pipeline rebuild --layer {lowest} rebuilds {_LAYERS[lowest]}.")
        return lines

    def _unreadable(self) -> list[str]:
        """Return the shop tables that could not be compared, and why."""
        return [
            f"{table.table} was not compared: {table.note}"
            for table in self.tables
            if not table.is_compared
        ]

    def _of_layers(self) -> str:
        compared = [one for one in self.layers if one.is_compared]
        if not compared:
            return self._not_compared()
        names = [self._name(layer) for layer in _LAYERS if any(c.layer == layer for c in compared)]
        listed = " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
        verb = "are" if len(names) > 1 else "is"
        quarantined = sum(one.findings.quarantined for one in compared)
        unknown = _if_any(_UNKNOWN, (one.findings.unknown for one in self.layers))
        beyond = _if_any(_OUT_OF_RANGE, (one.findings.out_of_range for one in self.layers))
        return (
            f" {listed[0].upper()}{listed[1:]} {verb} what follows from it, to the cent; "
            f"{quarantined:,} changes are quarantined, each accounted for.{self._in_no_fact()}"
            f"{unknown}{beyond}{self._not_compared()}"
        )

    def _in_no_fact(self) -> str:
        """Return how much money of orders is on no line; "" if all is."""
        outside = sum((one.findings.in_no_fact for one in self.layers), start=InNoFact())
        if not outside.orders.count:
            return ""
        return (
            f" In no fact: {_money(outside.total_cents)} of the totals and "
            f"{_money(outside.refund_cents)} of the refunds of {outside.orders.count:,} orders, in "
            "the base currency: their lines are delayed, quarantined, were never written, or add "
            f"up to less (orders {_named(outside.orders)})."
        )

    def _name(self, layer: str) -> str:
        is_whole = all(one.is_compared for one in self.layers if one.layer == layer)
        return _LAYERS[layer] if is_whole else f"{_LAYERS[layer]} in part"

    def _not_compared(self) -> str:
        """Return what was not compared, and why; "" if all was."""
        lacking = [one for one in self.layers if not one.is_compared]
        named = [
            f"{_LAYERS[layer]} ({', '.join(one.table for one in group)}): {note}"
            for (layer, note), group in groupby(lacking, key=lambda one: (one.layer, one.note))
        ]
        return f" Not compared: {'; '.join(named)}. Run ./pipeline consolidate." if named else ""


def _counted(table: str, name: str, fault: Fault) -> str:
    return f"{table}: {fault.count:,} {name.replace('_', ' ')}: {_named(fault)}"


def _if_any(sentence: str, counts: Iterable[int]) -> str:
    """Return a sentence with the total; "" if it is 0."""
    total = sum(counts)
    return sentence.format(total) if total else ""


def _cause(name: str) -> str:
    return f" ({_CAUSES[name]})" if name in _CAUSES else ""


def _money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):,.2f}"


def _named(fault: Fault) -> str:
    more = fault.count - len(fault.examples)
    return ", ".join(fault.examples) + (f" and {more:,} more" if more > 0 else "")
