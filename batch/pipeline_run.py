"""A pipeline run: everything new in bronze through silver and gold into the warehouse.

`PipelineRun` has the steps: Airflow runs each in a task of its own. No lock is held between tasks,
so each step continues from whatever was committed in between, and none sets a layer back.
`consolidate` runs them in order in one process. Silver's versions are pinned in between, so that
gold and the warehouse are built from the same rows. Each step may be repeated.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
from deltalake import DeltaTable

from batch import live
from batch.contracts.stored import contracts_of, refresh
from batch.gold.run import GoldReport, consolidate_gold, rebuild_gold
from batch.lock import only_one
from batch.processes import ALONE, Processes
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
from batch.silver.bronze import BronzeSource
from batch.silver.offsets import starting_position
from batch.silver.rebuild import rebuild_silver
from batch.silver.run import (
    SilverReport,
    SilverRules,
    UnknownValues,
    chosen_entities,
    consolidate_silver,
)
from batch.silver.tables import is_of_another
from batch.spark.cluster import Cluster
from batch.warehouse.checks import CheckResult
from batch.warehouse.lake_state import measure_lake
from batch.warehouse.load import load_warehouse
from batch.warehouse.report import WarehouseReport
from batch.warehouse.source import Silver, silver_sources
from batch.warehouse.validated import QuarantineLimit
from batch.warehouse.views import refresh_views
from batch.warehouse.watermarks import loaded_versions
from connectors.mapping import require_mapping_fits
from lakehouse.connections import secrets, shop, warehouse, writing_lake
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.files import read_files
from lakehouse.errors import AwayError, GoneError, PipelineError, StopPipelineError, together
from lakehouse.lake import Lake
from lakehouse.layers import CONSOLIDATED, Layer
from lakehouse.postgres import explaining
from lakehouse.settings import ContractSettings
from lakehouse.trouble import Service

if TYPE_CHECKING:
    from batch.reconcile import Report

Progress = Callable[[str], None]
Lock = Callable[[str | None], AbstractContextManager[None]]
"""Lock held during a step. Called with the part of silver that is written, None for all."""


def _no_lock(_part: str | None) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """The steps of a pipeline run, on one lake and one warehouse.

    Attributes:
        shop: connection to the shop, for its catalog; None to use contracts as stored.
        contract_files: folder of the user's contract files.
        on_warning: told what the run continues with; `on_progress` by default. It has to last,
            which what a console shows of progress does not.
        lock: lock of each step that writes a layer; none by default, for callers that hold one.
        is_rebuild: build layers from all of the layer below, not only from what is new in it.
        cluster: of Spark, for what reads all of bronze or silver; None for this machine.
        processes: of this machine, which validate all of bronze in a rebuild.
    """

    lake: Lake
    rules: SilverRules
    limit: QuarantineLimit
    warehouse: str
    shop: str | None = None
    contract_files: Path = field(default_factory=lambda: ContractSettings().dir)
    on_progress: Progress = lambda _what: None
    on_warning: Progress | None = None
    lock: Lock = _no_lock
    is_rebuild: bool = False
    cluster: Cluster | None = None
    processes: Processes = ALONE

    @classmethod
    def of_settings(
        cls,
        on_progress: Progress,
        *,
        on_warning: Progress | None = None,
        is_rebuild: bool = False,
        cluster: Cluster | None = None,
    ) -> "PipelineRun":
        """Return the steps, configured by the environment, without locks."""
        return cls(
            lake=writing_lake().keeping(),
            rules=SilverRules.of_settings(),
            limit=QuarantineLimit.of_settings(),
            warehouse=warehouse("batch"),
            shop=shop("reconcile"),
            on_progress=on_progress,
            on_warning=on_warning,
            is_rebuild=is_rebuild,
            cluster=cluster,
            processes=Processes.of_settings(),
        )

    @classmethod
    @contextmanager
    def of_task(cls, on_progress: Progress) -> "Iterator[PipelineRun]":
        """Yield the steps for an Airflow task: each waits for other writers of the same layer.

        What Spark's driver runs on, if BATCH_ENGINE asks for it, is in the task's environment. It
        ends with the block.
        """
        with Cluster.of_settings() or nullcontext() as cluster:
            run = cls.of_settings(on_progress, cluster=cluster)

            def lock(part: str | None) -> AbstractContextManager[None]:
                return only_one(
                    run.warehouse,
                    f"Airflow's {part or 'consolidation'}",
                    part=part,
                    on_wait=lambda who: on_progress(f"waiting for {who}"),
                )

            yield replace(run, lock=lock)

    def silver(self, entities: Sequence[str]) -> list[SilverReport]:
        """Apply what bronze has of these shop tables; of all with contracts of ours if none given.

        A table that fails does not stop the others.

        Raises:
            StopPipelineError: a contract says to stop, or silver lacks earlier changes.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        part = f"silver {entities[0]}" if len(entities) == 1 else None
        with self.lock(part):
            return self._silver(self.chosen(entities) if entities else ENTITIES.values())

    def derived(self, contracts: Mapping[str, Entity] | None = None) -> list[SilverReport]:
        """Apply what bronze has of the tables whose contracts are derived.

        A table that fails does not stop the others.

        Args:
            contracts: all contracts, if they were derived again just now.

        Raises:
            StopPipelineError: a contract file is wrong, or silver lacks earlier changes.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        with self.lock(None):
            known = self.contracts() if contracts is None else contracts
            return self._silver(entity for entity in known.values() if entity.is_derived)

    def chosen(self, entities: Sequence[str]) -> list[Entity]:
        """Return the contracts of these tables of the shop; of all if none is given.

        Raises:
            WrongArgumentError: there is no such table, or a contract file is wrong.
            RetryLaterError: the object store does not answer.
        """
        ours = {name for entity in ENTITIES.values() for name in (entity.table, entity.silver)}
        is_ours = bool(entities) and ours.issuperset(entities)
        return chosen_entities(entities, ENTITIES if is_ours else self.contracts())

    def contracts(self) -> Mapping[str, Entity]:
        """Return all contracts, derived again if the shop answers.

        Raises:
            WrongArgumentError: a contract file is wrong.
            RetryLaterError: the object store does not answer.
        """
        files = read_files(self.contract_files)
        if self.shop is None:
            return contracts_of(self.lake)
        # Changes that do not fit are quarantined, so those of other tables need not wait.
        try:
            require_mapping_fits(self.shop)
        except PipelineError as error:
            (self.on_warning or self.on_progress)(str(error))
        return refresh(
            self.lake,
            self.shop,
            files,
            retention_hours=self.rules.retention_hours,
            on_progress=self.on_progress,
        )

    def _silver(self, chosen: Iterable[Entity]) -> list[SilverReport]:
        done: list[SilverReport] = []
        failed: list[PipelineError] = []
        for entity in chosen:
            is_rebuilt = self._is_rebuilt(entity)
            work = (
                partial(rebuild_silver, cluster=self.cluster, processes=self.processes)
                if is_rebuilt
                else consolidate_silver
            )
            try:
                done += work(self.lake, self.rules, [entity], on_progress=self.on_progress)
            except AwayError:
                # Nor would the other tables find the store.
                raise
            except PipelineError as error:
                failed.append(error)
        if failed:
            raise together(failed)
        return done

    def _is_rebuilt(self, entity: Entity) -> bool:
        """Return whether to read all of bronze.

        Also if the shop has changed a table, or a user its contract file or mapping; and, where a
        cluster does it, at the first load of more than one batch.
        """
        if self.is_rebuild or not (entity.is_derived or entity.reader or self.cluster):
            return self.is_rebuild
        current = self.lake.open("silver", entity.silver)
        if current is not None and is_of_another(self.lake, current, entity):
            return True
        return self.cluster is not None and self._is_large_load(current, entity)

    def _is_large_load(self, current: DeltaTable | None, entity: Entity) -> bool:
        """Return whether a table lacks all of what bronze has: it is created before a first load.

        A rebuild of a single batch is made here, too, but yields to any commit of another table.
        """
        delta = self.lake.open("bronze", entity.bronze)
        if delta is None:
            return False
        bronze = BronzeSource(delta)
        if current and any(starting_position(current, partition) for partition in bronze.ends):
            return False
        return bronze.count_batches(bronze.ends, self.rules.batch) > 1

    def pin(self, versions: Mapping[str, int] | None = None) -> Silver:
        """Open silver's tables at these versions; tables that are not given at the newest.

        Raises:
            GoneError: silver no longer has one of them.
            RetryLaterError: the object store does not answer.
        """
        return silver_sources(self.lake, versions=versions or {})

    def gold(self, silver: Silver | None = None) -> tuple[list[GoldReport], dict[str, int]]:
        """Recompute gold from silver, by default from its newest version once the lock is held.

        Returns:
            A report of each table, and the versions of silver that they were built from.

        Raises:
            RetryLaterError: a service does not answer, or another program holds the lock.
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
                cluster=self.cluster,
            )
        return done, silver.versions

    def load(self, silver: Silver) -> WarehouseReport:
        """Load the warehouse from silver, in one transaction. The caller holds the lock.

        Raises:
            StopPipelineError: a check or the schema fails; published data stays as it was.
            RetryLaterError: a service does not answer.
        """
        return load_warehouse(
            self.warehouse,
            silver,
            limit=self.limit,
            what="everything" if self.is_rebuild else "changes",
            on_progress=self.on_progress,
        )

    def load_versions(self, versions: Mapping[str, int]) -> WarehouseReport:
        """Load the warehouse from these versions of silver.

        If the warehouse has newer versions, these stay. If silver no longer has the given ones, as
        when a run is repeated after their retention, its newest versions are loaded.

        Raises:
            StopPipelineError: a check or the schema fails; published data stays as it was.
            RetryLaterError: a service does not answer, or another program holds the lock.
        """
        with self.lock(None):
            try:
                return self.load(self._not_behind(versions))
            except GoneError as error:
                self.on_progress(
                    f"Loading silver's newest versions instead of the pinned ones: {error}"
                )
                return self.load(self.pin())

    def views(self) -> list[str]:
        """Refresh the materialized views that are behind the load; return their names.

        Raises:
            RetryLaterError: the warehouse does not answer.
        """
        return refresh_views(self.warehouse, on_progress=self.on_progress)

    def measure(self) -> None:
        """Write the lake's metrics that the mart shows.

        Raises:
            RetryLaterError: the warehouse or the lake does not answer.
        """
        measure_lake(self.warehouse, self.lake, on_progress=self.on_progress)

    def trim(self) -> int:
        """Trim from the live overlay what is loaded; return the number of rows and orders.

        Raises:
            RetryLaterError: the warehouse does not answer.
        """
        return live.trim(self.warehouse)

    def reconcile(self, record: Run | None = None) -> "Report":
        """Compare the shop with bronze, and each layer with the one below.

        Args:
            record: receives the verdict, and whether all is exact: null if not all was compared.

        Raises:
            StopPipelineError: there are differences, or a layer cannot be compared.
            RetryLaterError: a service does not answer, or another program has changed one layer but
                not yet the next, so that they cannot be compared.
        """
        # It takes as long to load as all other steps together, none of which need it.
        from batch.reconcile import reconcile  # noqa: PLC0415

        report = reconcile(secrets(), cluster=self.cluster, on_progress=self.on_progress)
        record = record or Run()
        is_exact = False if report.is_faulty else None
        record.note(details={"verdict": report.verdict(), "is_exact": is_exact})
        report.require_exact()
        record.note(details={"is_exact": True})
        return report

    def _not_behind(self, versions: Mapping[str, int]) -> Silver:
        """Open silver at these versions; where the warehouse has loaded later ones, at those.

        Raises:
            GoneError: silver no longer has one of them.
        """
        with (
            explaining(Service.WAREHOUSE, "The loaded versions cannot be queried"),
            psycopg.connect(self.warehouse) as connection,
        ):
            loaded = loaded_versions(connection)
        newest = self.pin()
        pins = at_least(versions, loaded, newest)
        if ahead := sorted(name for name in newest if pins.get(name, 0) > versions.get(name, 0)):
            self.on_progress(f"Newer versions are already loaded of {', '.join(ahead)}")
        return newest if pins == newest.versions else self.pin(pins)


