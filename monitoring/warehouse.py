"""The star, live, quarantine, runs and proofs, as the warehouse's own views have them."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg

from lakehouse.contracts import ENTITIES
from monitoring.readings import Reading

_LAYERS: LiteralString = """
select d.layer, d.table_name, d.passed_offsets, extract(epoch from d.newest_at)::float8
from mart.data_freshness as d
where d.layer in ('star', 'live')"""
_LIVE: LiteralString = "select f.seconds_behind, f.state = 'full' from mart.live_freshness as f"
_QUARANTINE: LiteralString = """
select q.entity, sum(q.changes)::bigint from mart.quarantine_by_rule as q group by q.entity"""
_RUNS: LiteralString = """
select
    r.kind,
    r.outcome,
    count(*) as runs,
    extract(epoch from max(coalesce(r.finished_at, r.started_at)))::float8 as last_at,
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


def look(dsn: str) -> Iterator[Reading]:
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
            yield Reading("pipeline_quarantined_changes", found.get(entity, 0), (entity,))
        yield from of_runs(connection.execute(_RUNS).fetchall())
        for is_exact, proved_at in connection.execute(_PROOF).fetchall():
            yield Reading("pipeline_proof_exact", is_exact)
            yield Reading("pipeline_proof_timestamp_seconds", proved_at)


def _layers(connection: psycopg.Connection) -> Iterator[Reading]:
    for layer, table, passed, newest in connection.execute(_LAYERS).fetchall():
        if passed is not None:
            yield Reading("pipeline_passed_offsets", passed, (layer, table))
        if newest is not None:
            yield Reading("pipeline_newest_timestamp_seconds", newest, (layer, table))
    for behind, is_full in connection.execute(_LIVE).fetchall():
        if behind is not None:
            yield Reading("pipeline_live_behind_seconds", behind)
        yield Reading("pipeline_live_full", bool(is_full))


def of_runs(rows: list[tuple[str, str, int, float, int, float]]) -> Iterator[Reading]:
    """Of kinds and outcomes: how many, when the last, its number, and how long it took."""
    last: dict[str, tuple[int, str, float]] = {}
    for kind, outcome, runs, last_at, number, seconds in rows:
        yield Reading("pipeline_runs", runs, (kind, outcome))
        if outcome == "succeeded":
            yield Reading("pipeline_last_success_timestamp_seconds", last_at, (kind,))
        if outcome != "running":
            last[kind] = max(last.get(kind, (0, "", 0.0)), (number, outcome, seconds))
    for kind, (_number, outcome, seconds) in last.items():
        yield Reading("pipeline_last_run_failed", outcome != "succeeded", (kind,))
        yield Reading("pipeline_last_run_seconds", seconds, (kind,))
