"""Replaces bronze's records by Kafka's where the two differ: one commit per table.

The range is read a window at a time and compared with bronze at the same coordinates. Missing,
different and duplicate records are replaced together, by an overwrite limited to those
coordinates; watermarks stay. A record that is only in bronze is kept: Kafka drops records by
retention and compaction. The table's lease blocks compactions meanwhile, while landers keep
writing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from consumers.bronze.table import DeltaBronzeTable
from lakehouse.delta import NO_HOOKS, has_only_grown, retry_later, scan
from lakehouse.digest import ROW_HASH, Digest, digest, with_row_hash
from lakehouse.errors import RetryLaterError
from lakehouse.json_file import write_json
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.maintenance import LeaseNotes, lease
from lakehouse.offsets import OffsetRange, TopicIdentity, count_positions, up_to
from replay.kafka_range import KafkaRange, PartitionRanges, in_windows
from replay.workspace import resumed

Progress = Callable[[int, int], None]
"""Called with the number of offsets done and their total."""
EXAMPLES = 20
_SHOWN = 200
_PLACE = ["_partition", "_offset"]
_NOTES = "compared.json"
_LEASE_SECONDS = 3600
"""Longer than rewriting a large table takes."""
_COMPACTION_SECONDS = 120
"""Longer than a lander's compaction of a table."""


@dataclass(kw_only=True)
class Found:
    """Result of the comparison. Counts are of coordinates; those `only_in_bronze` were kept."""

    read: int = 0
    missing: int = 0
    different: int = 0
    doubled: int = 0
    only_in_bronze: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    """`_partition`, `_offset`, `kind`, and `columns` that differ, with values before and after."""

    @property
    def replaced(self) -> int:
        """Return the number of coordinates that were repaired."""
        return self.missing + self.different + self.doubled


@dataclass(frozen=True, slots=True, kw_only=True)
class BronzeReplay:
    """Result of a replay into a table. Digests cover all that had landed when it began.

    `ranges` were compared, partly by an interrupted replay if this one `went_on`.
    """

    table: str
    ranges: PartitionRanges
    went_on: bool
    found: Found
    before: Digest
    after: Digest


