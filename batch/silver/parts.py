"""Rows on disk, dealt into parts by the values of a column. A part fits into memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse.offsets import EpochPartition

_PART = "_part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A folder of files; several kinds of rows may be in it."""

    folder: Path
    count: int

    def deal(self, rows: pl.DataFrame, kind: str, by: str, *, piece: int) -> None:
        """Add rows; those with the same value in the column `by` go into the same part.

        `piece` tells one call from another. The same rows dealt twice are there once.
        """
        for part, frame in self._dealt(rows, by):
            if frame.height:
                frame.write_ipc(self._file(kind, part, piece), compression="lz4")

    def read(self, kind: str, part: int, schema: pl.Schema) -> pl.DataFrame:
        """All rows of a part."""
        files = sorted(self.folder.glob(f"{kind}-{part:05}-*.arrow"))
        frames = [pl.read_ipc(file) for file in files]
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def forget(self, piece: int) -> None:
        """Drop what one call has dealt."""
        for file in self.folder.glob(f"*-{piece:06}.arrow"):
            file.unlink()

    def _dealt(self, rows: pl.DataFrame, by: str) -> Iterator[tuple[int, pl.DataFrame]]:
        if self.count == 1:
            yield 0, rows
            return
        part = (pl.col(by).hash(0) % self.count).alias(_PART)
        found = rows.with_columns(part).partition_by(_PART, include_key=False, as_dict=True)
        for (number,), frame in found.items():
            yield int(number), frame

    def _file(self, kind: str, part: int, piece: int) -> Path:
        return self.folder / f"{kind}-{part:05}-{piece:06}.arrow"


def parts_for(ends: Mapping[EpochPartition, int], *, rows: int) -> int:
    """How many parts hold about so many changes each."""
    return max(1, -(-sum(ends.values()) // rows))
