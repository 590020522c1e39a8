"""Small summaries of the lake, written to the warehouse, where charts can read them.

Grain: `etl.lake_table` one row per table of the lake, `etl.quarantine_by_rule` one per table of the
shop and rule, `etl.left_out` one per day, table and rule, `etl.loss` one per offset range that was
lost, and one per resolution; and `etl.unknown_value`, see `batch.warehouse.unknown`. Each
measurement replaces the previous one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import LiteralString

import polars as pl
import psycopg

from batch.catalogue import LakeTable, TableMetrics, Unit, lake_metrics
from batch.contracts.stored import contracts_of
from batch.quarantine import counted
from batch.warehouse.left_out import SALES, deleted_rows, keep_quarantined_sales
from batch.warehouse.locks import LIMITED
from batch.warehouse.session import refused
from batch.warehouse.unknown import find_unknown
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.schemas import QUARANTINE
from lakehouse.delta import retry_later, scan
from lakehouse.lake import LOSS_LEDGER, Lake

# Two measurements at once would insert their rows twice. Readers are not blocked.
_ALONE: LiteralString = "lock table etl.lake_table in share row exclusive mode"
_KNOWN: LiteralString = "select t.layer, t.table_name, t.version from etl.lake_table as t"
_TABLE: LiteralString = """
insert into etl.lake_table (
    layer, table_name, version, row_count, passed_offsets, behind_offsets, behind_versions,
    is_counted, newest_at, measured_at
)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, now())"""
_RULE: LiteralString = """
insert into etl.quarantine_by_rule (entity, rule, changes, keys, oldest_at, newest_at)
values (%(entity)s, %(rule)s, %(changes)s, %(keys)s, %(oldest_at)s, %(newest_at)s)"""
_LOSS: LiteralString = """
insert into etl.loss (
    topic_id, partition, first_offset, kind, topic, last_offset, explanation, recorded_at
)
values (
    %(topic_id)s, %(partition)s, %(first_offset)s, %(kind)s, %(topic)s, %(last_offset)s,
    %(explanation)s, %(recorded_at)s
)
on conflict do nothing"""
_QUARANTINE_TABLE = LakeTable(layer="silver", name=QUARANTINE)
_SALES = {name: LakeTable(layer="silver", name=ENTITIES[name].silver) for name in SALES}
_LOSS_TABLE = LakeTable(layer="bronze", name=LOSS_LEDGER)


def measure_lake(
    dsn: str, lake: Lake, *, on_progress: Callable[[str], None] = lambda _text: None
) -> None:
    """Update the summaries to the lake's current state. Reads only logs, unless something changed.

    Args:
        dsn: connection to the migrated warehouse as its role `batch`.
        lake: opened as a user that may read all of it.
        on_progress: called with the next step.

    Raises:
        RetryLaterError: the warehouse or the object store does not answer.
    """
    on_progress("measuring the lake")
    with (
        refused("the summaries of the lake"),
        psycopg.connect(dsn) as connection,
        retry_later("the lake cannot be measured"),
    ):
        connection.execute(LIMITED)
        connection.execute(_ALONE)
        known = {(layer, name): version for layer, name, version in connection.execute(_KNOWN)}
        found = {metrics.table: metrics for metrics in lake_metrics(lake)}

        def is_new(table: LakeTable) -> bool:
            now = found.get(table)
            return now is None or known.get((table.layer, table.name)) != now.version

        for table, refresh in _REFRESHED.items():
            if is_new(table):
                refresh(connection, lake, found.get(table))
        if any(is_new(table) for table in (_QUARANTINE_TABLE, *_SALES.values())):
            _refresh_left_out(connection, lake, found)
        connection.execute("select etl.compute_left_out()")
        _keep(connection, list(found.values()), lake)
        find_unknown(connection, lake)


def _keep(connection: psycopg.Connection, metrics: Sequence[TableMetrics], lake: Lake) -> None:
    connection.execute("delete from etl.lake_table")
    current = {contract.silver for contract in contracts_of(lake).values()}
    rows = [
        (
            one.table.layer, one.table.name, one.version, one.rows, one.position,
            _behind(one, Unit.OFFSETS), _behind(one, Unit.VERSIONS),
            one.table.layer != "silver" or one.table.name in current, one.newest_at,
        )
        for one in metrics
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(_TABLE, rows)


def _behind(metrics: TableMetrics, unit: Unit) -> int | None:
    behind = metrics.behind
    return behind.count if behind is not None and behind.unit is unit else None


def _refresh_quarantine(
    connection: psycopg.Connection, lake: Lake, metrics: TableMetrics | None
) -> None:
    connection.execute("delete from etl.quarantine_by_rule")
    rows = None if metrics is None else _rows(lake, metrics)
    _insert(connection, _RULE, [] if rows is None else counted(rows))


def _refresh_left_out(
    connection: psycopg.Connection, lake: Lake, found: Mapping[LakeTable, TableMetrics]
) -> None:
    quarantine = found.get(_QUARANTINE_TABLE)
    deleted = {
        entity: deleted_rows(entity, _rows(lake, found[table]))
        for entity, table in _SALES.items()
        if table in found
    }
    rows = None if quarantine is None else _rows(lake, quarantine)
    keep_quarantined_sales(connection, rows, deleted)


def _refresh_losses(
    connection: psycopg.Connection, lake: Lake, metrics: TableMetrics | None
) -> None:
    connection.execute("delete from etl.loss")
    rows = [] if metrics is None else _rows(lake, metrics).collect().to_dicts()
    _insert(connection, _LOSS, rows)


_REFRESHED = {_QUARANTINE_TABLE: _refresh_quarantine, _LOSS_TABLE: _refresh_losses}


def _rows(lake: Lake, metrics: TableMetrics) -> pl.LazyFrame:
    delta = lake.open(metrics.table.layer, metrics.table.name, version=metrics.version)
    return pl.LazyFrame() if delta is None else scan(delta)


def _insert(
    connection: psycopg.Connection, statement: LiteralString, rows: Sequence[Mapping[str, object]]
) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
