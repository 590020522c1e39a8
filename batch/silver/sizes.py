"""Sizes of bronze's records, from the footers of its files, so that batches of them fit in memory.

A change may have a hundred bytes or a megabyte, and the files are compressed: neither the number of
changes nor the size of a file says how much memory reading them takes.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from batch.silver.offsets import OffsetRanges
from lakehouse.delta import files_of
from lakehouse.offsets import EpochPartition, OffsetRange

RECORD_BYTES = 200
"""Memory of a record beside its own bytes: its coordinate, and columns of numbers."""
_PAYLOAD = ("key", "value")
_END = 2**63 - 1
_READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """What a batch holds at most, about: changes, and bytes of changes as Kafka has them."""

    records: int
    bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A row group: its partitions and offsets (inclusive), and the bytes of a record in it."""

    partitions: tuple[int, int]
    offsets: tuple[int, int]
    records: int
    record_bytes: float


class Footers:
    """The footers of the files of one version of bronze, each read once, when it is needed."""

    def __init__(self, delta: DeltaTable) -> None:
        self._delta = delta
        self._groups: dict[str, list[Stretch]] = {}

    def stretches(self, ranges: OffsetRanges) -> list[Stretch]:
        """Return the row groups that may have records in these ranges."""
        if not ranges:
            return []
        paths = [
            path
            for path, *of_file in self._files
            if None in of_file or _meets(of_file[:2], of_file[2:], ranges)
        ]
        new = [path for path in paths if path not in self._groups]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            read = pool.map(partial(_groups, files_of(self._delta)), new)
            self._groups |= zip(new, read, strict=True)
        found = chain.from_iterable(self._groups[path] for path in paths)
        return [one for one in found if _meets(one.partitions, one.offsets, ranges)]

    @cached_property
    def _files(self) -> list[tuple[Any, ...]]:
        """Path of each file, and its smallest and largest partition and offset."""
        files = pl.DataFrame(pa.table(self._delta.get_add_actions(flatten=True)))
        if files.is_empty():
            return []
        names = ("_partition", "_offset")
        bounds = [f"{bound}.{name}" for name in names for bound in ("min", "max")]
        return files.select("path", *bounds).rows()


def _meets(partitions: Sequence[int], offsets: Sequence[int], ranges: OffsetRanges) -> bool:
    return any(
        partitions[0] <= p.partition <= partitions[1]
        and offsets[0] < s.stop
        and s.start <= offsets[1]
        for p, s in ranges.items()
    )


def size_of(found: Sequence[Stretch]) -> float:
    """Return the bytes of all records."""
    return sum(one.records * one.record_bytes for one in found)


def batches_of(
    ranges: OffsetRanges, found: Sequence[Stretch], limits: BatchLimits
) -> Iterator[dict[EpochPartition, OffsetRange]]:
    """Split ranges into batches of about so many records and bytes, in the order of each partition.

    A batch has at least one offset of each partition that has any left.
    """
    profiles = {p: _Profile(found, p.partition) for p in ranges}
    left = {p: offsets for p, offsets in ranges.items() if offsets.start < offsets.stop}
    while left:
        step, share = max(1, limits.records // len(left)), limits.bytes / len(left)
        stops = {
            p: min(s.stop, s.start + step, profiles[p].stop(s.start, share))
            for p, s in left.items()
        }
        yield {p: OffsetRange(start=s.start, stop=stops[p]) for p, s in left.items()}
        left = {
            p: OffsetRange(start=stops[p], stop=s.stop)
            for p, s in left.items()
            if stops[p] < s.stop
        }


class _Profile:
    """Bytes of a record by offset, of one partition: those of the largest in any row group."""

    def __init__(self, found: Sequence[Stretch], partition: int) -> None:
        mine = [o for o in found if o.partitions[0] <= partition <= o.partitions[1]]
        mine.sort(key=lambda one: one.offsets)
        begins = {one.offsets[0] for one in mine} | {one.offsets[1] + 1 for one in mine}
        self._begins = sorted(begins)
        self._bytes: list[float] = []
        largest: list[tuple[float, int]] = []
        waiting = iter(mine)
        one = next(waiting, None)
        for begin in self._begins:
            while one is not None and one.offsets[0] <= begin:
                heapq.heappush(largest, (-one.record_bytes, one.offsets[1]))
                one = next(waiting, None)
            while largest and largest[0][1] < begin:
                heapq.heappop(largest)
            self._bytes.append(-largest[0][0] if largest else 0.0)

    def stop(self, start: int, most_bytes: float) -> int:
        """Return where the records from `start` on, at least one, have this many bytes."""
        number = bisect_right(self._begins, start) - 1
        at, left = start, most_bytes
        # After the last of them there is nothing.
        for end in self._begins[number + 1 :]:
            each = self._bytes[number] if number >= 0 else 0.0
            if (end - at) * each > left:
                return max(start + 1, at + int(left // each))
            left -= (end - at) * each
            at, number = end, number + 1
        return _END


def _groups(store: pafs.FileSystem, path: str) -> list[Stretch]:
    with store.open_input_file(path) as file:
        footer = pq.read_metadata(file)
    return [_of_group(footer.row_group(number)) for number in range(footer.num_row_groups)]


def _of_group(group: pq.RowGroupMetaData) -> Stretch:
    columns = {one.path_in_schema: one for one in map(group.column, range(group.num_columns))}
    payload = sum(columns[name].total_uncompressed_size for name in _PAYLOAD)
    return Stretch(
        partitions=_bounds(columns["_partition"], 2**31 - 1),
        offsets=_bounds(columns["_offset"], _END - 1),
        records=group.num_rows,
        record_bytes=RECORD_BYTES + payload / max(1, group.num_rows),
    )


def _bounds(column: pq.ColumnChunkMetaData, most: int) -> tuple[int, int]:
    found = column.statistics
    return (found.min, found.max) if found is not None and found.has_min_max else (0, most)
