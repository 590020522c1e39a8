"""A pipeline run: everything new in bronze through silver and gold into the warehouse.

`PipelineRun` has the steps: Airflow calls each in a task of its own, and nobody holds a lock from
one task to the next, so whatever comes in between counts and no step takes a layer back.
`consolidate` does them one after the other in one process. Silver's versions are pinned in between,
so that gold and the warehouse are made of the same rows. Each step may be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from time import monotonic

import psycopg

from batch import live
from batch.gold.run import GoldReport, consolidate_gold, rebuild_gold
from batch.lock import PATIENCE_SECONDS, only_one
from batch.reconcile import Report, reconcile
from batch.runs import Run
from batch.runs.tables import (
    TableResult,
    details_of,
    note_results,
    offsets_of,
    result_of_gold,
    result_of_silver,
    results_of_warehouse,
)
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import (
    SilverReport,
    SilverRules,
    UnknownValues,
    chosen_entities,
    consolidate_silver,
)
from batch.warehouse.checks import CheckResult
from batch.warehouse.lake_state import measure_lake
from batch.warehouse.load import load_warehouse, rebuild_warehouse
from batch.warehouse.report import WarehouseReport
from batch.warehouse.source import Silver, silver_sources
from batch.warehouse.validated import QuarantineLimit
from batch.warehouse.views import refresh_views
from batch.warehouse.watermarks import loaded_versions
from lakehouse.connections import secrets, warehouse, writing_lake
from lakehouse.errors import GoneError, StopPipelineError
from lakehouse.lake import Lake
from lakehouse.layers import CONSOLIDATED, Layer
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

Progress = Callable[[str], None]
Lock = Callable[[str | None], AbstractContextManager[None]]
"""Held during a step. Given the part of silver that the step writes, or None for all layers."""


def _no_lock(_part: str | None) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """The steps, on one lake and one warehouse.

    Attributes:
        lock: of each step that writes a layer; by default none, for who holds one already.
        is_rebuild: layers are made from all of the layer below, not from what is new in it.
    """

    lake: Lake
    rules: SilverRules
    limit: QuarantineLimit
    warehouse: str
    on_progress: Progress = lambda _what: None
    lock: Lock = _no_lock
    is_rebuild: bool = False

    @classmethod
    def of_settings(cls, on_progress: Progress, *, is_rebuild: bool = False) -> "PipelineRun":
        """Return the steps on what the environment says, without a lock."""
        return cls(
            lake=writing_lake(),
            rules=SilverRules.of_settings(),
            limit=QuarantineLimit.of_settings(),
            warehouse=warehouse("batch"),
            on_progress=on_progress,
            is_rebuild=is_rebuild,
        )

    @classmethod
    def of_task(cls, on_progress: Progress) -> "PipelineRun":
        """Return the steps for a task of Airflow: each waits for whoever writes the same layer."""
        run = cls.of_settings(on_progress)

        def lock(part: str | None) -> AbstractContextManager[None]:
            return only_one(
                run.warehouse,
                f"Airflow's {part or 'consolidation'}",
                part=part,
                wait_seconds=PATIENCE_SECONDS,
                on_wait=lambda who: on_progress(f"waiting for {who}"),
            )

        return replace(run, lock=lock)

    def silver(self, entities: Sequence[str]) -> list[SilverReport]:
        """Take in what bronze holds of these tables of the shop; of none named, of all.

        Raises:
            StopPipelineError: a contract stops it, or silver lacks changes from before.
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        work = rebuild_silver if self.is_rebuild else consolidate_silver
        chosen = chosen_entities(entities)
        part = f"silver {entities[0]}" if len(entities) == 1 else None
        with self.lock(part):
            return work(self.lake, self.rules, chosen, on_progress=self.on_progress)

    def pin(self, versions: Mapping[str, int] | None = None) -> Silver:
        """Open silver's tables at these versions; by default, and where none is given, the newest.

        Raises:
            GoneError: silver does not have one of them any more.
            RetryLaterError: the object store does not answer.
        """
        uri_of = lambda name: self.lake.uri("silver", name)  # noqa: E731
        return silver_sources(uri_of, self.lake.options, versions=versions or {})

    def gold(self, silver: Silver | None = None) -> tuple[list[GoldReport], dict[str, int]]:
        """Recompute gold from silver, by default as it is when the lock is held.

        Returns:
            What became of each table, and the versions of silver that they were made from.

        Raises:
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        with self.lock(None):
            silver = self.pin() if silver is None else silver
            if not silver:
                return [], {}
            work = rebuild_gold if self.is_rebuild else consolidate_gold
            done = work(
                self.lake,
                retention_hours=self.rules.retention_hours,
                pins=silver.versions,
                on_progress=self.on_progress,
            )
        return done, silver.versions

    def load(self, silver: Silver) -> WarehouseReport:
        """Load the warehouse from silver, in one transaction. The caller holds the lock.

        Raises:
            StopPipelineError: a check or the schema stops it; what is published stays as it was.
            RetryLaterError: a service does not answer.
        """
        work = rebuild_warehouse if self.is_rebuild else load_warehouse
        return work(self.warehouse, silver, limit=self.limit, on_progress=self.on_progress)

    def load_versions(self, versions: Mapping[str, int]) -> WarehouseReport:
        """Load the warehouse from these versions of silver.

        Where the warehouse is further by now, that stays; where silver does not have them any more,
        as of a run that is repeated after their retention, silver is loaded as it is now.

        Raises:
            StopPipelineError: a check or the schema stops it; what is published stays as it was.
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        with self.lock(None):
            try:
                return self.load(self._not_behind(versions))
            except GoneError as error:
                self.on_progress(f"Silver is loaded as it is now, not as it was then: {error}")
                return self.load(self.pin())

    def views(self) -> list[str]:
        """Refresh the materialized views that the load has left behind; their names.

        Raises:
            RetryLaterError: the warehouse does not answer.
        """
        return refresh_views(self.warehouse, on_progress=self.on_progress)

    def measure(self) -> None:
        """Write what the mart says of the lake.

        Raises:
            RetryLaterError: the warehouse or the lake does not answer.
        """
        measure_lake(self.warehouse, self.lake, on_progress=self.on_progress)

    def trim(self) -> int:
        """Delete from the live overlay what the warehouse has loaded; how many rows and orders.

        Raises:
            RetryLaterError: the warehouse does not answer.
        """
        return live.trim(self.warehouse)

    def reconcile(self) -> Report:
        """Compare the shop with bronze, and each layer with the one below.

        Raises:
            StopPipelineError: something is not exact, or it cannot be validated.
            RetryLaterError: a service does not answer, or another program has brought a layer
                further than the next, so that these cannot be compared.
        """
        report = reconcile(secrets(), on_progress=self.on_progress)
        if report.is_faulty:
            message = (
                f"{report.verdict()}\nLook closer with ./pipeline reconcile, before and after that."
            )
            raise StopPipelineError(message)
        report.require_all()
        return report

    def _not_behind(self, versions: Mapping[str, int]) -> Silver:
        """Silver at these versions; at the warehouse's, where a command has loaded later ones.

        Raises:
            GoneError: silver does not have one of them any more.
        """
        with (
            explaining(Service.WAREHOUSE, "What is loaded cannot be asked for"),
            psycopg.connect(self.warehouse) as connection,
        ):
            loaded = loaded_versions(connection)
        newest = self.pin()
        pins = at_least(versions, loaded, newest)
        if ahead := sorted(name for name in newest if pins.get(name, 0) > versions.get(name, 0)):
            self.on_progress(f"Newer is loaded already, of {', '.join(ahead)}")
        return newest if pins == newest.versions else self.pin(pins)


