"""Brings gold up to what silver says, table by table, each in one commit.

Every failure of a commit is read as *unknown*: it may have landed. So the table is opened anew and
asked for its watermarks, and what it lacks is computed again. Doing so is safe: rows are replaced,
and what is brought on by differences starts from the rows and watermarks of one version.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from deltalake import DeltaTable

from batch.gold.affected import Affected
from batch.gold.builders import BUILDERS, Task
from batch.gold.commit import commit
from batch.gold.sale_lines import SaleLineSource
from batch.gold.silver import MissingFeedError, Silver, pin
from lakehouse.choices import meant
from lakehouse.commit import a_few_times, until_known
from lakehouse.contracts.gold import GOLD_TABLES, GoldTable
from lakehouse.contracts.schemas import gold_schema
from lakehouse.delta import open_or_create, table_properties
from lakehouse.errors import WrongArgumentError
from lakehouse.lake import Lake

Progress = Callable[[str], None]
_FORMULAS = "formulas"
"""Id of the app transaction in which a table keeps by which formulas it was made."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldReport:
    """What became of one table.

    Attributes:
        rows_read: of silver.
        units: days, customers, or pairs of product and warehouse that were affected; of a full run,
            what all was read in.
        is_full: whether all was read anew.
    """

    table: str
    rows_read: int = 0
    units: int = 0
    rows_written: int = 0
    seconds: float = 0.0
    is_full: bool = False


def chosen_tables(names: Sequence[str] = ()) -> list[GoldTable]:
    """Contracts by name; by default all.

    Raises:
        StopPipelineError: there is no table of a name.
    """
    unknown = [name for name in names if name not in GOLD_TABLES]
    if unknown:
        known = ", ".join(GOLD_TABLES)
        message = (
            f"Gold has no table {', '.join(unknown)}. {meant(unknown, GOLD_TABLES)}It has: {known}."
        )
        raise WrongArgumentError(message)
    return [table for name, table in GOLD_TABLES.items() if not names or name in names]


def consolidate_gold(
    lake: Lake,
    tables: Sequence[str] | None = None,
    *,
    retention_hours: int,
    pins: Mapping[str, int] | None = None,
    on_progress: Progress = lambda _what: None,
) -> list[GoldReport]:
    """Recompute what changes of silver touch, and replace it.

    Args:
        lake: with addresses and options.
        tables: by default all.
        retention_hours: how long a new table keeps its log and files that were replaced.
        pins: versions of silver tables, by name; of those not named, the newest. A table that is
            beyond a pin already stays as it is.
        on_progress: told what is done next.

    Raises:
        StopPipelineError: there is no such table.
        RetryLaterError: the object store does not answer. Running it again goes on.
    """
    run = _Run(lake=lake, retention_hours=retention_hours, on_progress=on_progress)
    return run.all(chosen_tables(tables or ()), pins or {})


def rebuild_gold(
    lake: Lake,
    tables: Sequence[str] | None = None,
    *,
    retention_hours: int,
    pins: Mapping[str, int] | None = None,
    on_progress: Progress = lambda _what: None,
) -> list[GoldReport]:
    """Recompute tables from all of silver, each in one commit on the same table.

    Raises and arguments are those of `consolidate_gold`.
    """
    run = _Run(lake=lake, retention_hours=retention_hours, on_progress=on_progress, is_rebuild=True)
    return run.all(chosen_tables(tables or ()), pins or {})


