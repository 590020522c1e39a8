"""Metrics of a table in any layer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from typing_extensions import override

from lakehouse.offsets import EpochPartition


class Unit(StrEnum):
    """Unit of a watermark."""

    OFFSETS = "offsets"
    VERSIONS = "versions"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LakeTable:
    """A table of the lake or of the warehouse, by its layer (or schema) and name."""

    layer: str
    name: str

    @override
    def __str__(self) -> str:
        """Format as in a query."""
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How far a table is behind the layer below.

    Offsets include holes; versions are those that changed rows.
    """

    count: int
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMetrics:
    """Metrics of one table at one moment.

    Attributes:
        rows: None if the statistics do not tell. Includes tombstones of deleted keys.
        is_estimate: whether `rows` is an estimate.
        files: files of the current version; None in the warehouse.
        offsets: its watermarks, the last offset applied of each partition.
        offsets_by_reader: likewise, of those who have watermarks of their own in it.
        versions: for gold, the version read of each silver table.
        newest_at: when its newest row was written at the source, or else when it last changed.
        note: why metrics are missing.
    """

    table: LakeTable
    rows: int | None = None
    is_estimate: bool = False
    files: int | None = None
    bytes: int | None = None
    version: int | None = None
    offsets: Mapping[EpochPartition, int] = field(default_factory=dict)
    offsets_by_reader: Mapping[str, Mapping[EpochPartition, int]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    behind: Behind | None = None
    newest_at: datetime | None = None
    note: str | None = None

    @property
    def position(self) -> int | None:
        """Return the number of offsets applied, all partitions together; None if there are none."""
        return sum(last + 1 for last in self.offsets.values()) if self.offsets else None

    def age_seconds(self, now: datetime) -> float | None:
        """Return the age of the newest data; 0 if it is dated later than now."""
        if self.newest_at is None:
            return None
        return max(0.0, (now - self.newest_at).total_seconds())

    def to_json(self, now: datetime) -> Mapping[str, Any]:
        """Return all fields by name."""
        age = self.age_seconds(now)
        return {
            "layer": self.table.layer,
            "table": self.table.name,
            "rows": self.rows,
            "rows_are_estimate": self.is_estimate,
            "files": self.files,
            "bytes": self.bytes,
            "version": self.version,
            "position": self.position,
            "behind": None if self.behind is None else asdict(self.behind),
            "newest_at": None if self.newest_at is None else self.newest_at.isoformat(),
            "age_seconds": None if age is None else round(age, 1),
            "watermark": [
                *(
                    {
                        "source": p.topic_id,
                        "epoch": p.epoch,
                        "partition": p.partition,
                        "reached": last,
                    }
                    for p, last in sorted(self.offsets.items())
                ),
                *({"source": name, "reached": read} for name, read in self.versions.items()),
            ],
            "note": self.note,
        }
