"""What is told of a table, in whichever layer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from typing_extensions import override

from lakehouse.offsets import EpochPartition


class Unit(StrEnum):
    """What a watermark counts in."""

    OFFSETS = "offsets"
    VERSIONS = "versions"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LakeTable:
    """A table of the lake or of the warehouse, by its layer (or schema) and name."""

    layer: str
    name: str

    @override
    def __str__(self) -> str:
        """As a query names it."""
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What the layer below has that a table lacks.

    Offsets are counted with the holes between them; versions are those that changed rows.
    """

    count: int
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMetrics:
    """One table as it is now.

    Attributes:
        rows: None where the statistics do not say. Rows that stand for deleted keys count.
        is_estimate: of `rows`.
        files: of the current version; None in the warehouse.
        offsets: its watermarks, the last offset taken of each partition.
        versions: of gold, the version read of each table of silver.
        newest_at: when its newest row was made at the source, or else when it last changed.
        note: why metrics are missing.
    """

    table: LakeTable
    rows: int | None = None
    is_estimate: bool = False
    files: int | None = None
    bytes: int | None = None
    version: int | None = None
    offsets: Mapping[EpochPartition, int] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    behind: Behind | None = None
    newest_at: datetime | None = None
    note: str | None = None

    @property
    def position(self) -> int | None:
        """Offsets passed, all partitions together; None where there are none."""
        return sum(last + 1 for last in self.offsets.values()) if self.offsets else None

    def age_seconds(self, now: datetime) -> float | None:
        """How old the newest data is; 0 if it is dated later than now."""
        if self.newest_at is None:
            return None
        return max(0.0, (now - self.newest_at).total_seconds())

    def to_json(self, now: datetime) -> Mapping[str, Any]:
        """All of it, by name."""
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
