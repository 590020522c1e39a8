"""The warehouse, live, quarantine, runs and proofs, as the warehouse's own views have them.

How long ago something was, the warehouse says by its own clock; when that was, the exporter's does.
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
# What could not be compared has proved nothing, one way or the other.
_PROOF: LiteralString = """
select
    p.step ->> 'outcome' = 'succeeded' as is_exact,
    extract(epoch from (p.step ->> 'started_at')::timestamptz)::float8 as proved_at
from (
    select r.run_number, r.details -> 'steps' -> 'reconcile' as step
    from etl.runs as r
    where r.details -> 'steps' ? 'reconcile'
) as p
where p.step ->> 'outcome' = 'succeeded' or p.step ->> 'message' like 'Not exact.%'
order by p.run_number desc
limit 1"""


def read(dsn: str) -> Iterator[Sample]:
    """All of it.

    Args:
        dsn: of the migrated warehouse, as its role `monitor`.

    Raises:
        psycopg.Error: it does not answer, or is older than this code.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield from _layers(connection)
        found: dict[str, int] = dict(connection.execute(_QUARANTINE).fetchall())
        # A table that has none is 0: or it would have grown by nothing when the first come.
        for entity in ENTITIES:
            yield Sample("pipeline_quarantined_changes", found.get(entity, 0), (entity,))
        yield from of_runs(connection.execute(_RUNS).fetchall(), time.time())
        for is_exact, proved_at in connection.execute(_PROOF).fetchall():
            yield Sample("pipeline_reconcile_exact", is_exact)
            yield Sample("pipeline_reconcile_timestamp_seconds", proved_at)


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
    """What follows for Prometheus.

    Args:
        rows: of kinds and outcomes: how many, how many seconds ago the last, its number, and how
            long it took.
        now: by the clock to which alerts compare, which need not be the warehouse's.
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
