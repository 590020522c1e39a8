"""Replays a range of bronze into silver: recomputes each of its keys from all of its changes.

Watermarks do not move. Changes are validated while consolidations run; only writing the result
blocks them, after the replay has caught up with what they have applied. What a killed run left
half done is finished first, so that all tables are at the same offsets.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from batch.processes import ALONE, Processes
from batch.silver.bronze import BronzeSource
from batch.silver.commit import SilverTable
from batch.silver.distributed import SilverJob
from batch.silver.distributed_replay import ReplayJob, StoredTable, replayed_by
from batch.silver.keys import keys_named, names_of, names_standing
from batch.silver.offsets import OffsetRanges
from batch.silver.replace import Scope, ShardDiff, Target, replace_differing
from batch.silver.revalidated import Revalidated
from batch.silver.run import SilverRules, consolidate_silver
from batch.silver.shards import Shards
from batch.silver.tables import SilverTables, is_outdated
from batch.spark.cluster import Cluster
from batch.spark.files import Place
from batch.table_diff import TableDiff
from lakehouse.cleaning.transforms.latest import ORDER
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import COORDINATE, QUARANTINE
from lakehouse.delta import open_table, retry_later, scan
from lakehouse.digest import Digest, digest
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.json_file import write_json
from lakehouse.lake import Lake
from lakehouse.offsets import EpochPartition, OffsetRange, count_positions, up_to
from replay.workspace import resumed

Progress = Callable[[str, int, int], None]
"""Called with the step, the number of offsets or tables done, and their total (0 if unknown)."""
Alone = Callable[[], AbstractContextManager[None]]
"""Blocks other writers of the tables within a block."""
_PLAN = "plan.json"
_KEYS = "keys.arrow"
_STANDING = "standing.arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class SilverReplay:
    """Result of a replay into an entity's tables.

    Attributes:
        entity: the shop's table.
        ranges: the range.
        went_on: whether it resumed an interrupted replay, with the range of that one.
        keys: number of keys recomputed; None for all.
        read: changes that were validated.
        broken: how many of them are quarantined now.
        diffs: table diff of each table.
    """

    entity: str
    ranges: OffsetRanges
    went_on: bool
    keys: int | None
    read: int
    broken: int
    diffs: tuple[TableDiff, ...]


@dataclass(kw_only=True)
class SilverReplayer:
    """A replay of one entity.

    Attributes:
        lake: the lake.
        rules: validation settings.
        entity: the contract.
        ranges: the range, which silver has applied.
        folder: for validated changes. A replay that finds some resumes from there, unless bronze
            was rewritten since.
        alone: blocks consolidations of the entity.
        keys: as in Kafka; if given, the range does not matter.
        cluster: of Spark, whose workers validate and compare if there is more than one batch. No
            validated changes are kept there: a replay that resumes has only the range and keys of
            the interrupted one. Consolidations of the entity wait for all of it.
        processes: of this machine, which validate and compare.
        on_progress: called with the progress.
    """

    lake: Lake
    rules: SilverRules
    entity: Entity
    ranges: OffsetRanges
    folder: Path
    alone: Alone
    keys: pl.Series | None = None
    cluster: Cluster | None = None
    processes: Processes = ALONE
    on_progress: Progress = lambda _what, _done, _total: None

    def run(self) -> SilverReplay:
        """Validate again, and replace what differs.

        Raises:
            StopPipelineError: bronze does not exist, or the source's schema changed and the
                contract says to stop.
            RetryLaterError: the object store does not answer, or another writer commits. A repeated
                replay resumes.
        """
        what = f"{self.entity.table} could not be replayed"
        with retry_later(what, then="Run the same replay again: it resumes where it stopped."):
            return self._run()

    def _run(self) -> SilverReplay:
        # Each opening makes a client of the store, and this opens all tables twice.
        self.lake = self.lake.keeping()
        bronze, tables = self._opened()
        if not _is_level(tables, bronze):
            with self.alone():
                consolidate_silver(self.lake, self.rules, [self.entity])
            bronze, tables = self._opened()
        ends = _ends(tables.current, bronze)
        plan = resumed(self.folder / _PLAN, bronze.delta)
        went_on = plan is not None
        revalidated = self._revalidated(plan or self._plan(tables, bronze, ends), tables)
        # A single batch is validated no faster elsewhere, and a driver takes long to begin.
        cluster = self.cluster if len(self._batches(bronze, ends)) > 1 else None
        if cluster is None:
            self._validate(revalidated, bronze, ends)
        with self.alone():
            bronze, tables = self._opened()
            if not _is_level(tables, bronze):
                problem = f"A consolidation of {self.entity.table} was killed meanwhile"
                action = "Run the same replay again: it resumes where it stopped."
                raise RetryLaterError(problem, action)
            revalidated.tables = tables
            if cluster is None:
                self._validate(revalidated, bronze, _ends(tables.current, bronze))
                revalidated.require_kept()
                found = list(self._replaced(revalidated, bronze))
            else:
                found = list(self._replaced_by(cluster, revalidated, bronze))
        keys = None if revalidated.keys is None else len(revalidated.keys)
        return SilverReplay(
            entity=self.entity.table, ranges=self.ranges, went_on=went_on, keys=keys,
            read=revalidated.read, broken=revalidated.broken, diffs=tuple(found),
        )  # fmt: skip

    def _opened(self) -> tuple[BronzeSource, SilverTables]:
        """Open silver first, so that bronze holds everything that silver has applied."""
        tables = SilverTables(self.lake, self.entity, self.rules.retention_hours)
        tables.open_all()
        if self.entity.is_derived and is_outdated(tables.current.delta, self.entity):
            problem = f"silver/{self.entity.silver} has other columns than its contract by now"
            raise StopPipelineError(problem, "First apply it: ./pipeline consolidate")
        delta = self.lake.open("bronze", self.entity.bronze)
        if delta is None:
            message = f"bronze/{self.entity.bronze} does not exist, so nothing can be replayed."
            raise StopPipelineError(message)
        return BronzeSource(delta), tables

    def _revalidated(self, plan: Mapping[str, Any], tables: SilverTables) -> Revalidated:
        # Ranges as of the start: an open-ended range has grown meanwhile, its keys have not.
        self.ranges = {
            EpochPartition(epoch=epoch, topic_id=topic_id, partition=partition): OffsetRange(
                start=start, stop=stop
            )
            for epoch, topic_id, partition, start, stop in plan["ranges"]
        }
        return Revalidated(
            files=Shards(folder=self.folder, count=plan["shards"]),
            tables=tables,
            validator=self.rules.validator(self.entity),
            keys=None if plan["is_all"] else self._kept(_KEYS),
        )

    def _plan(
        self, tables: SilverTables, bronze: BronzeSource, ends: Mapping[EpochPartition, int]
    ) -> dict[str, Any]:
        is_all = self.keys is None and all(
            self.ranges.get(coordinate) == whole for coordinate, whole in up_to(ends).items()
        )
        if not is_all:
            self._choose(tables, bronze)
        plan = {
            "shards": bronze.count_batches(ends, self.rules.batch),
            "is_all": is_all,
            "ranges": [
                (p.epoch, p.topic_id, p.partition, s.start, s.stop) for p, s in self.ranges.items()
            ],
            "version": bronze.delta.version(),
        }
        write_json(self.folder / _PLAN, plan)
        return plan

    def _choose(self, tables: SilverTables, bronze: BronzeSource) -> None:
        """Store the selected keys, and silver's rows from the range.

        Such a row was written by a change of the range, perhaps from what bronze contained before
        it was repaired. Its key may have other changes, so it is recomputed, not just deleted.
        """
        keys = bronze.keys(self.ranges) if self.keys is None else self.keys
        standing = names_standing(self.entity, _with_keys(tables), bronze, self.ranges)
        others = standing.filter(~standing.is_in(names_of(self.entity, keys).implode()))
        keys = pl.concat([keys, keys_named(self.entity, bronze, others)]).unique()
        pl.DataFrame({"key": keys}).write_ipc(self.folder / _KEYS)
        standing.to_frame("key").write_ipc(self.folder / _STANDING)

    def _kept(self, name: str) -> pl.Series:
        return pl.read_ipc(self.folder / name)["key"]

    def _validate(
        self, revalidated: Revalidated, bronze: BronzeSource, ends: Mapping[EpochPartition, int]
    ) -> None:
        left = revalidated.left(ends)
        total = sum(ends.values())
        batches = list(bronze.batches(left, self.rules.batch))
        validated = partial(self._job(revalidated, bronze).validated, self.folder)
        done = total - count_positions(left.values())
        revalidated.forget_the_rest()
        self.on_progress(f"{self.entity.table}: validating", done, total)
        found = self.processes.map(validated, enumerate(batches, revalidated.batches))
        for batch, one in zip(batches, found, strict=True):
            revalidated.note(batch, read=one.report.read, broken=one.report.quarantined)
            done += count_positions(batch.values())
            self.on_progress(f"{self.entity.table}: validating", done, total)
        self.on_progress(f"{self.entity.table}: comparing", total, total)

    def _replaced(self, revalidated: Revalidated, bronze: BronzeSource) -> Iterator[TableDiff]:
        """Replace the rows of each table, the current rows last, as in every commit to silver."""
        names = None
        if revalidated.keys is not None:
            names = pl.concat([revalidated.names(), self._kept(_STANDING)]).unique()
        job = self._job(revalidated, bronze)
        for kind, name, target in self._targets(revalidated, names, bronze):
            put = partial(
                replace_differing, target, partial(job.rows, self.folder, kind),
                shards=revalidated.files.count, limits=self.rules.batch, processes=self.processes,
            )  # fmt: skip
            yield self._proved(name, target, put)

    def _replaced_by(
        self, cluster: Cluster, revalidated: Revalidated, bronze: BronzeSource
    ) -> Iterator[TableDiff]:
        """Replace the rows of each table by those that a cluster finds to differ."""
        tables, shards = revalidated.tables, revalidated.files.count
        self.on_progress(f"{self.entity.table}: on Spark", 0, 0)
        standing = None if revalidated.keys is None else self._kept(_STANDING)
        targets = list(self._targets(revalidated, standing, bronze))
        places = {kind: Place.of(one.delta, self.lake.options) for kind, _, one in targets}
        batches = self._batches(bronze, _ends(tables.current, bronze))
        found = replayed_by(cluster, ReplayJob(
            validation=replace(
                self._job(revalidated, bronze), batches=batches, places=places, opened=None
            ),
            stored={
                kind: StoredTable.of(name, one, shards=shards) for kind, name, one in targets
            },
        ))  # fmt: skip
        revalidated.read, revalidated.broken = found.read, found.broken
        for kind, name, target in targets:
            yield self._proved(name, target, partial(found.replace, kind, target))

    def _job(self, revalidated: Revalidated, bronze: BronzeSource) -> SilverJob:
        return SilverJob(
            tables=SilverTables(self.lake.afresh(), self.entity, self.rules.retention_hours),
            rules=self.rules,
            run_id="",
            version=bronze.delta.version(),
            ends=bronze.ends,
            batches=(),
            shards=revalidated.files.count,
            uncounted={},
            places={},
            keys=revalidated.keys,
            opened=bronze,
        )

    def _batches(
        self, bronze: BronzeSource, ends: Mapping[EpochPartition, int]
    ) -> tuple[OffsetRanges, ...]:
        return tuple(bronze.batches(up_to(ends), self.rules.batch))

    def _targets(
        self, revalidated: Revalidated, names: pl.Series | None, bronze: BronzeSource
    ) -> Iterator[tuple[str, str, Target]]:
        """Yield kind, name and rows of each table."""
        # Where all rows are meant, no scope asks for them, and finding them reads all keys.
        keyless = bronze.keyless({} if names is None else self.ranges)
        tables, entity, key = revalidated.tables, self.entity, self.entity.key
        of_names = Scope(column=key, keys=names, keyless=keyless, ranges={})
        quarantine = Target(
            delta=tables.quarantine.delta,
            identity=COORDINATE,
            sharded_by="_offset",
            scope=Scope(column="key", keys=revalidated.keys, keyless=keyless, ranges=self.ranges),
            is_all=names is None,
            partition="entity",
            shard=entity.table,
        )
        yield "quarantine", QUARANTINE, quarantine
        if tables.history is not None and entity.history is not None:
            history = Target(
                delta=tables.history.delta,
                identity=(key, *ORDER),
                sharded_by=key,
                scope=of_names,
                is_all=names is None,
            )
            yield "history", entity.history, history
        current = Target(
            delta=tables.current.delta,
            identity=(key,),
            sharded_by=key,
            scope=of_names,
            is_all=names is None,
            partition=entity.partition,
        )
        yield "current", entity.silver, current

    def _proved(self, name: str, target: Target, put: Callable[[], ShardDiff]) -> TableDiff:
        version = target.delta.version()
        diff = put()
        before = diff.before if target.is_all else self._digest(name, target, version)
        target.delta.update_incremental()
        is_same = target.delta.version() == version
        after = before if is_same else self._digest(name, target, target.delta.version())
        table = name if target.shard is None else f"{name} of {target.shard}"
        return TableDiff(
            layer="silver", table=table, before=before, after=after, differences=diff.found
        )

    def _digest(self, name: str, target: Target, version: int) -> Digest:
        uri = self.lake.uri("silver", name)
        delta = open_table(uri, self.lake.options, version=version)
        if delta is None:
            message = f"{uri} is gone"
            raise StopPipelineError(message)
        rows = scan(delta)
        if target.shard is not None:
            rows = rows.filter(pl.col("entity") == target.shard)
        return digest(rows)


def _with_keys(tables: SilverTables) -> Iterator[DeltaTable]:
    yield tables.current.delta
    if tables.history is not None:
        yield tables.history.delta


def _ends(table: SilverTable, bronze: BronzeSource) -> dict[EpochPartition, int]:
    return {partition: table.position(partition) for partition in bronze.ends}


def _is_level(tables: SilverTables, bronze: BronzeSource) -> bool:
    """Return whether all tables have applied the same offsets."""
    ends = _ends(tables.current, bronze)
    others = (tables.history, tables.quarantine, tables.counts)
    return all(table is None or _ends(table, bronze) == ends for table in others)