def at_least(
    versions: Mapping[str, int], loaded: Mapping[str, tuple[str, int]], newest: Silver
) -> dict[str, int]:
    """The versions to load: those given, or what the warehouse has where that is later.

    Of a table that was made anew since, and of one that is not given, the newest counts.
    """
    pins = newest.versions
    for name, version in versions.items():
        source = newest.get(name)
        table_id, warehouse = loaded.get(name, ("", -1))
        if source is not None and table_id == source.table_id:
            version = max(version, warehouse)  # noqa: PLW2901
        if name in pins:
            pins[name] = min(version, pins[name])
    return pins


@dataclass(kw_only=True)
class Consolidated:
    """What `consolidate` did.

    Attributes:
        results: of each table.
        warned: checks that found something, and let it be published.
        unknown: values that no list has, of changes that count all the same.
    """

    results: list[TableResult] = field(default_factory=list)
    warned: list[CheckResult] = field(default_factory=list)
    unknown: list[UnknownValues] = field(default_factory=list)


def consolidate(
    run: PipelineRun,
    layers: Sequence[Layer] = CONSOLIDATED,
    *,
    entities: Sequence[str] = (),
    record: Run | None = None,
) -> Consolidated:
    """Do the steps of these layers in this process.

    Args:
        run: the steps.
        layers: in their order.
        entities: tables of the shop, for silver; by default all.
        record: is told what each step has done.

    Raises:
        StopPipelineError: a contract, a check or a person has to be asked; what is published
            stays as it was.
        RetryLaterError: a service does not answer. The same again resumes.
    """
    record = record or Run()
    done = Consolidated()

    def tell(results: Sequence[TableResult]) -> None:
        done.results += results
        note_results(record, done.results)

    if Layer.SILVER in layers:
        reports = run.silver(entities)
        tell([result_of_silver(one) for one in reports])
        done.unknown += (unknown for one in reports for unknown in one.unknown)
        record.note(scope=offsets_of(reports), details=details_of(reports))
    silver = run.pin()
    if Layer.GOLD in layers and silver:
        tell([result_of_gold(one) for one in run.gold(silver)[0]])
    if Layer.WAREHOUSE in layers:
        if silver:
            started = monotonic()
            report = run.load(silver)
            tell(results_of_warehouse(report, monotonic() - started))
            done.warned += (check for check in report.checks if check.offending_rows)
            run.views()
            if report.tables:
                run.on_progress("trimming live")
                run.trim()
        run.measure()
    return done
