"""Parts of a table's change feed that readers still need, and that clean-ups must keep."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg

from batch.catalogue import lake_tables
from batch.delta_log import DeltaLog
from lakehouse.lake import Lake
from lakehouse.postgres import explained
from lakehouse.trouble import Service

_LOADED_VERSIONS: LiteralString = """
select s.silver_table, s.table_id, s.version
from etl.silver_version as s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A reader of a silver table and the version it has read; it continues after that.

    Attributes:
        by: name of the reader, for messages.
        table: the silver table.
        table_id: Delta's id of the table, which changes when it is recreated.
        version: last version read.
    """

    by: str
    table: str
    table_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What must be kept of a table for the reader that is furthest behind.

    Attributes:
        version: log entries from this version on.
        since: commit time of the first later change: files from that time on. None if no row has
            changed since.
    """

    by: str
    version: int
    since: datetime | None


def gold_needs(lake: Lake) -> list[Need]:
    """Return how far each gold table has read silver, from its app transactions.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    needs = []
    for partition in lake_tables(lake, ["gold"]):
        table = lake.open(partition.layer, partition.name)
        if table is None:
            continue
        for app_id, version in DeltaLog(table).transactions().items():
            layer, *rest = app_id.split("/")
            if layer == "silver" and len(rest) == 2:
                name, table_id = rest
                needs.append(
                    Need(by=str(partition), table=name, table_id=table_id, version=version)
                )
    return needs


def warehouse_needs(dsn: str) -> list[Need]:
    """Return how far the warehouse has read silver; nothing before its first load.

    Raises:
        PipelineError: the warehouse does not answer, so it is unknown.
    """
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            rows = connection.execute(_LOADED_VERSIONS).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        raise explained(
            error, Service.WAREHOUSE, "The versions it has read cannot be queried"
        ) from error
    return [
        Need(by="the warehouse", table=name, table_id=table_id, version=version)
        for name, table_id, version in rows
    ]


def oldest_hold(log: DeltaLog, needs: Iterable[Need]) -> Hold | None:
    """Return the hold of the reader that is furthest behind; None if there are no readers.

    A reader that needs log entries that no longer exist has lost the feed and will recompute in
    full, so nothing is kept for it.
    """
    for need in sorted(needs, key=lambda need: need.version):
        if log.holds_all_after(need.version):
            since = next((c.at for c in log.after(need.version) if c.changes_data), None)
            return Hold(by=need.by, version=need.version, since=since)
    return None
