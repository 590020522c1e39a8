"""What silver has validated since the last load, and the limit of what may be in quarantine.

Silver counts a change once, when it first judges it, so its sums only grow, whatever compaction
does to the files. A load notes the sums in the transaction that publishes it. What a stopped load
has seen is therefore validated again by the next one, together with what has come since.
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
    """How many changes silver has seen, and how many of these it has quarantined."""

    seen: int = 0
    quarantined: int = 0

    @property
    def share(self) -> float | None:
        """The part that was quarantined; None where nothing was seen."""
        return self.quarantined / self.seen if self.seen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineLimit:
    """What a load may hold and still be published.

    Attributes:
        max_share: of the changes since the last published load, those in quarantine.
        min_changes: of fewer the share says little: it only warns.
    """

    max_share: float
    min_changes: int = 100

    @classmethod
    def of_settings(cls) -> "QuarantineLimit":
        """What the environment says."""
        return cls(max_share=ConsolidationSettings().quarantine_max_share)

    def inputs(self, validated: Validated) -> Mapping[str, float | None]:
        """For the checks, by name."""
        return {
            "changes_seen": validated.seen,
            "quarantine_share": validated.share,
            "max_quarantine_share": self.max_share,
            "min_quarantine_changes": self.min_changes,
        }


class RuleCounts(Pinned, Protocol):
    """What silver's rules have counted: sums that only grow while the table's history goes on."""

    def sums(self) -> Validated:
        """Of everything that was ever counted."""


class DeltaCounts(PinnedDelta):
    """Silver's table of counts in the lake."""

    __slots__ = ()

    def sums(self) -> Validated:
        """Over all rows.

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
    """What a load is validated by, and what it leaves for the next one.

    Attributes:
        table_id: of silver's counts; None before there are any.
        sums: of everything that was ever counted.
        since: a load was last published.
    """

    table_id: str | None = None
    sums: Validated = Validated()
    since: Validated = Validated()

    @classmethod
    def of(cls, connection: psycopg.Connection, counts: RuleCounts | None) -> "LoadedValidated":
        """Compare the sums with those that the last published load has noted.

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
        # A command may have published more than this load is pinned to.
        since = Validated(
            seen=max(sums.seen - seen, 0), quarantined=max(sums.quarantined - quarantined, 0)
        )
        return cls(table_id=counts.table_id, sums=sums, since=since)

    def write(self, connection: psycopg.Connection) -> None:
        """Note the sums, in the transaction that publishes the load. They never go back."""
        if self.table_id is None:
            return
        connection.execute(
            "insert into etl.validated as j (table_id, seen, quarantined) values (%s, %s, %s) "
            "on conflict (table_id) do update set seen = greatest(j.seen, excluded.seen), "
            "quarantined = greatest(j.quarantined, excluded.quarantined)",
            [self.table_id, self.sums.seen, self.sums.quarantined],
        )
