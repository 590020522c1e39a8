"""The hour's steps, each by itself: what Airflow's tasks call, every one in a process of its own.

One after the other they do what `batch.consolidate` does in one process. Nobody holds a lock from
one step to the next, so whatever comes in between counts: no step takes a layer back.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import monotonic

import psycopg

from batch import live
from batch.consolidate import Row, row_of_gold, rows_of_warehouse
from batch.gold.run import consolidate_gold
from batch.lock import only_one
from batch.reconcile import Report, reconcile
from batch.silver.run import SilverReport, SilverRules, chosen_entities, consolidate_silver
from batch.warehouse.judged import QuarantineLimit
from batch.warehouse.lake_look import look_at_lake
from batch.warehouse.load import load_warehouse
from batch.warehouse.marks import loaded_versions
from batch.warehouse.report import WarehouseReport
from batch.warehouse.source import Silver, silver_sources
from batch.warehouse.views import refresh_views
from lakehouse.errors import GoneError, StopPipelineError
from lakehouse.lake import Lake
from lakehouse.postgres import explaining, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import (
    ConsolidationSettings,
    MinioSettings,
    StackSettings,
    WarehouseSettings,
)
from lakehouse.trouble import Service

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Hour:
    """The steps, on one lake and one warehouse. Each one may be repeated."""

    lake: Lake
    rules: SilverRules
    limit: QuarantineLimit
    warehouse: str
    secrets: Secrets
    lock_seconds: float
    on_progress: Progress

    @classmethod
    def of_settings(cls, on_progress: Progress) -> "Hour":
        """On what the environment says."""
        secrets = Secrets(StackSettings().secrets_path)
        return cls(
            lake=Lake.of(MinioSettings(), secrets, user="batch"),
            rules=SilverRules.of_settings(),
            limit=QuarantineLimit.of_settings(),
            warehouse=warehouse_dsn(WarehouseSettings(), secrets, role="batch"),
            secrets=secrets,
            lock_seconds=ConsolidationSettings().lock_seconds,
            on_progress=on_progress,
        )

    def silver(self, entity: str) -> SilverReport:
        """Take in what bronze holds of one table of the shop. Other tables may go on beside it.

        Raises:
            StopPipelineError: its contract stops it, or silver lacks changes from before.
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        chosen = chosen_entities([entity])
        with self._alone(part=f"silver {entity}"):
            (report,) = consolidate_silver(
                self.lake, self.rules, chosen, on_progress=self.on_progress
            )
        return report

    def gold(self) -> tuple[list[Row], dict[str, int]]:
        """Bring gold up to silver, if there is any; and the versions of silver that it is made of.

        Raises:
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        with self._alone():
            sources = self._sources({})
            if not sources:
                return [], {}
            done = consolidate_gold(
                self.lake,
                retention_hours=self.rules.retention_hours,
                pins={name: source.version for name, source in sources.items()},
                on_progress=self.on_progress,
            )
        return [row_of_gold(one) for one in done], sources.versions

    def star(self, versions: Mapping[str, int]) -> tuple[list[Row], WarehouseReport]:
        """Load the warehouse from these versions of silver, in one transaction.

        Where the star is further by now, that stays; where silver does not have them any more, as
        of a run that is repeated after their retention, silver is loaded as it is now.

        Raises:
            StopPipelineError: a check or the schema stops it; what is published stays as it was.
            RetryLaterError: a service does not answer, or another program is at work there.
        """
        started = monotonic()
        with self._alone():
            try:
                report = self._load(self._not_behind(versions))
            except GoneError as error:
                self.on_progress(f"Silver is loaded as it is now, not as it was then: {error}")
                report = self._load(self._sources({}))
        return rows_of_warehouse(report, monotonic() - started), report

    def views(self) -> list[str]:
        """Refresh the materialized views that the load has left behind; their names.

        What the mart says of the lake follows, too.

        Raises:
            RetryLaterError: the warehouse or the lake does not answer.
        """
        refreshed = refresh_views(self.warehouse, on_progress=self.on_progress)
        look_at_lake(self.warehouse, self.lake, on_progress=self.on_progress)
        return refreshed

    def trim(self) -> int:
        """Take off the live overlay what the star has; how many rows and orders.

        Raises:
            RetryLaterError: the warehouse does not answer.
        """
        return live.trim(self.warehouse)

    def proof(self) -> Report:
        """Compare the shop with bronze, and each layer with the one below.

        Raises:
            StopPipelineError: something is not exact, or it cannot be judged.
            RetryLaterError: a service does not answer, or another program has brought a layer
                further than the next, so that these cannot be compared.
        """
        report = reconcile(self.secrets, on_progress=self.on_progress)
        if report.is_faulty:
            message = (
                f"{report.verdict()}\nLook closer with ./pipeline reconcile, before and after that."
            )
            raise StopPipelineError(message)
        report.require_all()
        return report

    def _load(self, sources: Silver) -> WarehouseReport:
        return load_warehouse(
            self.warehouse, sources, limit=self.limit, on_progress=self.on_progress
        )

    def _alone(self, part: str | None = None) -> AbstractContextManager[None]:
        return only_one(
            self.warehouse,
            f"Airflow's {part or 'consolidation'}",
            part=part,
            wait_seconds=self.lock_seconds,
            on_wait=lambda who: self.on_progress(f"waiting for {who}"),
        )

    def _sources(self, versions: Mapping[str, int]) -> Silver:
        uri_of = lambda name: self.lake.uri("silver", name)  # noqa: E731
        return silver_sources(uri_of, self.lake.options, versions=versions)

    def _not_behind(self, versions: Mapping[str, int]) -> Silver:
        """Silver at these versions; at the star's, where a command has brought that further.

        Raises:
            GoneError: silver does not have one of them any more.
        """
        with (
            explaining(Service.WAREHOUSE, "What is loaded cannot be asked for"),
            psycopg.connect(self.warehouse) as connection,
        ):
            loaded = loaded_versions(connection)
        newest = self._sources({})
        pins = at_least(versions, loaded, newest)
        if ahead := sorted(name for name in newest if pins.get(name, 0) > versions.get(name, 0)):
            self.on_progress(f"Newer is loaded already, of {', '.join(ahead)}")
        return newest if pins == newest.versions else self._sources(pins)


def at_least(
    versions: Mapping[str, int], loaded: Mapping[str, tuple[str, int]], newest: Silver
) -> dict[str, int]:
    """The versions to load: those given, or what the star has where that is later.

    Of a table that was made anew since, and of one that is not given, the newest counts.
    """
    pins = newest.versions
    for name, version in versions.items():
        source = newest.get(name)
        table_id, star = loaded.get(name, ("", -1))
        if source is not None and table_id == source.table_id:
            version = max(version, star)  # noqa: PLW2901
        if name in pins:
            pins[name] = min(version, pins[name])
    return pins
