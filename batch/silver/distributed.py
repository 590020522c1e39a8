"""Silver's rebuild as a job: validate batches of bronze, then build shards.

Processes of one machine have a folder in common, whose files `Revalidated` spills; between several
machines, these files are sent.
"""

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake.transaction import AddAction
from typing_extensions import override

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges, is_within
from batch.silver.revalidated import Revalidated
from batch.silver.run import SilverReport, SilverRules
from batch.silver.shards import Shards
from batch.silver.tables import SilverTables
from batch.spark.files import Place
from batch.spark.job import FOR_CALLER, Part, as_found, for_caller
from lakehouse.cleaning.validator import Validator, count_rules
from lakehouse.contracts.schemas import QUARANTINE_SCHEMA, history_schema, silver_schema
from lakehouse.offsets import EpochPartition


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What validation found in a batch: totals, and the counts of each rule."""

    report: SilverReport
    rules: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files of one shard, by table, and the number of current rows in them."""

    quarantine: list[AddAction]
    history: list[AddAction]
    current: list[AddAction]
    rows: int


@dataclass(frozen=True, kw_only=True)
class SilverJob:
    """The rebuild of one entity from one version of bronze.

    Attributes:
        tables: the entity's tables, by a lake that keeps none open.
        version: of bronze.
        ends: of bronze in that version.
        batches: what each task validates.
        uncounted: changes whose rules are not counted yet.
        places: where files of the tables go.
        keys: as in Kafka; other keys are skipped, and the names of these are told. None for all.
        opened: bronze, if this process has it open. Other processes open it themselves.
    """

    tables: SilverTables
    rules: SilverRules
    run_id: str
    version: int
    ends: Mapping[EpochPartition, int]
    batches: Sequence[OffsetRanges]
    shards: int
    uncounted: OffsetRanges
    places: Mapping[str, Place]
    keys: pl.Series | None = None
    opened: BronzeSource | None = None

    @override
    def __getstate__(self) -> dict[str, object]:
        """Return what can be pickled."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"opened": None}

    @property
    def tasks(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def map(self, task: int) -> Iterator[Part]:
        """Validate a batch of bronze."""
        with tempfile.TemporaryDirectory(prefix="map-") as name:
            yield for_caller(self.validated(Path(name), (task, self.batches[task])))
            for kind, shard, path in self.work(Path(name)).files.all():
                if kind != "names" or self.keys is not None:
                    yield Part(shard=shard, name=f"{kind}/{task}", content=path.read_bytes())

    def validated(self, folder: Path, batch: tuple[int, OffsetRanges]) -> Counted:
        """Validate a batch, given with its number, into files of a folder."""
        entity, (number, ranges) = self.tables.entity, batch
        changes = self.work(folder).spill(self._bronze, ranges, batch=number)
        rules = count_rules(changes.filter(is_within(self.uncounted)), entity, self.run_id)
        report = SilverReport(entity=entity.table, table=entity.silver)
        return Counted(report=report.plus(changes, entity), rules=rules)

    def rows(self, folder: Path, kind: str, shard: int) -> pl.DataFrame:
        """Return the rows of a shard for a kind of table, from the files of all batches."""
        return self.work(folder).of_kind(kind, shard)

    def reduce(self, shard: int, parts: Iterable[Part]) -> bytes:
        """Write the files of a shard's rows."""
        if shard == FOR_CALLER:
            return as_found(parts)
        with tempfile.TemporaryDirectory(prefix="reduce-") as name:
            work = self.work(Path(name))
            for part in parts:
                kind, _, task = part.name.partition("/")
                work.files.add(part.content, kind, shard, batch=int(task))
            history = (
                []
                if "history" not in self.places
                else self._write("history", work.history(shard), history_schema(self.tables.entity))
            )
            current = work.current(shard)
            written = Written(
                quarantine=self._write("quarantine", work.quarantine(shard), QUARANTINE_SCHEMA),
                history=history,
                current=self._write("current", current, silver_schema(self.tables.entity)),
                rows=current.height,
            )
        return pickle.dumps([written])

    def _write(self, table: str, rows: pl.DataFrame, schema: pa.Schema) -> list[AddAction]:
        return self.places[table].write(rows.to_arrow().cast(schema))

    def work(self, folder: Path) -> Revalidated:
        """Return validated changes in a folder: those of a batch, or of a shard."""
        return Revalidated(
            files=Shards(folder=folder, count=self.shards),
            tables=self.tables,
            validator=self._validator,
            keys=self.keys,
        )

    # A worker keeps the job from task to task, and with it what takes long to make.

    @cached_property
    def _validator(self) -> Validator:
        return self.rules.validator(self.tables.entity)

    @cached_property
    def _bronze(self) -> BronzeSource:
        if self.opened is not None:
            return self.opened
        bronze = self.tables.entity.bronze
        delta = self.tables.lake.existing("bronze", bronze, version=self.version)
        return BronzeSource(delta, self.ends)
