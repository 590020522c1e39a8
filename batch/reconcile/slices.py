"""Splits a table's rows into slices, so that each can be compared within bounded memory."""

from pathlib import Path

import polars as pl


class Slices:
    """Rows of several sides; equal values of `by` are in the same slice on every side.

    A single slice stays in memory. Several are written to files, each of which is read once.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self.count = count
        self._folder = folder
        self._frames: dict[str, list[pl.DataFrame]] = {}
        self._files: dict[tuple[str, int], list[Path]] = {}

    def add(self, side: str, rows: pl.DataFrame, *, by: str = "key") -> None:
        """Add rows with a column `by`."""
        if self.count == 1:
            self._frames.setdefault(side, []).append(rows)
            return
        numbered = rows.with_columns(_slice=pl.col(by).hash() % self.count)
        parts = numbered.partition_by("_slice", as_dict=True, include_key=False)
        for (number,), part in parts.items():
            files = self._files.setdefault((side, number), [])
            files.append(self._folder / f"{side}-{number}-{len(files)}.arrow")
            part.write_ipc(files[-1], compression="lz4")

    def take(self, side: str, number: int) -> pl.DataFrame | None:
        """Return and remove the rows of a slice; None if there are none."""
        if self.count == 1:
            frames = self._frames.pop(side, [])
        else:
            files = self._files.pop((side, number), [])
            frames = [pl.read_ipc(file) for file in files]
            for file in files:
                file.unlink()
        return pl.concat(frames) if frames else None
