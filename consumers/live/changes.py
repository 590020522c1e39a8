"""From records to rows of the overlay: read, cleaned and judged as silver does it.

Grain of the rows: one per key, the last valid change of it; of versions, one per valid change.
"""

from dataclasses import dataclass
from functools import cached_property

import narwhals as nw
import polars as pl

from lakehouse.cleaning.judge import Judge
from lakehouse.cleaning.plan import Plan
from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import empty_deleted, latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import COORDINATE

_JUDGED = "judged"
VERSIONED = "products"
"""The entity whose versions decide what an order is worth to the shop."""
PROMPT = frozenset({"orders", "order_lines"})
"""Entities of which a sale consists."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a batch of one topic leaves.

    Attributes:
        current: columns of `entity.<table>`, and `_is_deleted`.
        versions: the same and the validity, of `VERSIONED`; else None.
        put_aside: changes that broke a rule, or could not be read: the consolidation puts them into
            quarantine.
        committed_us: when the newest of the changes was committed in the shop, in microseconds
            since 1970; None without changes.
    """

    current: pl.DataFrame
    versions: pl.DataFrame | None
    put_aside: int
    committed_us: int | None


@dataclass(frozen=True, kw_only=True)
class ChangeReader:
    """Reads the changes of one entity."""

    judge: Judge

    @property
    def entity(self) -> Entity:
        """Its contract."""
        return self.judge.entity

    @property
    def columns(self) -> tuple[str, ...]:
        """Of a row in the overlay."""
        return (*self.entity.names, *COORDINATE, "_is_deleted")

    @property
    def version_columns(self) -> tuple[str, ...]:
        """Of a version in the overlay."""
        return (*self.columns, "valid_from_at")

    def read(self, records: pl.DataFrame) -> Rows:
        """Take records apart.

        An update that left a large value alone, of a table that does not publish its old rows, is
        judged by the records of the same batch only; it may be put aside until the consolidation.

        Args:
            records: rows of bronze.

        Raises:
            StopPipelineError: the source's schema changed, and the contract says to stop.
        """
        judged = self.judge.judge(
            records, lambda keys: records.filter(pl.col("key").is_in(keys.implode()))
        )
        valid = judged.filter(pl.col(BROKEN).is_null())
        newest = judged["_committed_at"].dt.epoch("us").max()
        return Rows(
            current=self._current.run({_JUDGED: valid}),
            versions=self._versions.run({_JUDGED: valid})
            if self.entity.table == VERSIONED
            else None,
            put_aside=judged.height - valid.height,
            committed_us=newest if isinstance(newest, int) else None,
        )

    @cached_property
    def _current(self) -> Plan:
        return Plan(
            lambda frames: self._emptied(latest(frames[_JUDGED], self.entity.key)).select(
                *self.columns
            )
        )

    @cached_property
    def _versions(self) -> Plan:
        begun = nw.coalesce(nw.col("_deleted_at"), nw.col(self.entity.as_of))
        return Plan(
            lambda frames: self._emptied(frames[_JUDGED])
            .with_columns(begun.alias("valid_from_at"))
            .select(*self.version_columns)
        )

    def _emptied(self, changes: Frame) -> Frame:
        emptied = empty_deleted(changes, self.entity)
        return emptied.with_columns((~nw.col("_deleted_at").is_null()).alias("_is_deleted"))
