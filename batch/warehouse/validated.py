"""Changes that silver has validated since the last load, and the limit of quarantined ones.

Silver counts a change once, when it is first validated, so its totals only grow, even if files
are compacted. A load stores the totals in the transaction that publishes it. Changes of a failed
load are therefore checked again by the next one, together with newer ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl
import psycopg

from batch.warehouse.pinned import Pinned, PinnedDelta
from lakehouse.delta import scan
from lakehouse.settings import ConsolidationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """Numbers of changes that silver has seen, and quarantined."""

    seen: int = 0
    quarantined: int = 0

    @property
    def share(self) -> float | None:
        """Return the quarantined share; None if nothing was seen."""
        return self.quarantined / self.seen if self.seen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineLimit:
    """Limit of quarantined changes for publishing a load.

    Attributes:
        max_share: largest quarantined share of the changes since the last published load.
        min_changes: with fewer changes, the share only causes a warning.
    """

    max_share: float
    min_changes: int = 100

    @classmethod
    def of_settings(cls) -> "QuarantineLimit":
        """What the environment says."""
        return cls(max_share=ConsolidationSettings().quarantine_max_share)

    def inputs(self, validated: Validated) -> Mapping[str, float | None]:
        """Return the inputs of the checks, by name."""
        return {
            "changes_seen": validated.seen,
            "quarantine_share": validated.share,
            "max_quarantine_share": self.max_share,
            "min_quarantine_changes": self.min_changes,
        }


class RuleCounts(Pinned, Protocol):
    """Totals of silver's rules, which only grow unless the table is recreated."""

    def sums(self) -> Validated:
        """Return the totals of everything ever counted."""


class DeltaCounts(PinnedDelta):
    """Silver's table of rule counts in the lake."""

    __slots__ = ()

    def sums(self) -> Validated:
        """Add up all rows.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        changes = {
            outcome: pl.col("changes").filter(pl.col("outcome") == outcome).sum()
            for outcome in ("seen", "quarantined")
        }
        with self.reading():
            found = scan(self.table).select(**changes).collect()
        return Validated(seen=found["seen"].item(), quarantined=found["quarantined"].item())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedValidated:
    """Changes that a load is checked by, and the totals it stores for the next one.

    Attributes:
        table_id: id of the table of rule counts; None if it does not exist.
        sums: totals of everything ever counted.
        since: changes since the last published load.
    """

    table_id: str | None = None
    sums: Validated = Validated()
    since: Validated = Validated()

    @classmethod
    def of(cls, connection: psycopg.Connection, counts: RuleCounts | None) -> "LoadedValidated":
        """Compare the totals with those that the last published load has stored.

        Raises:
            RetryLaterError: the object store does not answer.
        """
        if counts is None:
            return cls()
        sums = counts.sums()
        row = connection.execute(
            "select seen, quarantined from etl.validated where table_id = %s", [counts.table_id]
        ).fetchone()
        seen, quarantined = row or (0, 0)
        # A command may have published a later state than this load is pinned to.
        since = Validated(
            seen=max(sums.seen - seen, 0), quarantined=max(sums.quarantined - quarantined, 0)
        )
        return cls(table_id=counts.table_id, sums=sums, since=since)

    def write(self, connection: psycopg.Connection) -> None:
        """Store the totals, in the transaction that publishes the load. They never decrease."""
        if self.table_id is None:
            return
        connection.execute(
            "insert into etl.validated as j (table_id, seen, quarantined) values (%s, %s, %s) "
            "on conflict (table_id) do update set seen = greatest(j.seen, excluded.seen), "
            "quarantined = greatest(j.quarantined, excluded.quarantined)",
            [self.table_id, self.sums.seen, self.sums.quarantined],
        )
