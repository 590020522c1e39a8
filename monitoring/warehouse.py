"""Probe of the warehouse: freshness, live, quarantine, runs, reconciliation, from its views.

Ages are measured by the warehouse's clock and subtracted from the exporter's to give timestamps.
"""

import time
from collections.abc import Iterator
from typing import LiteralString

import psycopg

from lakehouse.contracts import ENTITIES
from monitoring.metrics import Sample

_LAYERS: LiteralString = """
select d.layer, d.table_name, d.passed_offsets, d.age_seconds
from mart.data_freshness as d
where d.layer in ('warehouse', 'live')"""
_LIVE: LiteralString = """
select
    f.seconds_behind,
    f.state = 'full' as is_full,
    case when f.last_heartbeat_at is not null then coalesce(f.clock_ahead_seconds, 0) end as ahead
from mart.live_freshness as f"""
_QUARANTINE: LiteralString = """
select q.entity, sum(q.changes)::bigint from mart.quarantine_by_rule as q group by q.entity"""
_RUNS: LiteralString = """
select
    r.kind,
    r.outcome,
    count(*) as runs,
    extract(epoch from now() - max(coalesce(r.finished_at, r.started_at)))::float8 as seconds_ago,
    max(r.run_number) as last_number,
    (array_agg(r.seconds order by r.run_number desc))[1] as last_seconds
from mart.runs as r
group by r.kind, r.outcome"""
# A reconciliation that could not compare everything is neither exact nor not, and is skipped.
_RECONCILIATION: LiteralString = """
select
    (p.step -> 'is_exact')::boolean as is_exact,
    extract(epoch from (p.step ->> 'started_at')::timestamptz)::float8 as compared_at
from (
    select r.run_number, r.details -> 'steps' -> 'reconcile' as step
    from etl.runs as r
    where r.details -> 'steps' ? 'reconcile'
) as p
where jsonb_typeof(p.step -> 'is_exact') = 'boolean'
order by p.run_number desc
limit 1"""


def read(dsn: str) -> Iterator[Sample]:
    """Return all samples of the warehouse.

    Args:
        dsn: connection to the migrated warehouse as role `monitor`.

    Raises:
        psycopg.Error: the warehouse does not answer, or its schema is older than this code.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield from _layers(connection)
        found: dict[str, int] = dict(connection.execute(_QUARANTINE).fetchall())
        # Tables without quarantined changes report 0, so that the first ones count as growth.
        for entity in ENTITIES:
            yield Sample("pipeline_quarantined_changes", found.get(entity, 0), (entity,))
        yield from of_runs(connection.execute(_RUNS).fetchall(), time.time())
        for is_exact, compared_at in connection.execute(_RECONCILIATION).fetchall():
            yield Sample("pipeline_reconcile_exact", is_exact)
            yield Sample("pipeline_reconcile_timestamp_seconds", compared_at)


def _layers(connection: psycopg.Connection) -> Iterator[Sample]:
    now = time.time()
    for layer, table, passed, age in connection.execute(_LAYERS).fetchall():
        if passed is not None:
            yield Sample("pipeline_passed_offsets", passed, (layer, table))
        if age is not None:
            yield Sample("pipeline_newest_timestamp_seconds", now - age, (layer, table))
    for behind, is_full, ahead in connection.execute(_LIVE).fetchall():
        if behind is not None:
            yield Sample("pipeline_live_behind_seconds", behind)
        if ahead is not None:
            yield Sample("pipeline_clock_ahead_seconds", ahead, ("heartbeats",))
        yield Sample("pipeline_live_full", bool(is_full))


def of_runs(rows: list[tuple[str, str, int, float, int, float]], now: float) -> Iterator[Sample]:
    """Return the samples of runs.

    Args:
        rows: by kind and outcome: count, seconds since the last one, its number, its duration.
        now: by the exporter's clock, with which alerts compare; it may differ from the warehouse's.
    """
    last: dict[str, tuple[int, str, float]] = {}
    for kind, outcome, runs, seconds_ago, number, seconds in rows:
        yield Sample("pipeline_runs", runs, (kind, outcome))
        if outcome == "succeeded":
            succeeded_at = now - seconds_ago
            yield Sample("pipeline_last_success_timestamp_seconds", succeeded_at, (kind,))
        if outcome != "running":
            last[kind] = max(last.get(kind, (0, "", 0.0)), (number, outcome, seconds))
    for kind, (_number, outcome, seconds) in last.items():
        yield Sample("pipeline_last_run_failed", outcome != "succeeded", (kind,))
        yield Sample("pipeline_last_run_seconds", seconds, (kind,))
