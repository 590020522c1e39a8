"""Gold's full run as a job for several machines: each task computes a month of all tables.

A month's order lines are computed once for all tables that are made from them, as in one process.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deltalake.transaction import AddAction

from batch.gold.builders import BUILDERS
from batch.gold.silver import Silver, SilverTable
from batch.gold.task import Batch, Replacement, Task
from batch.spark.cluster import Cluster
from batch.spark.files import Place
from batch.spark.job import Part, as_found, for_caller
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.contracts.schemas import gold_schema
from lakehouse.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month of one table: files of its rows, or what all rows are made from."""

    table: str
    files: Sequence[AddAction] = ()
    rows: int = 0
    batch: Batch | None = None
    rows_read: int


@dataclass(frozen=True, kw_only=True)
class Full:
    """A table computed in full: files to commit, of so many months and rows; or its rows."""

    months: Sequence[Month]
    replacement: Replacement | None = None

    @property
    def files(self) -> list[AddAction]:
        """Return the files of all months."""
        return [file for month in self.months for file in month.files]


@dataclass(frozen=True, kw_only=True)
class GoldJob:
    """Tables from these versions of silver; None where silver lacks a table.

    Attributes:
        months: the tables that each month is computed of.
        places: where files of the tables go; those of the others are not written.
    """

    lake: Lake
    silver: Mapping[str, int | None]
    months: Sequence[tuple[str, tuple[str, ...]]]
    places: Mapping[str, Place]
    shards: int = 1

    @property
    def tasks(self) -> int:
        """Return the number of months."""
        return len(self.months)

    def map(self, task: int) -> Iterator[Part]:
        """Compute a month."""
        month, names = self.months[task]
        with tempfile.TemporaryDirectory(prefix="gold-") as scratch:
            for name in names:
                yield for_caller(self._computed(name, month, Path(scratch)))

    def reduce(self, _shard: int, parts: Iterable[Part]) -> bytes:
        """Return what the months gave."""
        return as_found(parts)

    def _computed(self, name: str, month: str, scratch: Path) -> Month:
        table = GOLD_TABLES[name]
        gold = self.lake.existing("gold", name)
        batch = BUILDERS[name].full.month(
            Task(
                table=table, gold=gold, silver=self._pinned, since=None, lake=self.lake,
                scratch=scratch,
            ),
            month,
        )  # fmt: skip
        if name not in self.places:
            return Month(table=name, batch=batch, rows_read=batch.rows_read)
        schema = gold_schema(table)
        rows = batch.rows.select(schema.names).to_arrow().cast(schema)
        files = self.places[name].write(rows)
        return Month(table=name, files=files, rows=rows.num_rows, rows_read=batch.rows_read)

    @cached_property
    def _pinned(self) -> Silver:
        return Silver(
            tables={
                name: SilverTable(
                    name=name,
                    delta=None
                    if version is None
                    else self.lake.existing("silver", name, version=version),
                )
                for name, version in self.silver.items()
            }
        )


def computed_by(cluster: Cluster, tasks: Sequence[Task]) -> dict[str, Full]:
    """Compute tables in full on a cluster; none is committed.

    Args:
        cluster: whose workers compute.
        tasks: tables from the same versions of silver.

    Raises:
        StopPipelineError: a worker cannot run the project.
        RetryLaterError: Spark or the object store does not answer.
    """
    chosen = {one.table.name: one for one in tasks}
    months: dict[str, tuple[str, ...]] = {}
    for name, task in chosen.items():
        for month in BUILDERS[name].full.months(task):
            months[month] = (*months.get(month, ()), name)
    found: list[Month] = []
    if months:
        first = next(iter(chosen.values()))
        job = GoldJob(
            lake=first.lake.afresh(),
            silver={
                name: None if one.delta is None else one.version
                for name, one in first.silver.tables.items()
            },
            months=sorted(months.items()),
            places={
                name: Place.of(task.gold, task.lake.options)
                for name, task in chosen.items()
                if BUILDERS[name].full.whole is None
            },
        )
        found = [one for part in cluster.run(job) for one in part]
    return {
        name: _of_table(task, [one for one in found if one.table == name])
        for name, task in chosen.items()
    }


def _of_table(task: Task, months: Sequence[Month]) -> Full:
    whole = BUILDERS[task.table.name].full.whole
    if whole is None:
        return Full(months=months)
    batches = (one.batch for one in months if one.batch is not None)
    return Full(months=months, replacement=whole(task, batches))
