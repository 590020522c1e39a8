"""Kafka records to rows of the overlay, parsed, cleaned and validated as in silver.

Grain of the rows: one per key, its last valid change; of versions: one per valid change.

Changes are read one by one. Queries read only those that this leaves to them, because planning
their queries costs more than reading a whole batch of usual changes does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from operator import itemgetter
from typing import Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from consumers.records import Polled
from lakehouse.cleaning.one_by_one import OneByOne, reads
from lakehouse.cleaning.plan import Plan
from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import ORDER, empty_deleted
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.schemas import COORDINATE

_VALIDATED = "validated"
PROMPT = frozenset(entity.table for entity in ENTITIES.values() if entity.is_sale)
"""Entities that make up a sale."""
Row = tuple[Any, ...]
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that a batch of one topic results in.

    Attributes:
        current: values of `ChangeReader.columns`.
        versions: values of `ChangeReader.version_columns`, for an entity with versions in live;
            else None.
        quarantined: number of changes that broke a rule or were unreadable; the next consolidation
            quarantines them, or stops the table where its contract says so.
        committed_us: commit time of the newest change in the shop, in microseconds since 1970;
            None without changes.
    """

    current: Sequence[Row]
    versions: Sequence[Row] | None
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

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of a row in the overlay."""
        return (*self.entity.names, *COORDINATE, "_is_deleted")

    @cached_property
    def version_columns(self) -> tuple[str, ...]:
        """Return the columns of a version in the overlay."""
        return (*self.columns, "valid_from_at")

    def read(self, records: pa.Table | Polled) -> Rows:
        """Parse, clean and validate records.

        If an update omits a large value (TOAST), the value is looked up in the same batch only; the
        change may count as quarantined until the next consolidation.

        Args:
            records: rows of bronze, or messages of one topic.

        Raises:
            StopPipelineError: the source's schema changed, and the contract says to stop.
        """
        read = self._read_one_by_one(records)
        if read.unusual:
            frame = pl.DataFrame(records.columns() if isinstance(records, Polled) else records)
            validated = self.validator.validate(
                frame[read.unusual], lambda keys: frame.filter(pl.col("key").is_in(keys.implode()))
            )
            read.valid += self._valid.run({_VALIDATED: validated}).rows()
            read.quarantined += validated[BROKEN].count()
            read.committed_at += validated["_committed_at"].drop_nulls().to_list()
        newest = max(read.committed_at, default=None)
        return Rows(
            current=[row[:-1] for row in self._latest(read.valid)],
            versions=sorted(read.valid, key=self._order) if self.entity.live_versions else None,
            quarantined=read.quarantined,
            committed_us=None if newest is None else (newest - _1970) // _MICROSECOND,
        )

    def _read_one_by_one(self, records: pa.Table | Polled) -> "_Read":
        read = _Read()
        if self._one_by_one is None:
            read.unusual = list(range(records.num_rows))
            return read
        as_of = _place(self.entity.as_of, self.columns)
        values, coordinates = _values(records)
        for number, change in enumerate(self._one_by_one.read(values)):
            if change is None:
                if values[number] is not None:
                    read.unusual.append(number)
                continue
            committed_at, is_deleted, row = change
            read.committed_at.append(committed_at)
            if row is None:
                read.quarantined += 1
                continue
            begun = committed_at if is_deleted or as_of is None else row[as_of]
            read.valid.append((*row, *coordinates[number], is_deleted, begun))
        return read

    def _latest(self, valid: Sequence[Row]) -> Collection[Row]:
        key, order = self.columns.index(self.entity.key), self._order
        found: dict[Any, Row] = {}
        for row in valid:
            held = found.setdefault(row[key], row)
            if order(held) < order(row):
                found[row[key]] = row
        return found.values()

    @cached_property
    def _order(self) -> Callable[[Row], Any]:
        """The order of the changes of a key."""
        return itemgetter(*map(self.columns.index, ORDER))

    @cached_property
    def _one_by_one(self) -> OneByOne | None:
        return OneByOne(self.validator) if reads(self.entity) else None

    @cached_property
    def _valid(self) -> Plan:
        """The valid changes among validated ones, with `version_columns`."""

        def valid(frames: Mapping[str, Frame]) -> Frame:
            changes = frames[_VALIDATED].filter(nw.col(BROKEN).is_null())
            deleted_at = nw.col("_deleted_at")
            return (
                empty_deleted(changes, self.entity)
                .with_columns(
                    (~deleted_at.is_null()).alias("_is_deleted"),
                    nw.coalesce(deleted_at, nw.col(self.entity.as_of)).alias("valid_from_at"),
                )
                .select(*self.version_columns)
            )

        return Plan(valid)


@dataclass(kw_only=True)
class _Read:
    """What became of a batch's records.

    Attributes:
        valid: values of `ChangeReader.version_columns` of each valid change.
        unusual: numbers of records that are left to queries.
        committed_at: of all changes, valid or not.
    """

    valid: list[Row] = field(default_factory=list)
    unusual: list[int] = field(default_factory=list)
    committed_at: list[datetime] = field(default_factory=list)
    quarantined: int = 0


def _values(records: pa.Table | Polled) -> tuple[list[bytes | None], list[Row]]:
    """Return the values and the coordinates of records."""
    if isinstance(records, Polled):
        return records.values(), records.coordinates()
    values, *coordinates = (records[name].to_pylist() for name in ("value", *COORDINATE))
    return values, list(zip(*coordinates, strict=True))


def _place(name: str, columns: Sequence[str]) -> int | None:
    return columns.index(name) if name in columns else None
