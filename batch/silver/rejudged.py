"""Changes of an entity judged again, on disk, dealt by key into parts that fit into memory.

A part holds all changes of its keys, so what follows from them can be worked out part by part. Each
piece of bronze that was judged is noted with how far it went: who comes back after a crash goes on
behind it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import narwhals as nw
import orjson
import polars as pl

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges
from batch.silver.parts import Parts
from batch.silver.tables import SilverTables
from lakehouse.cleaning.judge import Judge
from lakehouse.cleaning.transforms.latest import latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts.schemas import QUARANTINE_SCHEMA, history_schema, silver_schema
from lakehouse.errors import RetryLaterError
from lakehouse.offsets import EpochPartition, OffsetRange

_NOTES = "judged.json"


@dataclass(kw_only=True)
class Rejudged:
    """What was judged so far, in a folder.

    Attributes:
        files: in a folder of its own; what an earlier process has left there is taken up.
        tables: of the entity.
        judge: by the rules of today.
        keys: as Kafka has them; others are passed over. None for all.
        pieces: how many were judged.
        read: changes in them.
        broken: of these, how many were put aside.
    """

    files: Parts
    tables: SilverTables
    judge: Judge
    keys: pl.Series | None = None
    pieces: int = 0
    read: int = 0
    broken: int = 0
    _positions: dict[EpochPartition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take up what is there."""
        kept = self._noted()
        if kept is not None:
            self.pieces, self.read, self.broken = kept["pieces"], kept["read"], kept["broken"]
            self._positions = {
                EpochPartition(epoch=epoch, topic_id=topic_id, partition=partition): stop
                for epoch, topic_id, partition, stop in kept["positions"]
            }

    @property
    def schema(self) -> pl.Schema:
        """Of valid changes."""
        columns = [name for name in silver_schema(self.judge.entity).names if name != "_deleted_at"]
        kinds = pl.Schema(silver_schema(self.judge.entity))
        return pl.Schema({**{name: kinds[name] for name in columns}, "operation": pl.String()})

    def left(self, ends: Mapping[EpochPartition, int]) -> dict[EpochPartition, OffsetRange]:
        """What is not judged yet, up to the given positions."""
        spans = {
            p: OffsetRange(start=min(self._positions.get(p, 0), e), stop=e) for p, e in ends.items()
        }
        return {place: span for place, span in spans.items() if span.start < span.stop}

    def add(self, bronze: BronzeSource, spans: OffsetRanges) -> pl.DataFrame:
        """Judge the changes in some spans, which follow what was judged before; return them."""
        # A process that was killed here may have judged other spans than these.
        self.files.forget(self.pieces)
        records = bronze.read(spans, keys=self.keys)
        ends = {place: span.stop for place, span in spans.items()}
        judged = self.judge.judge(records, lambda keys: bronze.of_keys(keys, ends))
        self._write_valid(judged.filter(pl.col(BROKEN).is_null()))
        key = self.judge.entity.key
        aside = pl.DataFrame(self.tables.quarantined(judged, records))
        self.files.deal(aside, "quarantine", "_offset", piece=self.pieces)
        names = judged.select(key).unique().drop_nulls()
        self.files.deal(names, "names", key, piece=self.pieces)
        self.pieces += 1
        self.read += judged.height
        self.broken += aside.height
        self._positions |= ends
        self._note()
        return judged

    def require_kept(self) -> None:
        """Refuse to go on if somebody else has cleared or used the folder.

        Raises:
            RetryLaterError: what was judged is not there any more.
        """
        if self._noted() != (self._kept() if self.pieces else None):
            message = (
                f"Another replay of {self.judge.entity.table} has begun anew what this one judged. "
                "Run the same replay again."
            )
            raise RetryLaterError(message)

    def current(self, part: int) -> pl.DataFrame:
        """Rows of the table with what is true now, of the keys of a part."""
        return pl.DataFrame(self.tables.current_rows(self._valid(part)))

    def history(self, part: int) -> pl.DataFrame:
        """All versions of the keys of a part."""
        nothing = pl.DataFrame(schema=pl.Schema(history_schema(self.judge.entity))).lazy()
        return pl.DataFrame(self.tables.history_rows(self._valid(part), nothing))

    def quarantine(self, part: int) -> pl.DataFrame:
        """Changes that were put aside; these are dealt by their offsets."""
        return self.files.read("quarantine", part, pl.Schema(QUARANTINE_SCHEMA))

    def names(self) -> pl.Series:
        """Keys of the entity, of all changes in which one could be read."""
        key = self.judge.entity.key
        schema = pl.Schema({key: self.schema[key]})
        parts = [self.files.read("names", part, schema) for part in range(self.files.count)]
        return pl.concat(parts)[key].unique()

    def _valid(self, part: int) -> pl.DataFrame:
        return self.files.read("valid", part, self.schema)

    def _write_valid(self, valid: pl.DataFrame) -> None:
        if self.tables.history is None:
            # Only the last one of a key matters.
            newest = latest(nw.from_native(valid.lazy()), self.judge.entity.key)
            valid = pl.DataFrame(newest.collect().to_native())
        rows = valid.select(self.schema.names())
        self.files.deal(rows, "valid", self.judge.entity.key, piece=self.pieces)

    @property
    def _notes(self) -> Path:
        return self.files.folder / _NOTES

    def _noted(self) -> dict[str, Any] | None:
        """What is on disk; None until a first piece was judged: an empty range has none."""
        return orjson.loads(self._notes.read_bytes()) if self._notes.exists() else None

    def _note(self) -> None:
        draft = self._notes.with_suffix(".new")
        draft.write_bytes(orjson.dumps(self._kept()))
        draft.replace(self._notes)

    def _kept(self) -> dict[str, object]:
        return {
            "pieces": self.pieces,
            "read": self.read,
            "broken": self.broken,
            "positions": [
                [p.epoch, p.topic_id, p.partition, at] for p, at in self._positions.items()
            ],
        }
