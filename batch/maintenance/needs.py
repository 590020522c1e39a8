"""What others have yet to read of a table's change feed, and so must outlive a clean-up."""

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
    """Somebody has read a silver table up to a version, and goes on behind it.

    Attributes:
        by: who, for people.
        table: the silver table.
        table_id: Delta's id of it. One made anew under the same name is another table.
        version: last version read.
    """

    by: str
    table: str
    table_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What must stay of a table because of the one who is furthest behind.

    Attributes:
        version: the log from here on.
        since: when the first change after it was committed: the files of that time and later.
            None when no row has changed since.
    """

    by: str
    version: int
    since: datetime | None


def gold_needs(lake: Lake) -> list[Need]:
    """How far each gold table has read silver, as its own app transactions say.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    needs = []
    for partition in lake_tables(lake, ["gold"]):
        table = lake.open(partition.layer, partition.name)
        if table is None:
            continue
        for app_id, version in DeltaLog(table, lake.options).transactions().items():
            layer, *rest = app_id.split("/")
            if layer == "silver" and len(rest) == 2:
                name, table_id = rest
                needs.append(
                    Need(by=str(partition), table=name, table_id=table_id, version=version)
                )
    return needs


def warehouse_needs(dsn: str) -> list[Need]:
    """How far the star schema has read silver; nothing before it was loaded for the first time.

    Raises:
        PipelineError: the warehouse does not tell, so nobody knows.
    """
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            rows = connection.execute(_LOADED_VERSIONS).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        raise explained(error, Service.WAREHOUSE, "What it has read cannot be asked for") from error
    return [
        Need(by="the warehouse", table=name, table_id=table_id, version=version)
        for name, table_id, version in rows
    ]


def oldest_hold(log: DeltaLog, needs: Iterable[Need]) -> Hold | None:
    """The hold of the one who is furthest behind; None when nobody needs anything.

    Who needs log entries that are gone already has lost the feed, and nothing is kept for them:
    they recompute in full.
    """
    for need in sorted(needs, key=lambda need: need.version):
        if log.holds_all_after(need.version):
            since = next((c.at for c in log.after(need.version) if c.changes_data), None)
            return Hold(by=need.by, version=need.version, since=since)
    return None
