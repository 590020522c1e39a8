"""Loads the warehouse from silver: entities, dimensions, facts, sums and watermarks together.

A load is one transaction, including checks: readers see all of it or nothing. The materialized
views are refreshed afterwards, see `batch.warehouse.views`.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, LiteralString

import psycopg
from psycopg.sql import Composed, Identifier

from batch.warehouse import affected, differences
from batch.warehouse.bulk import filled_in_bulk, is_empty
from batch.warehouse.checks import CheckResult, FailedCheckError, all_checks, run_checks
from batch.warehouse.chosen import Chosen
from batch.warehouse.dimensions import load_dimension, sweep_dimension
from batch.warehouse.entities import BY_SILVER, TABLES, EntityTable
from batch.warehouse.facts import load_fact, rewrite_sum
from batch.warehouse.load_log import Load, write_load
from batch.warehouse.locks import WAIT_SECONDS, patiently
from batch.warehouse.marts import Mart, Sum, mart
from batch.warehouse.parts import Parts
from batch.warehouse.report import TableReport, WarehouseReport
from batch.warehouse.scripts import run_script
from batch.warehouse.session import loading
from batch.warehouse.source import FeedGoneError, Silver
from batch.warehouse.staging import apply_changes, changes_the_past, copy_into, settle, stage
from batch.warehouse.validated import LoadedValidated, QuarantineLimit
from batch.warehouse.views import flag_stale
from batch.warehouse.watermarks import loaded_versions, write_watermarks
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import noting

# Created after the last published load had begun. The first load computes all tables anyway.
_NEW_TABLES: LiteralString = """
select split_part(m.name, '/', 2)
from etl.migration as m
where m.name like 'mart/%/table.sql' and m.applied_at > (
    select max(l.started_at) from etl.load as l where l.outcome = 'published'
)"""


@dataclass(kw_only=True)
class _Load:
    """A load in progress."""

    connection: psycopg.Connection
    sources: Silver
    limit: QuarantineLimit
    on_progress: Callable[[str], None]
    wait_seconds: float
    is_rebuild: bool = False
    new: Mart = field(default_factory=lambda: mart().only(()))
    """Tables that no load has computed, and what they are computed from."""
    chosen: Chosen | None = None
    has_changed_the_past: bool = False
    """Whether it changes rows up to the watermark, which no pipeline run does."""
    tables: list[TableReport] = field(default_factory=list)
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        self.parts = Parts(on_progress=self.on_progress)

    @property
    def whole(self) -> Mart:
        """Return the tables that are recomputed in full."""
        return mart() if self.is_rebuild else self.new

    def part(self, name: str) -> AbstractContextManager[None]:
        """Report a part of the load, and record its duration."""
        is_whole = bool(self.tables) and all(table.is_whole for table in self.tables)
        return self.parts.part(name, of_everything=is_whole)


def load_warehouse(
    dsn: str,
    sources: Silver,
    *,
    limit: QuarantineLimit,
    what: Chosen | Literal["changes", "everything"] = "changes",
    on_progress: Callable[[str], None] = lambda _text: None,
    wait_seconds: float = WAIT_SECONDS,
) -> WarehouseReport:
    """Bring the warehouse to the sources' versions, in one transaction, and publish it.

    Args:
        dsn: connection to the migrated warehouse as its role `batch`.
        sources: by name of the silver table; tables that are not given stay as they are.
        limit: limit of changes that silver quarantined since the last published load; beyond it,
            this load is not published.
        what: `changes` costs by changed rows only. `everything` reads all of silver and recomputes
            everything, which repairs any damage; rows that are already right are not written, but
            for those of sums by difference, so readers are not blocked. A selection of rows is
            loaded whether or not the warehouse has them, and what depends on them is recomputed;
            the warehouse must be level with the sources.
        on_progress: called with a short description of the next step.
        wait_seconds: longest wait for another load to end.

    Raises:
        FailedCheckError: a check fails; the mart stays as it was.
        StopPipelineError: a row does not fit the schema.
        RetryLaterError: the warehouse or silver does not answer, or another load is running
            (`BusyError`).
    """
    if unknown := sorted(set(sources) - set(BY_SILVER)):
        message = f"The warehouse has no table for silver's {', '.join(unknown)}."
        raise StopPipelineError(message)
    with loading(dsn, "the load", on_progress, wait_seconds) as connection:
        return _load(
            _Load(
                connection=connection,
                sources=sources,
                limit=limit,
                on_progress=on_progress,
                wait_seconds=wait_seconds,
                is_rebuild=what == "everything",
                chosen=what if isinstance(what, Chosen) else None,
            )
        )


def _load(load: _Load) -> WarehouseReport:
    started = monotonic()
    loaded = loaded_versions(load.connection)
    if _has_stale_orders(load.connection):
        load.on_progress("recomputing orders whose formula changed")
        load.has_changed_the_past = True
    load.new = mart().only(name for (name,) in load.connection.execute(_NEW_TABLES))
    is_new = load.is_rebuild or load.chosen is not None or load.has_changed_the_past
    if (
        not is_new
        and not load.new.tables
        and all(_is_loaded(load, name, loaded) for name in load.sources)
    ):
        return WarehouseReport()
    if load.chosen is not None:
        load.chosen.note(load.connection)
    with load.part("entities read from silver"):
        for table in TABLES:
            _stage(load, table, loaded)
    patiently(
        load.connection,
        "A new month's partition",
        lambda: _find(load.connection, affected.partitions(mart(), load.new)),
        wait_seconds=load.wait_seconds,
        on_wait=lambda who: load.on_progress(f"waiting for {who}"),
    )
    validated = LoadedValidated.of(load.connection, load.sources.counts)
    entry = Load(
        load_id=uuid.uuid4(),
        kind="rebuild" if load.is_rebuild or load.chosen is not None else "load",
        quarantine_share=validated.since.share,
        changed_rows=sum(table.rows_changed for table in load.tables),
        started=started,
    )
    try:
        with load.connection.transaction():
            results = _transform(load, validated)
    except FailedCheckError as error:
        write_load(load.connection, entry, error.results, is_published=False)
        raise
    write_load(load.connection, entry, results, is_published=True)
    return WarehouseReport(
        tables=tuple(load.tables),
        checks=results,
        parts=tuple(load.parts.done),
        seconds=monotonic() - started,
    )


def _is_loaded(load: _Load, name: str, loaded: Mapping[str, tuple[str, int]]) -> bool:
    source = load.sources[name]
    return loaded.get(name) == (source.table_id, source.version)


def _has_stale_orders(connection: psycopg.Connection) -> bool:
    """Return whether facts must be recomputed because their formula changed."""
    found = connection.execute("select exists (select from etl.stale_order)").fetchone()
    return bool(found and found[0])


def _stage(load: _Load, table: EntityTable, loaded: Mapping[str, tuple[str, int]]) -> None:
    """Store in `changed_<table>` the rows of silver that the entity lacks."""
    stage(load.connection, table)
    source = load.sources.get(table.silver)
    if load.chosen is not None and source is not None:
        rows = load.chosen.stage(load.connection, table, source)
        _settled(load, table, source.version, rows, is_whole=False)
        return
    table_id, version = loaded.get(table.silver, ("", -1))
    if source is None or (_is_loaded(load, table.silver, loaded) and not load.is_rebuild):
        settle(load.connection, table, is_whole=False)
        return
    load.on_progress(f"reading {table.silver}")
    is_whole = load.is_rebuild or table_id != source.table_id or version > source.version
    rows = 0
    if not is_whole:
        try:
            frames = source.changes(table.columns, since=version)
            rows = copy_into(load.connection, table, frames)
        except FeedGoneError:
            stage(load.connection, table)
            is_whole = True
    if is_whole:
        rows = copy_into(load.connection, table, source.rows(table.columns))
    _settled(load, table, source.version, rows, is_whole=is_whole)


def _settled(load: _Load, table: EntityTable, version: int, rows: int, *, is_whole: bool) -> None:
    changed = settle(load.connection, table, is_whole=is_whole)
    load.has_changed_the_past = (
        load.has_changed_the_past
        or is_whole
        or load.chosen is not None
        or changes_the_past(load.connection, table)
    )
    load.tables.append(
        TableReport(
            table=table.name, silver_version=version, rows_read=rows, rows_changed=changed,
            is_whole=is_whole,
        )
    )  # fmt: skip


def _transform(load: _Load, validated: LoadedValidated) -> tuple[CheckResult, ...]:
    connection, tables = load.connection, mart()
    with load.part("entities"):
        _apply_entities(load, tables)
    with load.part("dimensions"):
        for dimension in tables.dimensions:
            load_dimension(connection, dimension)
        _find(connection, affected.after(tables, is_rebuild=load.is_rebuild))
        if load.chosen is not None:
            connection.execute(affected.CHOSEN_DAYS)
    with load.part("facts"):
        if not load.is_rebuild:
            _find(connection, affected.summed_before(tables))
        names = (Identifier("mart", fact.name) for fact in tables.facts)
        is_first = all(is_empty(connection, name) for name in names)
        in_bulk = {
            fact.name
            for fact in tables.facts
            if load_fact(connection, fact, is_first=is_first, is_rebuild=load.is_rebuild)
        }
        summed = affected.summed_keys(tables, load.whole, is_rebuild=load.is_rebuild)
        _find(connection, summed)
        _find(connection, affected.all_sums(load.whole))
    with load.part("sums by day and customer"):
        _load_sums(load, tables, in_bulk)
    write_watermarks(connection, load.sources)
    validated.write(connection)
    flag_stale(connection)
    with load.part("checks"):
        results = run_checks(connection, all_checks(), load.limit.inputs(validated.since))
        # Last of all: live waits from here until the load is published.
        connection.execute("select live.settle_after_load(%s)", [load.has_changed_the_past])
        return results


def _load_sums(load: _Load, tables: Mart, in_bulk: set[str]) -> None:
    """Replace the sums of affected days and keys.

    Args:
        load: in its transaction.
        tables: of the mart.
        in_bulk: names of facts that were filled in bulk; so are sums of them, if they are empty.
    """
    connection = load.connection
    _find(connection, differences.create(tables))
    for table in tables.sums:
        # In a rebuild, all keys are affected.
        if table.has("affected.sql") and not load.is_rebuild:
            run_script(connection, table.file("affected.sql"))
    _find(connection, affected.obsolete_sums(tables, is_rebuild=load.is_rebuild))
    for fact in tables.facts:
        if fact.has("shared.sql"):
            run_script(connection, fact.file("shared.sql"))
    for table in tables.sums:
        _load_sum(load, tables, table, is_large=not in_bulk.isdisjoint(table.of))
    for dimension in tables.dimensions[::-1]:
        sweep_dimension(connection, dimension)


def _load_sum(load: _Load, tables: Mart, table: Sum, *, is_large: bool) -> None:
    connection, target = load.connection, Identifier("mart", table.name)
    if table.by_difference:
        _find(connection, differences.add(table))
        return
    with filled_in_bulk(connection, target, is_worth_it=is_large) as is_in_bulk:
        if is_in_bulk or not load.is_rebuild:
            run_script(connection, table.file("load.sql"))
            if tables.is_summed_up(table):
                connection.execute(differences.insert_new(table))
            return
    rewrite_sum(connection, table, has_new=tables.is_summed_up(table))


def _apply_entities(load: _Load, tables: Mart) -> None:
    """Find the affected keys before and after the entities change, and change these."""
    connection = load.connection
    _find(connection, affected.create(tables))
    if load.is_rebuild:
        _change_entities(connection)
        # They include the keys of changed rows.
        _find(connection, affected.everything(tables))
        _add_declared(connection, tables)
        return
    _find(connection, affected.before(tables))
    _add_declared(connection, tables)
    if load.chosen is not None:
        _find(connection, affected.chosen(tables))
    _change_entities(connection)
    _find(connection, affected.everything(load.new, is_rebuild=False))


def _add_declared(connection: psycopg.Connection, tables: Mart) -> None:
    for fact in tables.facts:
        if fact.has("affected.sql"):
            run_script(connection, fact.file("affected.sql"))


def _change_entities(connection: psycopg.Connection) -> None:
    for table in TABLES:
        with noting(f"in entity.{table.name}"):
            apply_changes(connection, table)


def _find(connection: psycopg.Connection, statements: Iterable[Composed]) -> None:
    """Execute statements of `batch.warehouse.affected`."""
    with noting("among the affected keys"):
        for statement in statements:
            connection.execute(statement)
