"""Rows on disk, sharded by the values of a column. A shard fits into memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

_SHARD = "_shard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """A folder of sharded files, for several kinds of rows."""

    folder: Path
    count: int

    def spill(self, rows: pl.DataFrame, kind: str, by: str, *, batch: int) -> None:
        """Add rows; those with the same value in the column `by` go into the same shard.

        `batch` identifies the call: spilling the same batch twice stores it once.
        """
        for shard, frame in self._by_shard(rows, by):
            if frame.height:
                frame.write_ipc(self._file(kind, shard, batch), compression="lz4")

    def all(self) -> Iterator[tuple[str, int, Path]]:
        """Yield each file, with its kind and shard."""
        for file in self.folder.glob("*.arrow"):
            kind, shard, _ = file.stem.split("-")
            yield kind, int(shard), file

    def add(self, content: bytes, kind: str, shard: int, *, batch: int) -> None:
        """Add the content of a file that the same batch has spilled elsewhere."""
        self._file(kind, shard, batch).write_bytes(content)

    def read(self, kind: str, shard: int, schema: pl.Schema) -> pl.DataFrame:
        """Read all rows of a shard."""
        files = sorted(self.folder.glob(f"{kind}-{shard:05}-*.arrow"))
        frames = [pl.read_ipc(file) for file in files]
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def forget(self, first: int) -> None:
        """Delete the rows of a batch, and of all after it."""
        for file in self.folder.glob("*-*-*.arrow"):
            if int(file.stem.rpartition("-")[2]) >= first:
                file.unlink()

    def _by_shard(self, rows: pl.DataFrame, by: str) -> Iterator[tuple[int, pl.DataFrame]]:
        if self.count == 1:
            yield 0, rows
            return
        shard = (pl.col(by).hash(0) % self.count).alias(_SHARD)
        found = rows.with_columns(shard).partition_by(_SHARD, include_key=False, as_dict=True)
        for (number,), frame in found.items():
            yield int(number), frame

    def _file(self, kind: str, shard: int, batch: int) -> Path:
        return self.folder / f"{kind}-{shard:05}-{batch:06}.arrow"
