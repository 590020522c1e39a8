"""The layers of a replay from bronze on. Each reports its table diffs, and can be repeated."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from batch import live
from batch.lock import only_one
from batch.pipeline_run import PipelineRun, consolidate
from batch.processes import ALONE, Processes
from batch.silver.run import SilverRules
from batch.spark.cluster import Cluster
from batch.table_diff import TableDiff
from batch.warehouse.chosen import Chosen
from batch.warehouse.source import silver_sources
from batch.warehouse.validated import QuarantineLimit
from batch.warehouse.views import refresh_views
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.lake import Lake
from lakehouse.layers import Layer
from lakehouse.version import declared_version
from replay.chosen import ChosenRange
from replay.gold import replay_gold
from replay.silver import Progress, SilverReplay, SilverReplayer
from replay.warehouse import replay_warehouse
from replay.workspace import discard, workspace


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Replays into one lake and one warehouse.

    Attributes:
        lake: opened as the user that writes silver and gold.
        rules: validation settings.
        limit: limit of quarantined changes, as in every load.
        warehouse: connection string of the role `batch`.
        workspaces: folder of the folders from which interrupted replays resume.
        code: version of code and contracts; a replay by another version is not resumed.
        on_progress: called with the current step, the amount done, and the total.
        cluster: of Spark, for silver; None for this machine.
        processes: of this machine, for silver.
    """

    lake: Lake
    rules: SilverRules
    limit: QuarantineLimit
    warehouse: str
    workspaces: Path
    code: str
    on_progress: Progress
    cluster: Cluster | None = None
    processes: Processes = ALONE

    @cached_property
    def kept(self) -> Lake:
        """The lake with each table opened once, for silver: its entities share tables."""
        return self.lake.keeping()

    def silver(self, chosen: ChosenRange, request: Mapping[str, object]) -> SilverReplay:
        """Recompute the keys of a range in silver.

        Args:
            chosen: the range.
            request: what the user asked for; an interrupted replay is found by it.

        Raises:
            StopPipelineError: a contract says to stop.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        entity = chosen.entity
        decisive = (request, self.code, declared_version(entity), asdict(self.rules))
        with workspace(self.workspaces, f"silver-{entity.table}", *decisive) as folder:
            return SilverReplayer(
                lake=self.kept,
                rules=self.rules,
                entity=entity,
                ranges=chosen.ranges,
                folder=folder,
                alone=lambda: self._alone(part=f"silver {entity.table}"),
                cluster=self.cluster,
                processes=self.processes,
                on_progress=self.on_progress,
            ).run()

    def gold(self, ranges: Sequence[ChosenRange]) -> list[TableDiff]:
        """Recompute what the ranges affect in gold.

        Raises:
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        with self._alone():
            self._bring_up(Layer.GOLD)
            rows = None if _is_all(ranges) else _chosen(ranges).rows
            return replay_gold(self.lake, rows, on_progress=self.on_progress)

    def load_again(self, ranges: Sequence[ChosenRange]) -> list[TableDiff]:
        """Load the rows of the ranges, and what depends on them, into the warehouse again.

        Raises:
            FailedCheckError: a check fails; published data stays as it was.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        with self._alone():
            self._bring_up(Layer.WAREHOUSE)
            diffs = replay_warehouse(
                self.warehouse,
                silver_sources(self.lake),
                None if _is_all(ranges) else _chosen(ranges),
                limit=self.limit,
                on_progress=self.on_progress,
            )
            refresh_views(self.warehouse, on_progress=self._tell)
            live.trim(self.warehouse)
            return diffs

    def follow(self) -> None:
        """Let gold and the warehouse follow silver, by its change feed.

        Raises:
            FailedCheckError: a check fails; published data stays as it was.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        with self._alone():
            self._bring_up(Layer.GOLD, Layer.WAREHOUSE)

    def forget(self, entity: str) -> None:
        """Drop an entity's validated changes, because bronze has changed."""
        discard(self.workspaces, f"silver-{entity}")

    def _bring_up(self, *layers: Layer) -> None:
        run = PipelineRun(
            lake=self.lake, rules=self.rules, limit=self.limit, warehouse=self.warehouse,
            on_progress=self._tell,
        )  # fmt: skip
        consolidate(run, layers)

    def _alone(self, part: str | None = None) -> AbstractContextManager[None]:
        return only_one(
            self.warehouse,
            f"replay of {part}" if part else "replay",
            part=part,
            on_wait=lambda who: self._tell(f"waiting for {who}"),
        )

    def _tell(self, what: str) -> None:
        """Report a step; the number of steps is known only for gold, by its tables."""
        if what in GOLD_TABLES:
            self.on_progress(f"gold/{what}", list(GOLD_TABLES).index(what), len(GOLD_TABLES))
        else:
            self.on_progress(what, 0, 0)


def _is_all(ranges: Sequence[ChosenRange]) -> bool:
    whole = {one.entity.table for one in ranges if one.is_all}
    return whole >= set(ENTITIES)


def _chosen(ranges: Sequence[ChosenRange]) -> Chosen:
    keys = {one.entity.table: one.keys() for one in ranges}
    rows = {
        name: narrow for one in ranges for name, narrow in one.rows(keys[one.entity.table]).items()
    }
    return Chosen(keys=keys, rows=rows)
