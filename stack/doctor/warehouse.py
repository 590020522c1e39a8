"""Checks of the warehouse: schema, loads, runs, quarantine, losses."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row

from batch.runs import Kind, Outcome, RunRow, latest
from batch.warehouse.locks import holder
from batch.warehouse.migrate import pending
from connectors.captured import read_captured
from consumers.bronze.loss import RESOLVABLE, LossKind, LossLedger, open_losses
from lakehouse.contracts import ENTITIES
from lakehouse.kafka import captured_topic
from lakehouse.lake import LOSS_LEDGER
from lakehouse.settings import AlertSettings, ConsolidationSettings
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.elsewhere import prepares
from stack.findings import Said, fine, note, wrong

_SHOP: LiteralString = "select s.time_zone, s.base_currency from etl.shop as s"
_STALE: LiteralString = "select s.view_name from etl.stale_view as s order by s.view_name"
_LOAD: LiteralString = """
select
    d.outcome,
    d.quarantine_share,
    array(
        select r.check_name
        from etl.check_result as r
        where r.load_id = d.load_id and r.severity = 'fail' and r.offending_rows > 0
        order by r.check_name
    ) as failed
from etl.load as d
order by d.finished_at desc
limit 1"""
_LEFT_OPEN: LiteralString = """
select
    a.pid,
    a.usename,
    coalesce(nullif(a.application_name, ''), 'without a name') as application,
    a.state,
    extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from pg_stat_activity as a
where
    a.datname = current_database()
    and a.state like 'idle in transaction%%'
    and a.xact_start < clock_timestamp() - make_interval(secs => %s)
order by a.xact_start"""
_LONG_SECONDS = 60
_ASIDE: LiteralString = """
select coalesce(sum(q.changes), 0)::bigint, count(*)
from mart.quarantine_by_rule as q"""
_UNKNOWN: LiteralString = """
select u.entity, u.column_name, u.value, u.row_count
from mart.unknown_values as u
order by u.row_count desc, u.entity, u.column_name, u.value"""
_SHOWN_VALUES = 3
_HOUR = timedelta(hours=1)
_SCHEDULED = (Kind.CONSOLIDATION, Kind.MAINTENANCE)
"""Kinds of runs that usually run unattended."""
_LOOKBACK = 200
_PUBLISH_ANYWAY = (
    "./pipeline quarantine list; to publish anyway: CONSOLIDATION_QUARANTINE_MAX_SHARE=1 "
    "./pipeline consolidate"
)


def _schema(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection:
        stale = [name for (name,) in connection.execute(_STALE)]
        waiting = pending(connection)
    return diagnose_schema(waiting, stale, prepare=prepares("warehouse", measurements.config))


def diagnose_schema(
    waiting: Sequence[str], stale: Sequence[str], *, prepare: str = "./pipeline up warehouse"
) -> Sequence[Said]:
    """Diagnose whether all of `warehouse_sql/` was applied and all views are refreshed."""
    if waiting:
        words = f"not applied, or changed since: {', '.join(waiting)}"
        return [wrong(words, prepare)]
    if stale:
        return [
            note(f"not refreshed since the last load: {', '.join(stale)}", "./pipeline consolidate")
        ]
    return [fine("all of warehouse_sql/ is applied")]


def _settings(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection:
        row = connection.execute(_SHOP).fetchone()
    shop = measurements.config.shop
    prepare = prepares("warehouse", measurements.config)
    return diagnose_settings(row, (shop.time_zone, shop.base_currency), prepare=prepare)


def diagnose_settings(
    has: tuple[str, str] | None,
    wanted: tuple[str, str],
    *,
    prepare: str = "./pipeline up warehouse",
) -> Sequence[Said]:
    """Diagnose whether time zone and currency in the warehouse match the settings."""
    if has == wanted:
        return [fine(f"days of {wanted[0]}, amounts in {wanted[1]}")]
    words = (
        f"the warehouse has {' and '.join(has or ('nothing',))}, settings {' and '.join(wanted)}"
    )
    return [wrong(words, f"{prepare}; then ./pipeline rebuild --layer silver")]


def _transactions(measurements: Measurements) -> Sequence[Said]:
    return diagnose_transactions(read_left_open(measurements.warehouse("monitor"), _LONG_SECONDS))


def read_left_open(dsn: str, seconds: float) -> dict[str, str]:
    """Return roles of sessions with an idle transaction, by description of the session."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return {holder(*row): str(row[1]) for row in connection.execute(_LEFT_OPEN, [seconds])}


