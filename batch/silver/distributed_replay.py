"""A replay into silver as a job for several machines: its tables are compared shard by shard.

Tasks validate batches of bronze, and read the files of silver's tables; what they find goes to the
shards of its keys. A shard tells the rows that differ, as long as they are few.
"""

import dataclasses
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import chain, count
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from batch.silver.distributed import Counted, SilverJob
from batch.silver.replace import Scope, ShardDiff, Target, outside
from batch.silver.revalidated import Revalidated
from batch.silver.shards import Shards
from batch.silver.sizes import BatchLimits
from batch.spark.cluster import Cluster
from batch.spark.files import replace_files
from batch.spark.job import FOR_CALLER, Part, as_found
from lakehouse.lake import Lake

_STORED = "stored_"


@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """A table that is compared, at one version. Can be pickled, unlike `Target`.

    Attributes:
        reads: how many tasks read its files.
    """

    name: str
    version: int
    schema: pa.Schema
    identity: tuple[str, ...]
    sharded_by: str
    scope: Scope
    partition: tuple[str, str] | None
    reads: int

    @classmethod
    def of(cls, name: str, target: Target, *, shards: int) -> "StoredTable":
        """Return the table of a target, read by as many tasks as there are shards at most."""
        files = len(target.delta.file_uris())
        return cls(
            name=name, version=target.delta.version(), schema=target.schema,
            identity=target.identity, sharded_by=target.sharded_by, scope=target.scope,
            partition=target.only, reads=min(shards, files),
        )  # fmt: skip

    def rows(self, lake: Lake, number: int, limits: BatchLimits) -> Iterator[pl.DataFrame]:
        """Yield the rows of one of its tasks."""
        delta = lake.existing("silver", self.name, version=self.version)
        chosen = (
            None if self.partition is None else pc.field(self.partition[0]) == self.partition[1]
        )
        for batch in _of_files(delta, number, self.reads, chosen, limits.records):
            if batch.num_rows:
                yield pl.DataFrame(pa.Table.from_batches([batch]).cast(self.schema))


def _of_files(
    delta: DeltaTable, number: int, of: int, chosen: pc.Expression | None, rows: int
) -> Iterator[pa.RecordBatch]:
    whole = delta.to_pyarrow_dataset()
    files = sorted(whole.get_fragments(chosen), key=lambda one: one.path)[number::of]
    few = ds.FileSystemDataset(files, whole.schema, whole.format, whole.filesystem)
    yield from few.to_batches(
        filter=chosen, batch_size=rows, batch_readahead=1, fragment_readahead=1
    )