def at_least(
    versions: Mapping[str, int], loaded: Mapping[str, tuple[str, int]], newest: Silver
) -> dict[str, int]:
    """Return the versions to load: those given, or the warehouse's if later.

    Tables that were recreated since or are not given are left out: their newest version counts.
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
    """Result of `consolidate`.

    Attributes:
        results: result of each table.
        warned: checks with severity warn that returned rows.
        unknown: values in no list, of changes that count nevertheless.
        rules: quarantined changes, by the shop's table and the rule that they broke.
    """

    results: list[TableResult] = field(default_factory=list)
    warned: list[CheckResult] = field(default_factory=list)
    unknown: list[UnknownValues] = field(default_factory=list)
    rules: dict[tuple[str, str], int] = field(default_factory=dict)


def consolidate(
    run: PipelineRun,
    layers: Sequence[Layer] = CONSOLIDATED,
    *,
    entities: Sequence[str] = (),
    record: Run | None = None,
) -> Consolidated:
    """Run the steps of these layers in this process.

    Args:
        run: the steps.
        layers: layers, in order.
        entities: shop tables, for silver; by default all.
        record: receives the result of each step.

    Raises:
        StopPipelineError: a contract or a check fails, or manual action is needed; published data
            stays as it was.
        RetryLaterError: a service does not answer. A repeated run resumes.
    """
    record = record or Run()
    done = Consolidated()

    def tell(results: Sequence[TableResult]) -> None:
        done.results += results
        note_results(record, done.results)

    reports: list[SilverReport] = []

    def tell_of_silver(found: Sequence[SilverReport]) -> None:
        reports.extend(found)
        tell([result_of_silver(one) for one in found])
        done.unknown += (unknown for one in found for unknown in one.unknown)
        done.rules |= {(one.entity, rule): n for one in found for rule, n in one.rules.items()}
        record.note(scope=offsets_of(reports), details=details_of(reports))

    # Before anything starts: a contract file may be wrong.
    contracts = run.contracts() if Layer.SILVER in layers and not entities else None
    failed: list[PipelineError] = []
    try:
        if Layer.SILVER in layers:
            tell_of_silver(run.silver(entities))
        done.warned += _above_silver(run, layers, tell)
    except StopPipelineError as error:
        # Gold and the warehouse stay as they are; tables that nothing there needs do not.
        failed.append(error)
    if contracts is not None:
        # Last: gold and the warehouse do not wait for these tables.
        try:
            tell_of_silver(run.derived(contracts))
        except PipelineError as error:
            failed.append(error)
    if failed:
        raise together(failed)
    return done


def _above_silver(
    run: PipelineRun, layers: Sequence[Layer], tell: Callable[[Sequence[TableResult]], None]
) -> list[CheckResult]:
    """Build gold and the warehouse; return the checks that warn."""
    # Both are built from the same rows.
    silver = run.pin() if set(layers) - {Layer.SILVER} else None
    warned: list[CheckResult] = []
    if Layer.GOLD in layers and silver:
        tell([result_of_gold(one) for one in run.gold(silver)[0]])
    if Layer.WAREHOUSE in layers:
        if silver:
            started = monotonic()
            report = _load(run, silver)
            tell(results_of_warehouse(report, monotonic() - started))
            warned += (check for check in report.checks if check.offending_rows)
        run.measure()
    return warned


def _load(run: PipelineRun, silver: Silver) -> WarehouseReport:
    report = run.load(silver)
    run.views()
    if report.tables:
        run.on_progress("trimming live")
        run.trim()
    return report