def diagnose_transactions(held: Mapping[str, str]) -> Sequence[Said]:
    """Diagnose idle transactions, which keep their locks.

    Args:
        held: roles of the sessions, by description.
    """
    if not held:
        return [fine(f"none was left open for {_LONG_SECONDS} s")]
    remedy = "end it: new partitions, migrations and vacuum wait for it"
    # A reconciliation keeps a transaction open in the warehouse while it reads the lake.
    return [(note if role == "batch" else wrong)(one, remedy) for one, role in held.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLoad:
    """The newest load of the warehouse; `failed` has the checks that stopped it."""

    outcome: str
    quarantine_share: float | None
    failed: list[str]


def _load(measurements: Measurements) -> Sequence[Said]:
    with (
        psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection,
        connection.cursor(row_factory=class_row(LastLoad)) as cursor,
    ):
        found = cursor.execute(_LOAD).fetchone()
    return diagnose_load(found)


def diagnose_load(found: LastLoad | None) -> Sequence[Said]:
    """Diagnose whether the newest load was published."""
    if found is None:
        return [note("nothing loaded yet", "./pipeline consolidate")]
    if found.outcome == "published":
        return [fine("published, all checks passed")]
    words = f"stopped by {', '.join(found.failed) or 'its checks'}: the warehouse was not changed"
    return [wrong(words, _PUBLISH_ANYWAY if _is_of_quarantine(found) else "./pipeline runs")]


def _is_of_quarantine(found: LastLoad) -> bool:
    return any(name.startswith("quarantine_share") for name in found.failed)


def _runs(measurements: Measurements) -> Sequence[Said]:
    rows = latest(measurements.warehouse("batch"), limit=_LOOKBACK)
    # Runs are dated by the warehouse's clock.
    with psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection:
        now = (connection.execute("select clock_timestamp()").fetchone() or [datetime.now(UTC)])[0]
    has_hour = not measurements.not_ready(["airflow-scheduler"])
    late = timedelta(seconds=AlertSettings().late_seconds)
    return diagnose_runs(rows, now, late_after=_HOUR + late if has_hour else None)


def diagnose_runs(
    rows: Sequence[RunRow], now: datetime, *, late_after: timedelta | None
) -> Sequence[Said]:
    """Diagnose whether the newest run of each kind succeeded and the hourly run is not late.

    Args:
        rows: runs, newest first.
        now: current time.
        late_after: age of the last consolidation above which the hourly run is late; None if
            Airflow does not run.
    """
    ended: dict[str, RunRow] = {}
    for row in rows:
        if row.outcome != Outcome.RUNNING:
            ended.setdefault(row.kind, row)
    said = [_failed(row) for row in ended.values() if row.outcome != Outcome.SUCCEEDED]
    done = [r for r in rows if r.kind == Kind.CONSOLIDATION and r.outcome == Outcome.SUCCEEDED]
    if not done:
        return [*said, note("no consolidation has succeeded yet", "./pipeline consolidate")]
    since = now - (done[0].finished_at or done[0].started_at)
    words = f"the last successful consolidation ended {_ago(since)} ago"
    if late_after is not None and since > late_after:
        said.append(
            wrong(words, "./pipeline open airflow; ./pipeline trigger starts the hourly run now")
        )
    elif late_after is None and since > 2 * _HOUR:
        said.append(
            note(f"{words}, and Airflow, which starts the hourly run, is not up", "./pipeline up")
        )
    return said or [fine(words)]


def _failed(row: RunRow) -> Said:
    reason = " ".join((row.message or "").split())
    words = f"run {row.run_number}, the newest {row.kind}, {_how(row)}"
    told = f"{words}: {reason[:160]}" if reason else words
    remedy = f"./pipeline runs show {row.run_number}"
    return (wrong if row.kind in _SCHEDULED else note)(told, remedy)


def _how(row: RunRow) -> str:
    return "died" if row.outcome == Outcome.INTERRUPTED else row.outcome


def _ago(since: timedelta) -> str:
    minutes = since.total_seconds() / 60
    return f"{minutes:,.0f} min" if minutes < 120 else f"{minutes / 60:,.0f} hours"


def _quarantine(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection:
        changes, rules = connection.execute(_ASIDE).fetchone() or (0, 0)
        row = connection.execute(_LOAD).fetchone()
    share = None if row is None else row[1]
    return diagnose_quarantine(changes, rules, share, ConsolidationSettings().quarantine_max_share)


def diagnose_quarantine(
    changes: int, rules: int, share: float | None, limit: float
) -> Sequence[Said]:
    """Diagnose the quarantine. A load that it stopped is reported by the check of the last load."""
    words = f"{changes:,} changes, by {rules} rules" if changes else "empty"
    if share is None:
        return [fine(words)]
    told = f"{words}; of the last load's changes {share:.1%}"
    if share > limit:
        return [note(f"{told}, more than {limit:.0%}", "./pipeline quarantine list")]
    return [fine(told)]


def _unknown(measurements: Measurements) -> Sequence[Said]:
    with psycopg.connect(measurements.warehouse("batch"), autocommit=True) as connection:
        return diagnose_unknown(connection.execute(_UNKNOWN).fetchall())


def diagnose_unknown(rows: Sequence[tuple[str, str, str, int]]) -> Sequence[Said]:
    """Diagnose values that no contract lists: table, column, value and number of rows."""
    if not rows:
        return [fine("none: the contracts list all values in the warehouse")]
    named = [
        f"{table}.{column} {json.dumps(value, ensure_ascii=False)} ({count:,} rows)"
        for table, column, value, count in rows[:_SHOWN_VALUES]
    ]
    more = f", and {len(rows) - len(named):,} more" if len(rows) > len(named) else ""
    words = f"values that count as unknown: {', '.join(named)}{more}"
    # All follow from the mapping, or none.
    to_list = next(iter(ENTITIES.values())).to_list
    return [note(words, f"correct them in the shop, or {to_list}")]


def _losses(measurements: Measurements) -> Sequence[Said]:
    uri = measurements.lake.uri("bronze", LOSS_LEDGER)
    prefix = measurements.config.connect.topic_prefix
    tables = read_captured(measurements.oltp("monitor"))
    rows = LossLedger(uri, measurements.lake.options).rows()
    return diagnose_losses(rows, {captured_topic(prefix, table) for table in tables})


def diagnose_losses(rows: Sequence[Mapping[str, Any]], topics: Collection[str]) -> Sequence[Said]:
    """Diagnose whether all losses that can be resolved are resolved.

    Args:
        rows: rows of the loss ledger.
        topics: topics of existing tables; losses of dropped tables cannot be resolved.
    """
    names = {row["topic_id"]: row["topic"] for row in rows}
    waiting = [topic_id for topic_id, *_ in open_losses(rows) if names[topic_id] in topics]
    if waiting:
        words = f"changes were lost in {len(waiting)} partitions and are not resolved"
        return [wrong(words, "./pipeline extract --full")]
    accepted = sum(row["kind"] not in {*RESOLVABLE, LossKind.READ_AGAIN} for row in rows)
    if accepted:
        words = f"{accepted} ranges were accepted as lost"
        return [note(words, './pipeline query "select * from bronze._loss_ledger"')]
    return [fine("empty" if not rows else "no unresolved losses")]


CHECKS: Sequence[Check] = [
    Check(area="warehouse", title="schema", by_contracts=True, needs=("warehouse",), run=_schema),
    Check(area="warehouse", title="settings", needs=("warehouse",), run=_settings),
    Check(area="warehouse", title="last load", needs=("warehouse",), run=_load),
    Check(area="warehouse", title="open transactions", needs=("warehouse",), run=_transactions),
    Check(area="runs", title="runs", needs=("warehouse",), run=_runs),
    Check(area="runs", title="quarantine", needs=("warehouse",), run=_quarantine),
    Check(
        area="runs", title="unknown values", by_contracts=True, needs=("warehouse",), run=_unknown
    ),
    Check(area="runs", title="loss ledger", needs=("minio", "oltp"), run=_losses),
]
