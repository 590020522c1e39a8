"""Kafka records to rows of the overlay, parsed, cleaned and validated as in silver.

Grain of the rows: one per key, its last valid change; of versions: one per valid change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import narwhals as nw
import polars as pl

from lakehouse.cleaning.plan import Plan
from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import empty_deleted, latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.schemas import COORDINATE

_VALIDATED = "validated"
PROMPT = frozenset(entity.table for entity in ENTITIES.values() if entity.is_sale)
"""Entities that make up a sale."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that a batch of one topic results in.

    Attributes:
        current: columns of `entity.<table>`, and `_is_deleted`.
        versions: the same and the validity, for an entity with versions in live; else None.
        quarantined: number of changes that broke a rule or were unreadable; the next consolidation
            quarantines them.
        committed_us: commit time of the newest change in the shop, in microseconds since 1970;
            None without changes.
    """

    current: pl.DataFrame
    versions: pl.DataFrame | None
    quarantined: int
    committed_us: int | None


@dataclass(frozen=True, kw_only=True)
class ChangeReader:
    """Parser of the changes of one entity."""

    validator: Validator

    @property
    def entity(self) -> Entity:
        """Return the entity's contract."""
        return self.validator.entity

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of a row in the overlay."""
        return (*self.entity.names, *COORDINATE, "_is_deleted")

    @property
    def version_columns(self) -> tuple[str, ...]:
        """Return the columns of a version in the overlay."""
        return (*self.columns, "valid_from_at")

    def read(self, records: pl.DataFrame) -> Rows:
        """Parse, clean and validate records.

        If an update omits a large value (TOAST), the value is looked up in the same batch only; the
        change may count as quarantined until the next consolidation.

        Args:
            records: rows of bronze.

        Raises:
            StopPipelineError: the source's schema changed, and the contract says to stop.
        """
        validated = self.validator.validate(
            records, lambda keys: records.filter(pl.col("key").is_in(keys.implode()))
        )
        newest = validated["_committed_at"].to_physical().max()
        has_deletes = bool((validated["_operation"] == "d").any())
        return Rows(
            current=self._current[has_deletes].run({_VALIDATED: validated}),
            versions=self._versions[has_deletes].run({_VALIDATED: validated})
            if self.entity.live_versions
            else None,
            quarantined=validated[BROKEN].count(),
            committed_us=newest if isinstance(newest, int) else None,
        )

    @cached_property
    def _current(self) -> Mapping[bool, Plan]:
        def current(changes: Frame) -> Frame:
            return latest(changes, self.entity.key).select(*self.columns)

        return self._plans(current)

    @cached_property
    def _versions(self) -> Mapping[bool, Plan]:
        begun = nw.coalesce(nw.col("_deleted_at"), nw.col(self.entity.as_of))

        def versions(changes: Frame) -> Frame:
            return changes.with_columns(begun.alias("valid_from_at")).select(*self.version_columns)

        return self._plans(versions)

    def _plans(self, transformation: Callable[[Frame], Frame]) -> Mapping[bool, Plan]:
        """Return plans without and with deletes: emptying columns is slow, and deletes are rare."""

        def plan(*, has_deletes: bool) -> Plan:
            def run(frames: Mapping[str, Frame]) -> Frame:
                valid = frames[_VALIDATED].filter(nw.col(BROKEN).is_null())
                return transformation(self._emptied(valid, has_deletes=has_deletes))

            return Plan(run)

        return {answer: plan(has_deletes=answer) for answer in (False, True)}

    def _emptied(self, changes: Frame, *, has_deletes: bool) -> Frame:
        if not has_deletes:
            never = nw.lit(None, nw.Datetime("us", "UTC"))
            return changes.with_columns(
                never.alias("_deleted_at"), nw.lit(value=False).alias("_is_deleted")
            )
        emptied = empty_deleted(changes, self.entity)
        return emptied.with_columns((~nw.col("_deleted_at").is_null()).alias("_is_deleted"))
