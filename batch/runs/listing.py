"""Queries of run records, and deletion of old ones."""

from typing import LiteralString

import psycopg
import structlog
from psycopg.rows import class_row

from batch.runs.model import Facts, Kind, RunRow, unrecorded
from lakehouse.errors import PipelineError, StopPipelineError

_log = structlog.get_logger(__name__)

_KEPT_DAYS = 90
"""Long enough to look into a quarter, and the list stays short."""
_COLUMNS: LiteralString = """
select
    r.run_number, r.run_id, r.kind, r.scope, r.code_version, r.contract_version, r.who,
    etl.scope_in_words(r.scope) as what,
    etl.run_outcome(r.run_number, r.outcome, r.is_stepwise, r.noted_at) as outcome,
    r.rows_read, r.rows_written, r.digest, r.details, r.message, r.started_at, r.noted_at,
    r.finished_at
from etl.runs as r"""
_LATEST: LiteralString = """
where %(kind)s::text is null or r.kind = %(kind)s
order by r.run_number desc
limit %(limit)s"""
_FORGET: LiteralString = """
delete from etl.runs as r
where
    r.started_at < now() - make_interval(days => %s)
    and etl.run_outcome(r.run_number, r.outcome, r.is_stepwise, r.noted_at) <> 'running'"""


def latest(dsn: str, *, kind: Kind | None = None, limit: int = 20) -> list[RunRow]:
    """Return the newest runs, newest first.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: its schema is older than this code.
    """
    return _rows(dsn, _COLUMNS + _LATEST, {"kind": kind and str(kind), "limit": limit})


def numbered(dsn: str, number: int) -> RunRow:
    """Return one run.

    Raises:
        StopPipelineError: there is none of this number, or the schema is older than this code.
        RetryLaterError: the warehouse does not answer.
    """
    found = _rows(dsn, _COLUMNS + " where r.run_number = %(number)s", {"number": number})
    if not found:
        problem = f"There is no run {number}, or it was deleted"
        raise StopPipelineError(problem, "./pipeline runs lists all runs.")
    return found[0]


def forget_old(dsn: str) -> int | None:
    """Delete runs older than 90 days; return how many, None if the warehouse is unavailable."""
    try:
        return forget(dsn, days=_KEPT_DAYS)
    except PipelineError as error:
        _log.warning("old_runs_not_deleted", error=str(error))
        return None


def forget(dsn: str, *, days: int) -> int:
    """Delete runs that began before that, except running ones; return how many.

    Raises:
        RetryLaterError: the warehouse does not answer.
        StopPipelineError: its schema is older than this code.
    """
    with unrecorded(), psycopg.connect(dsn) as connection:
        return connection.execute(_FORGET, [days]).rowcount


def _rows(dsn: str, statement: LiteralString, values: Facts) -> list[RunRow]:
    with (
        unrecorded(),
        psycopg.connect(dsn) as connection,
        connection.cursor(row_factory=class_row(RunRow)) as cursor,
    ):
        return cursor.execute(statement, values).fetchall()
