"""Revalidated changes of an entity, on disk, in shards by key that fit into memory.

A shard holds all changes of its keys, so results can be computed shard by shard. Each validated
batch of bronze is recorded with its end offsets: after a crash, work resumes from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import narwhals as nw
import polars as pl

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges
from batch.silver.shards import Shards
from batch.silver.tables import SilverTables
from lakehouse.cleaning.transforms.latest import latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts.schemas import QUARANTINE_SCHEMA, silver_schema
from lakehouse.errors import RetryLaterError
from lakehouse.frames import collected
from lakehouse.json_file import read_json, write_json
from lakehouse.offsets import EpochPartition, OffsetRange

_NOTES = "validated.json"


@dataclass(kw_only=True)
class Revalidated:
    """Changes validated so far, in a folder.

    Attributes:
        files: a folder of its own; work of an interrupted process is resumed.
        tables: the entity's tables.
        validator: validator by the current contract.
        keys: as in Kafka; other keys are skipped. None for all.
        batches: number of validated batches.
        read: number of changes in them.
        broken: how many of these were quarantined.
    """

    files: Shards
    tables: SilverTables
    validator: Validator
    keys: pl.Series | None = None
    batches: int = 0
    read: int = 0
    broken: int = 0
    _positions: dict[EpochPartition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Load the state of the folder."""
        kept = read_json(self._notes)
        if kept is not None:
            self.batches, self.read, self.broken = kept["batches"], kept["read"], kept["broken"]
            self._positions = {
                EpochPartition(epoch=epoch, topic_id=topic_id, partition=partition): stop
                for epoch, topic_id, partition, stop in kept["positions"]
            }

    @property
    def schema(self) -> pl.Schema:
        """Return the schema of valid changes."""
        columns = [
            name for name in silver_schema(self.validator.entity).names if name != "_deleted_at"
        ]
        kinds = pl.Schema(silver_schema(self.validator.entity))
        return pl.Schema({**{name: kinds[name] for name in columns}, "_operation": pl.String()})

    def left(self, ends: Mapping[EpochPartition, int]) -> dict[EpochPartition, OffsetRange]:
        """Return the ranges that are not validated yet, up to the given end offsets."""
        ranges = {
            p: OffsetRange(start=min(self._positions.get(p, 0), e), stop=e) for p, e in ends.items()
        }
        return {
            partition: offsets
            for partition, offsets in ranges.items()
            if offsets.start < offsets.stop
        }

    def forget_the_rest(self) -> None:
        """Delete what a process that was killed here may have validated beyond what it noted."""
        self.files.forget(self.batches)

    def spill(self, bronze: BronzeSource, ranges: OffsetRanges, *, batch: int) -> pl.DataFrame:
        """Validate the changes in these ranges into files of a batch, and return them."""
        records = bronze.read(ranges, keys=self.keys)
        ends = {partition: offsets.stop for partition, offsets in ranges.items()}
        validated = self.validator.validate(records, lambda keys: bronze.of_keys(keys, ends))
        self._write_valid(validated.filter(pl.col(BROKEN).is_null()), batch)
        key = self.validator.entity.key
        quarantined = pl.DataFrame(self.tables.quarantined(validated, records))
        self.files.spill(quarantined, "quarantine", "_offset", batch=batch)
        names = validated.select(key).unique().drop_nulls()
        self.files.spill(names, "names", key, batch=batch)
        return validated

    def note(self, ranges: OffsetRanges, *, read: int, broken: int) -> None:
        """Note that the next batch is in files: its ranges, and its numbers of changes."""
        self.batches += 1
        self.read += read
        self.broken += broken
        self._positions |= {partition: offsets.stop for partition, offsets in ranges.items()}
        write_json(self._notes, self._kept())

    def require_kept(self) -> None:
        """Raise if another process has cleared or used the folder.

        Raises:
            RetryLaterError: the validated changes no longer exist.
        """
        # No notes before the first batch, also for an empty range.
        if read_json(self._notes) != (self._kept() if self.batches else None):
            problem = (
                f"Another replay of {self.validator.entity.table} has restarted what this one "
                "validated"
            )
            raise RetryLaterError(problem, "Run the same replay again.")

    def of_kind(self, kind: str, shard: int) -> pl.DataFrame:
        """Return the rows of a shard for one of the tables: current, history or quarantine."""
        made = {"current": self.current, "history": self.history, "quarantine": self.quarantine}
        return made[kind](shard)

    def current(self, shard: int) -> pl.DataFrame:
        """Return the current rows for the keys of a shard."""
        return pl.DataFrame(self.tables.current_rows(self._valid(shard)))

    def history(self, shard: int) -> pl.DataFrame:
        """Return all versions for the keys of a shard."""
        return pl.DataFrame(self.tables.history_rows(self._valid(shard)))

    def quarantine(self, shard: int) -> pl.DataFrame:
        """Return quarantined changes; these are sharded by their offsets."""
        return self.files.read("quarantine", shard, pl.Schema(QUARANTINE_SCHEMA))

    def names(self) -> pl.Series:
        """Return silver's keys of all changes with a readable key."""
        key = self.validator.entity.key
        schema = pl.Schema({key: self.schema[key]})
        shards = [self.files.read("names", shard, schema) for shard in range(self.files.count)]
        return pl.concat(shards)[key].unique()

    def _valid(self, shard: int) -> pl.DataFrame:
        return self.files.read("valid", shard, self.schema)

    def _write_valid(self, valid: pl.DataFrame, batch: int) -> None:
        if self.validator.entity.history is None:
            # Only the last change of a key matters.
            newest = latest(nw.from_native(valid.lazy()), self.validator.entity.key)
            valid = collected(newest)
        rows = valid.select(self.schema.names())
        self.files.spill(rows, "valid", self.validator.entity.key, batch=batch)

    @property
    def _notes(self) -> Path:
        return self.files.folder / _NOTES

    def _kept(self) -> dict[str, object]:
        return {
            "batches": self.batches,
            "read": self.read,
            "broken": self.broken,
            "positions": [
                [p.epoch, p.topic_id, p.partition, at] for p, at in self._positions.items()
            ],
        }