@dataclass(kw_only=True)
class BronzeReplayer:
    """A replay of one topic into its bronze table.

    Attributes:
        name: name of the table.
        table: a handle on it.
        identity: identity of the topic that records belong to.
        ends: by partition, the offset after the last landed one.
        window: number of offsets compared at a time.
        folder: folder for rows to be replaced. A replay that finds some resumes from there, unless
            the table was rewritten since. Leases are recorded beside it.
        on_progress: called with the progress.
    """

    name: str
    table: DeltaBronzeTable
    identity: TopicIdentity
    ends: Mapping[int, int]
    window: int
    folder: Path
    on_progress: Progress = lambda _done, _total: None

    def run(self, source: KafkaRange, ranges: PartitionRanges) -> BronzeReplay:
        """Compare, and replace what differs.

        Raises:
            StopPipelineError: Kafka has meanwhile dropped part of the range.
            RetryLaterError: the broker or the store does not answer: a repeated replay resumes. Or
                the table was rewritten by another process: then a repeated replay restarts.
        """
        what = f"bronze/{self.name} cannot be compared with Kafka"
        again = "Run the same replay again: it resumes where it stopped."
        with retry_later(what, then=again):
            notes = _Notes.opened(self.folder, ranges, self.table.delta)
            went_on = notes.batches > 0
            self.on_progress(notes.done, notes.total)
            for records, window in in_windows(source, notes.left, self.window):
                self._compare(records, window, notes)
                self.on_progress(notes.done, notes.total)
        with retry_later(f"bronze/{self.name} could not be repaired", then=again):
            before = self._digest()
            self._require_compared(notes)
            if notes.bad:
                self._replace(notes)
            return BronzeReplay(
                table=self.name, ranges=notes.ranges, went_on=went_on, found=notes.found,
                before=before, after=self._digest() if notes.bad else before,
            )  # fmt: skip

    def _require_compared(self, notes: "_Notes") -> None:
        """Raise if the table was changed by anything but landing since it was opened."""
        if not has_only_grown(self.table.delta, notes.version):
            problem = f"bronze/{self.name} was rewritten during the comparison"
            raise RetryLaterError(problem, "Run the same replay again: it starts from scratch.")

    def _compare(self, records: pa.Table, window: PartitionRanges, notes: "_Notes") -> None:
        truth = _hashed(pl.DataFrame(records))
        stored = _hashed(self._rows(window).collect())
        times = stored.group_by(_PLACE).agg(pl.len().alias("times"))
        joined = truth.select(*_PLACE, ROW_HASH).join(
            stored.unique(_PLACE).select(*_PLACE, pl.col(ROW_HASH).alias("_stored")),
            on=_PLACE, how="left",
        ).join(times, on=_PLACE, how="left")  # fmt: skip
        kind = (
            pl.when(pl.col("times").is_null()).then(pl.lit("missing"))
            .when(pl.col("times") > 1).then(pl.lit("doubled"))
            .when(pl.col(ROW_HASH) != pl.col("_stored")).then(pl.lit("different"))
        )  # fmt: skip
        bad = joined.select(*_PLACE, kind.alias("kind")).drop_nulls("kind")
        only = stored.join(truth, on=_PLACE, how="anti")
        once = only.unique([*_PLACE, ROW_HASH], maintain_order=True)
        twice = only.filter(only.select(*_PLACE, ROW_HASH).is_duplicated()).unique(_PLACE)
        doubled = twice.select(*_PLACE, pl.lit("doubled").alias("kind"))
        bad = pl.concat([bad, doubled])
        rows = pl.concat([truth, once]).drop(ROW_HASH)
        ranges = bad.group_by("_partition").agg(
            pl.col("_offset").min().alias("first"), pl.col("_offset").max().alias("last")
        )
        within = rows.join(ranges, on="_partition").filter(
            pl.col("_offset").is_between(pl.col("first"), pl.col("last"))
        )
        examples = bad.head(EXAMPLES - len(notes.found.examples))
        notes.found.examples += _shown(examples, stored, truth)
        notes.add(window, bad, ranges, within.select(rows.columns), read=truth.height,
                  only_in_bronze=once.height)  # fmt: skip

    def _rows(self, ranges: PartitionRanges) -> pl.LazyFrame:
        return scan(self.table.delta).filter(_is_within(self.identity, ranges))

    def _digest(self) -> Digest:
        self.table.reopen()
        return digest(self._rows(up_to(self.ends)))

    def _replace(self, notes: "_Notes") -> None:
        delta = self.table.delta
        with (
            LeaseNotes.opened(self.folder.with_name(f"{self.name}.lease")) as ours,
            lease(delta, seconds=_LEASE_SECONDS, notes=ours, patience_seconds=_COMPACTION_SECONDS),
        ):
            _overwrite(delta, notes.rows(), _predicate(self.identity, notes.bad))


