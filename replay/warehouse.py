"""Replays rows of silver into the warehouse, and compares two snapshots of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import polars as pl
import psycopg
from psycopg import sql

from batch.table_diff import EXAMPLES, Differences, Example, TableDiff, tell_apart
from batch.warehouse.chosen import Chosen
from batch.warehouse.load import load_warehouse
from batch.warehouse.session import refused
from batch.warehouse.source import Silver
from batch.warehouse.validated import QuarantineLimit
from lakehouse.digest import ROW_HASH
from lakehouse.postgres import speak_canonically, table_digest

_TABLES = """
select
    n.nspname,
    c.relname,
    coalesce(
        (
            select array_agg(a.attname order by k.place)
            from pg_index as i
            cross join unnest(i.indkey) with ordinality as k (attnum, place)
            inner join pg_attribute as a on i.indrelid = a.attrelid and k.attnum = a.attnum
            where i.indrelid = c.oid and i.indisprimary
        ),
        '{}'
    )
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname in ('entity', 'mart') and c.relkind in ('r', 'p') and not c.relispartition
order by n.nspname, c.relname"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    schema: str
    name: str
    key: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def replay_warehouse(
    dsn: str,
    sources: Silver,
    chosen: Chosen | None,
    *,
    limit: QuarantineLimit,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[TableDiff]:
    """Apply rows of silver to the warehouse again, in one transaction.

    Args:
        dsn: connection to the warehouse as its role `batch`. The warehouse must be level with
            silver, and no other load may run meanwhile.
        sources: silver.
        chosen: the rows; None for all.
        limit: limit of quarantined changes, as in every load.
        on_progress: called with the next step, the number of tables done, and their total.
            Steps of a load are not tables: then the total is 0.

    Returns:
        A table diff for each table of the schemas entity and mart.

    Raises:
        FailedCheckError: a check fails; the mart stays as it was.
        StopPipelineError: a row does not fit the schema.
        RetryLaterError: the warehouse or silver does not answer, or another load is running.
    """

    def of_load(what: str) -> None:
        on_progress(what, 0, 0)

    with refused("a replay"), _snapshot(dsn) as before:
        load_warehouse(dsn, sources, limit=limit, what=chosen or "everything", on_progress=of_load)
        with _snapshot(dsn) as after:
            diffs: list[TableDiff] = []
            tables = _tables(after)
            for table in tables:
                on_progress(f"comparing {table.schema}.{table.name}", len(diffs), len(tables))
                diffs.append(_proof(table, before, after))
            return diffs


@contextmanager
def _snapshot(dsn: str) -> Iterator[psycopg.Connection]:
    """Hold a snapshot of the warehouse as of the beginning of the block."""
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        speak_canonically(connection)
        connection.execute("select from etl.watermark limit 1")
        yield connection


def _tables(connection: psycopg.Connection) -> list[_Table]:
    rows = connection.execute(_TABLES).fetchall()
    return [_Table(schema=schema, name=name, key=tuple(key)) for schema, name, key in rows]


def _proof(table: _Table, before: psycopg.Connection, after: psycopg.Connection) -> TableDiff:
    old, new = (table_digest(one, table.identifier) for one in (before, after))
    found = Differences()
    if old != new:
        _find(table, before, after, found)
    return TableDiff(
        layer="warehouse", table=f"{table.schema}.{table.name}", before=old, after=new,
        differences=found,
    )  # fmt: skip


def _find(
    table: _Table, before: psycopg.Connection, after: psycopg.Connection, found: Differences
) -> None:
    """Find rows that differ, by primary key; in a table without one, by all columns."""
    key = table.key or (ROW_HASH,)
    old, new = (_hashes(one, table) for one in (before, after))
    told = tell_apart(key, new, old, found)
    keys = pl.concat([told.differing, told.gone]).head(EXAMPLES)
    for row in keys.iter_rows(named=True):
        found.examples.append(_example(table, before, after, row))


def _hashes(connection: psycopg.Connection, table: _Table) -> pl.DataFrame:
    columns = [*map(sql.Identifier, table.key), sql.SQL("hashtextextended(t::text, 0)")]
    query = sql.SQL("copy (select {} from {} as t) to stdout (format csv)").format(
        sql.SQL(", ").join(columns), table.identifier
    )
    text = BytesIO()
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for block in copy:
            text.write(block)
    names = [*table.key, ROW_HASH]
    if not text.tell():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    text.seek(0)
    return pl.read_csv(text, has_header=False, new_columns=names, infer_schema=False)


def _example(
    table: _Table,
    before: psycopg.Connection,
    after: psycopg.Connection,
    row: dict[str, str],
) -> Example:
    key = {name: row[name] for name in table.key}
    old, new = (_row(one, table, row) for one in (before, after))
    kind = "removed" if new is None else "added" if old is None else "changed"
    columns: dict[str, tuple[object, object]] = {}
    if old is not None and new is not None:
        columns = {name: (old[name], new[name]) for name in new if old[name] != new[name]}
    return Example(key=dict(key) or dict(new or old or {}), kind=kind, columns=columns)


def _row(
    connection: psycopg.Connection, table: _Table, row: dict[str, str]
) -> dict[str, object] | None:
    names: Sequence[str] = table.key
    if names:
        same: list[sql.Composable] = [
            sql.SQL("t.{}::text = {}").format(sql.Identifier(name), sql.Literal(row[name]))
            for name in names
        ]
    else:
        same = [
            sql.SQL("hashtextextended(t::text, 0) = {}").format(sql.Literal(int(row[ROW_HASH])))
        ]
    query = sql.SQL("select to_jsonb(t) from {} as t where {} limit 1").format(
        table.identifier, sql.SQL(" and ").join(same)
    )
    found = connection.execute(query).fetchone()
    return None if found is None else dict(found[0])
