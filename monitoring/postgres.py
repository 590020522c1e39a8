"""Probe of a Postgres server: its statistics, in one query, and its clock."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
from psycopg.rows import dict_row

from monitoring.metrics import Sample
from stack.doctor.clock import ahead_of_us

_STATISTICS: LiteralString = """
select
    (select sum(s.numbackends) from pg_stat_database as s)::float8 as sessions,
    current_setting('max_connections')::float8 as sessions_limit,
    pg_database_size(d.datid)::float8 as bytes,
    (d.xact_commit + d.xact_rollback)::float8 as transactions_total,
    (d.tup_inserted + d.tup_updated + d.tup_deleted)::float8 as rows_written_total,
    d.blks_read::float8 as blocks_read_total,
    d.blks_hit::float8 as blocks_hit_total,
    d.deadlocks::float8 as deadlocks_total,
    d.temp_bytes::float8 as temporary_bytes_total,
    (
        select count(*)
        from pg_stat_activity as a
        where a.wait_event_type = 'Lock'
    )::float8 as waiting,
    (
        select coalesce(extract(epoch from max(clock_timestamp() - a.xact_start)), 0)
        from pg_stat_activity as a
        where a.backend_type = 'client backend'
    )::float8 as oldest_seconds
from pg_stat_database as d
where d.datname = current_database()"""


def read(server: str, dsn: str) -> Iterator[Sample]:
    """Return the samples of one server.

    Args:
        server: value of the label `server`.
        dsn: connection to its database as role `monitor`.

    Raises:
        psycopg.Error: the server does not answer.
    """
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        for row in cursor.execute(_STATISTICS):
            for name, value in row.items():
                yield Sample(f"pipeline_postgres_{name}", value, (server,))
    yield Sample("pipeline_clock_ahead_seconds", ahead_of_us(dsn), (server,))