@dataclass(kw_only=True)
class _Notes:
    """Progress of the comparison, and the rows to be replaced, in a folder."""

    folder: Path
    ranges: dict[int, OffsetRange]
    positions: dict[int, int]
    version: int
    """Version since which the table may only have grown, so that the comparison still holds."""
    found: Found = field(default_factory=Found)
    bad: list[tuple[int, int, int]] = field(default_factory=list)
    """Partition, first offset, last offset."""
    batches: int = 0

    @classmethod
    def opened(cls, folder: Path, ranges: PartitionRanges, delta: DeltaTable) -> "_Notes":
        """Load the notes of an interrupted replay if they still hold, or start new ones."""
        kept = resumed(folder / _NOTES, delta)
        version = delta.version()
        if kept is None:
            starts = {number: offsets.start for number, offsets in ranges.items()}
            return cls(folder=folder, ranges=dict(ranges), positions=starts, version=version)
        return cls(
            folder=folder,
            ranges={
                number: OffsetRange(start=start, stop=stop)
                for number, start, stop in kept["ranges"]
            },
            positions=dict(kept["positions"]),
            version=version,
            found=Found(**kept["found"]),
            bad=[tuple(one) for one in kept["bad"]],
            batches=kept["batches"],
        )

    @property
    def total(self) -> int:
        """Offsets."""
        return count_positions(self.ranges.values())

    @property
    def done(self) -> int:
        """Return the number of offsets that were compared."""
        return sum(at - self.ranges[number].start for number, at in self.positions.items())

    @property
    def left(self) -> dict[int, OffsetRange]:
        """Return the ranges that are left."""
        return {
            number: OffsetRange(start=self.positions[number], stop=offsets.stop)
            for number, offsets in self.ranges.items()
        }

    def add(
        self,
        window: PartitionRanges,
        bad: pl.DataFrame,
        ranges: pl.DataFrame,
        rows: pl.DataFrame,
        *,
        read: int,
        only_in_bronze: int,
    ) -> None:
        """Record the result of a window."""
        found = self.found
        found.read += read
        found.only_in_bronze += only_in_bronze
        for kind, count in bad["kind"].value_counts().iter_rows():
            setattr(found, kind, getattr(found, kind) + count)
        self.bad += [(p, first, last) for p, first, last in ranges.sort("_partition").iter_rows()]
        if rows.height:
            rows.write_ipc(self.folder / f"rows-{self.batches:06}.arrow", compression="lz4")
        self.batches += 1
        self.positions |= {number: offsets.stop for number, offsets in window.items()}
        self._write()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that replace bronze's."""
        for file in sorted(self.folder.glob("rows-*.arrow")):
            yield from pl.read_ipc(file).to_arrow().cast(BRONZE_SCHEMA).to_batches()

    def _write(self) -> None:
        kept = {
            "ranges": [(number, s.start, s.stop) for number, s in self.ranges.items()],
            "positions": list(self.positions.items()),
            "version": self.version,
            "found": self.found,
            "bad": self.bad,
            "batches": self.batches,
        }
        write_json(self.folder / _NOTES, kept)


def _hashed(rows: pl.DataFrame) -> pl.DataFrame:
    return with_row_hash(rows.select(BRONZE_SCHEMA.names).lazy()).collect()


def _shown(
    bad: pl.DataFrame, stored: pl.DataFrame, truth: pl.DataFrame
) -> Iterator[dict[str, Any]]:
    """Add the columns in which bronze differs from Kafka."""
    old, new = (
        {
            (row["_partition"], row["_offset"]): row
            for row in rows.join(bad, on=_PLACE, how="semi").iter_rows(named=True)
        }
        for rows in (stored, truth)
    )
    for one in bad.iter_rows(named=True):
        partition = (one["_partition"], one["_offset"])
        before, after = old.get(partition), new.get(partition)
        columns = {} if before is None or after is None else {
            name: (_text(before[name]), _text(after[name]))
            for name in BRONZE_SCHEMA.names if before[name] != after[name]
        }  # fmt: skip
        yield {**one, "columns": columns}


def _text(value: object) -> str | None:
    """Format a value for display, shortened if long."""
    if value is None:
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_within(identity: TopicIdentity, ranges: PartitionRanges) -> pl.Expr:
    within = pl.lit(value=False)
    for number, offsets in ranges.items():
        within = within | (
            (pl.col("_partition") == number)
            & pl.col("_offset").is_between(offsets.start, offsets.stop - 1)
        )
    is_topic = (pl.col("_topic_id") == identity.topic_id) & (pl.col("_epoch") == identity.epoch)
    return within & is_topic


def _predicate(identity: TopicIdentity, bad: list[tuple[int, int, int]]) -> str:
    ranges = " or ".join(
        f"(_partition = {number} and _offset >= {first} and _offset <= {last})"
        for number, first, last in bad
    )
    return f"_topic_id = '{identity.topic_id}' and _epoch = {identity.epoch} and ({ranges})"


def _overwrite(delta: DeltaTable, rows: Iterator[pa.RecordBatch], predicate: str) -> None:
    write_deltalake(
        delta,
        pa.RecordBatchReader.from_batches(BRONZE_SCHEMA, rows),
        mode="overwrite",
        predicate=predicate,
        post_commithook_properties=NO_HOOKS,
    )