@dataclass(frozen=True, kw_only=True)
class _Run:
    lake: Lake
    retention_hours: int
    on_progress: Progress
    is_rebuild: bool = False

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def all(self, tables: Sequence[GoldTable], pins: Mapping[str, int]) -> list[GoldReport]:
        inputs = list(dict.fromkeys(name for table in tables for name in table.inputs))
        silver = pin(self.lake, inputs, pins)
        known: dict[tuple[int, ...], Affected] = {}
        with tempfile.TemporaryDirectory(prefix="gold-") as aside:
            lines = SaleLineSource(silver=silver, aside=Path(aside))
            return [self._timed(table, lines, known) for table in tables]

    def _timed(
        self, table: GoldTable, lines: SaleLineSource, known: dict[tuple[int, ...], Affected]
    ) -> GoldReport:
        started = time.monotonic()
        self.on_progress(table.name)
        report = self._until_it_lands(table, lines, known)
        return replace(report, seconds=time.monotonic() - started)

    def _until_it_lands(
        self, table: GoldTable, lines: SaleLineSource, known: dict[tuple[int, ...], Affected]
    ) -> GoldReport:
        done = until_known(
            lambda: self._bring_up(table, lines, known),
            reopen=lambda: None,  # each attempt opens the table
            wait=a_few_times(self.lake.uri("gold", table.name), self.pause),
        )
        return done or GoldReport(table=table.name)

    def _bring_up(
        self, table: GoldTable, lines: SaleLineSource, known: dict[tuple[int, ...], Affected]
    ) -> GoldReport | None:
        delta = self._open(table)
        silver = self._not_behind(table, lines.silver, delta)
        since = read_versions(delta, silver, table)
        if since == {name: silver[name].version for name in table.inputs} and not self.is_rebuild:
            return None
        if silver is not lines.silver:
            lines = SaleLineSource(silver=silver, aside=lines.aside, rows_read=lines.rows_read)
        since = None if self.is_rebuild else since
        task = Task(
            silver=silver,
            silver_at=lambda versions: pin(self.lake, table.inputs, versions),
            lines=lines,
            gold=delta,
            since=since,
            known=known,
        )
        return _recompute(table, task)

    def _open(self, table: GoldTable) -> DeltaTable:
        return open_or_create(
            self.lake.uri("gold", table.name),
            self.lake.options,
            gold_schema(table),
            partition_by=[table.partition] if table.partition else [],
            properties=table_properties(
                retention_hours=self.retention_hours, has_change_feed=False
            ),
        )

    def _not_behind(self, table: GoldTable, silver: Silver, delta: DeltaTable) -> Silver:
        """Silver, no table of it older than what gold was made from: gold never goes back."""
        later = {
            name: since
            for name in table.inputs
            if (since := _version_read(delta, silver, name)) and since > silver[name].version
        }
        if not later:
            return silver
        newest = pin(self.lake, list(later), {})
        ahead = {name: v for name, v in later.items() if v <= newest[name].version}
        return Silver(tables={**silver.tables, **pin(self.lake, list(ahead), ahead).tables})


def read_versions(delta: DeltaTable, silver: Silver, table: GoldTable) -> dict[str, int] | None:
    """The versions of silver from which a table was made.

    Returns:
        None if it was not made from each of these tables, or from a later state of one of them
        than it ever had, or by other formulas: then all has to be read anew.
    """
    if not has_formulas(delta, table):
        return None
    found = {}
    for name in table.inputs:
        version = _version_read(delta, silver, name)
        if version is None or version > silver[name].version:
            return None
        found[name] = version
    return found


def has_formulas(delta: DeltaTable, table: GoldTable) -> bool:
    """Whether a table was made by the formulas that its contract has now."""
    return (delta.transaction_version(_FORMULAS) or 1) == table.formulas


def _version_read(delta: DeltaTable, silver: Silver, name: str) -> int | None:
    app_id = silver[name].app_id
    return 0 if app_id is None else delta.transaction_version(app_id)


def _recompute(table: GoldTable, task: Task) -> GoldReport:
    builder = BUILDERS[table.name]
    try:
        new = builder(task)
    except MissingFeedError as error:
        _log.info("gold_recomputed_in_full", table=table.name, why=str(error))
        task.since = None
        new = builder(task)
    tables = [task.silver[name] for name in table.inputs]
    watermarks = {one.app_id: one.version for one in tables if one.app_id is not None}
    watermarks[_FORMULAS] = table.formulas
    written = commit(task.gold, table, new, watermarks)
    return GoldReport(
        table=table.name,
        rows_read=new.rows_read(),
        units=new.units,
        rows_written=written,
        is_full=new.is_full,
    )