@dataclass(frozen=True, kw_only=True)
class ReplayJob:
    """The replay of one entity from one version of bronze.

    Attributes:
        validation: validates changes.
        stored: tables to compare, by kind. In the scopes of current rows and history, the keys of
            validated changes are still missing.
        rewritten: tables whose rows are written, rather than compared.
    """

    validation: SilverJob
    stored: Mapping[str, StoredTable]
    rewritten: frozenset[str] = frozenset()

    @property
    def tasks(self) -> int:
        """Return the number of batches, and of tasks that read tables."""
        return self.validation.tasks + len(self._reads)

    @property
    def shards(self) -> int:
        """Return the number of shards."""
        return self.validation.shards

    def map(self, task: int) -> Iterator[Part]:
        """Validate a batch of bronze, or read some files of a table."""
        if task < self.validation.tasks:
            yield from self.validation.map(task)
            return
        kind, number = self._reads[task - self.validation.tasks]
        one, limits = self.stored[kind], self.validation.rules.batch
        with tempfile.TemporaryDirectory(prefix="map-") as name:
            files = Shards(folder=Path(name), count=self.shards)
            for batch, rows in enumerate(one.rows(self.validation.tables.lake, number, limits)):
                files.spill(rows, kind, one.sharded_by, batch=batch)
            for _, shard, path in files.all():
                yield Part(shard=shard, name=f"{_STORED}{kind}/{task}", content=path.read_bytes())

    def reduce(self, shard: int, parts: Iterable[Part]) -> bytes:
        """Compare the rows of a shard, or write them to files."""
        if shard == FOR_CALLER:
            return as_found(parts)
        with tempfile.TemporaryDirectory(prefix="reduce-") as name:
            work, numbers = self.validation.work(Path(name)), count()
            for part in parts:
                kind, _, task = part.name.partition("/")
                batch = next(numbers) if kind.startswith(_STORED) else int(task)
                work.files.add(part.content, kind, shard, batch=batch)
            found = {
                kind: self._written(kind, work, shard)
                if self.rewritten
                else self._compared(kind, work, shard)
                for kind in self.rewritten or self.stored
            }
        return pickle.dumps([(shard, found)])

    def _compared(self, kind: str, work: Revalidated, shard: int) -> ShardDiff:
        one, limits = self.stored[kind], self.validation.rules.batch
        old = self._scope(kind, work)(self._old(kind, work, shard)).collect()
        # All shards together are for the caller's memory.
        share = BatchLimits(
            records=ceil(limits.records / self.shards), bytes=ceil(limits.bytes / self.shards)
        )
        return ShardDiff.of(one.identity, work.of_kind(kind, shard), old, share)

    def _written(self, kind: str, work: Revalidated, shard: int) -> list[AddAction]:
        one, rows = self.stored[kind], work.of_kind(kind, shard)
        if one.scope.keys is not None:
            others = outside(self._scope(kind, work), one.identity, self._old(kind, work, shard))
            rows = pl.concat([rows, others.select(rows.columns).collect()])
        return self.validation.places[kind].write(rows.to_arrow().cast(one.schema))

    def _old(self, kind: str, work: Revalidated, shard: int) -> pl.LazyFrame:
        schema = pl.Schema(self.stored[kind].schema)
        return work.files.read(f"{_STORED}{kind}", shard, schema).lazy()

    def _scope(self, kind: str, work: Revalidated) -> Scope:
        scope = self.stored[kind].scope
        if scope.keys is None or kind == "quarantine":
            return scope
        return dataclasses.replace(scope, keys=pl.concat([scope.keys, work.names()]).unique())

    @cached_property
    def _reads(self) -> Sequence[tuple[str, int]]:
        """Return which table each task reads, and which of its shares of the files."""
        kinds = [
            kind
            for kind, one in self.stored.items()
            if not self.rewritten or (kind in self.rewritten and one.scope.keys is not None)
        ]
        return [(kind, number) for kind in kinds for number in range(self.stored[kind].reads)]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a cluster has found; nothing is committed.

    Attributes:
        read: number of changes that were validated.
        broken: how many of them are quarantined.
        diffs: by kind of table.
        files: of the tables that are rewritten, by kind.
    """

    read: int
    broken: int
    diffs: Mapping[str, ShardDiff]
    files: Mapping[str, Sequence[AddAction]]

    def replace(self, kind: str, target: Target) -> ShardDiff:
        """Bring a table to the state of the new rows in one commit, or none if it is there.

        Raises:
            RetryLaterError: the object store does not answer, or another program has changed it.
            DeltaError: as well.
        """
        diff = self.diffs[kind]
        if diff.is_rewritten:
            replace_files(
                target.delta, self.files[kind], target.schema, partition=target.only, watermarks={}
            )
        else:
            diff.merge_into(target)
        return diff


def replayed_by(cluster: Cluster, job: ReplayJob) -> Replayed:
    """Compare on a cluster; where too much differs, in a second job, write whole tables.

    Raises:
        StopPipelineError: a contract says to stop, or a worker cannot run the project.
        RetryLaterError: Spark or the object store does not answer.
    """
    limits = job.validation.rules.batch
    counted, compared = _sorted(cluster.run(job))
    diffs = {}
    for kind, one in job.stored.items():
        nothing = pl.DataFrame(schema=pl.Schema(one.schema))
        start = ShardDiff.of(one.identity, nothing, nothing, limits)
        shards = [found[kind] for found in compared]
        diffs[kind] = reduce(lambda each, other: each.plus(other, limits), shards, start)
    files: dict[str, list[AddAction]] = {}
    if rewritten := frozenset(kind for kind, diff in diffs.items() if diff.is_rewritten):
        _, written = _sorted(cluster.run(dataclasses.replace(job, rewritten=rewritten)))
        files = {kind: list(chain.from_iterable(s[kind] for s in written)) for kind in rewritten}
    return Replayed(
        read=sum(one.report.read for one in counted),
        broken=sum(one.report.quarantined for one in counted),
        diffs=diffs,
        files=files,
    )


def _sorted(results: Iterable[list[Any]]) -> tuple[list[Counted], list[dict[str, Any]]]:
    """Return what tasks have counted, and what shards have found, in their order."""
    found = list(chain.from_iterable(results))
    counted = [one for one in found if isinstance(one, Counted)]
    shards = sorted((one for one in found if isinstance(one, tuple)), key=lambda one: one[0])
    return counted, [of_kind for _, of_kind in shards]
