"""The shop as reconciliation reads it: every table as of one snapshot of the database."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
import polars as pl
import psycopg
from psycopg import IsolationLevel, sql

from batch.reconcile.kinds import Kind
from batch.reconcile.recast import recast
from batch.reconcile.tables import Column, SourceTable, describe, key_text
from batch.reconcile.values import SHOP, canonical
from batch.reconcile.visibility import Visibility
from connectors.readers import STANDBY, USE_THE_PRIMARY, HiddenRows, Reason
from connectors.shop_catalog import read_catalog
from lakehouse.errors import RetryLaterError, StopPipelineError
from lakehouse.postgres import explained, explaining
from lakehouse.trouble import Service

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg.abc import Buffer

_CHUNK_BYTES = 8 << 20
_LIVING = """
select k.ordinality
from json_populate_recordset(null::{table}, %s::json) with ordinality as k
inner join only {table} as t on {pairs}"""
# A table rewritten or truncated after the snapshot appears empty in it: neither operation is
# MVCC-safe. The column is read as of the snapshot, the function as of now.
_LOCK = "lock table only {} in access share mode"
_IS_AS_SEEN = """
select c.relfilenode = pg_relation_filenode(c.oid)
from pg_class as c
where c.oid = %s::regclass"""
_ALL_OR_ERROR = "set row_security = off"
_NOW = """
select
    pg_current_snapshot()::text,
    pg_current_wal_lsn()::text,
    clock_timestamp()"""


class HiddenRowsError(StopPipelineError):
    """A table hides some of its rows from the role that reads it."""


class TableChangedError(RetryLaterError):
    """A table was rewritten, truncated or dropped after the snapshot, which lost its rows."""


class ShopSnapshot:
    """A read-only transaction in which every statement sees the same, complete rows."""

    def __init__(self, dsn: str) -> None:
        """Take the snapshot.

        Raises:
            RetryLaterError: the database does not answer.
            StopPipelineError: it is a standby, which may be behind.
        """
        try:
            self._connection = psycopg.connect(dsn, autocommit=False)
        except psycopg.Error as error:
            raise explained(error, Service.SHOP, "The shop cannot be read") from error
        self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True
        self._connection.execute(_ALL_OR_ERROR)
        row = self._connection.execute("select pg_is_in_recovery()").fetchone()
        if row is None or row[0]:
            self._connection.close()
            problem = f"Nothing can be compared: {STANDBY}"
            raise StopPipelineError(problem, USE_THE_PRIMARY)
        row = self._connection.execute(_NOW).fetchone()
        assert row is not None  # noqa: S101 - a select without from has one row
        self.snapshot: str = row[0]
        self.lsn: str = row[1]
        self.taken_at: datetime = row[2]
        self.visibility = Visibility.parse(
            self.snapshot, taken_us=int(self.taken_at.timestamp() * 1_000_000)
        )

    def __enter__(self) -> "ShopSnapshot":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def tables(self) -> list[SourceTable]:
        """Return the captured tables, by name."""
        return [describe(columns) for columns in read_catalog(self._connection).values()]

    def rows(self, table: SourceTable) -> Iterator[pl.DataFrame]:
        """Yield the table's rows in frames: `key`, `version`, and the columns as canonical values.

        Raises:
            HiddenRowsError: it hides rows from this role.
            TableChangedError: the snapshot has lost its rows.
            RetryLaterError: the database does not answer.
        """
        chunks: list[Buffer] = []
        size = 0
        with (
            self._whole(table),
            self._connection.cursor() as cursor,
            cursor.copy(_copy(table)) as copy,
        ):
            for chunk in copy:
                chunks.append(chunk)
                size += len(chunk)
                if size > _CHUNK_BYTES:
                    yield read_rows(b"".join(chunks), table)
                    chunks, size = [], 0
        if chunks:
            yield read_rows(b"".join(chunks), table)

    def living(self, table: SourceTable, keys: Sequence[Mapping[str, object]]) -> set[int]:
        """Return the indexes of those keys that exist in the table.

        Args:
            table: a table with a key whose JSON representation Postgres can read.
            keys: for each key a value for each of its columns, as Debezium writes it.

        Raises:
            HiddenRowsError: it hides rows from this role.
            TableChangedError: the snapshot has lost its rows.
            StopPipelineError: these are not valid keys of this table.
            RetryLaterError: the database does not answer.
        """
        pairs = [
            sql.SQL("t.{c} = k.{c}").format(c=sql.Identifier(column.name)) for column in table.key
        ]
        asked = sql.SQL(_LIVING).format(
            table=sql.Identifier("public", table.name), pairs=sql.SQL(" and ").join(pairs)
        )
        told = orjson.dumps(list(keys)).decode()
        with self._whole(table):
            rows = self._connection.execute(asked, [told]).fetchall()
        return {int(number) - 1 for (number,) in rows}

    def recast(self, column: Column, values: Sequence[bytes]) -> pl.DataFrame:
        """Return how the shop would represent these values, see `batch.reconcile.recast`.

        Raises:
            RetryLaterError: the database does not answer.
        """
        with explaining(Service.SHOP, f"Values of {column.name} cannot be compared"):
            return recast(self._connection, column, values)

    @contextmanager
    def _whole(self, table: SourceTable) -> Iterator[None]:
        """Ensure that a table's rows are all visible; errors keep the snapshot usable."""
        name = sql.Identifier("public", table.name)
        try:
            with self._connection.transaction():
                self._connection.execute(sql.SQL(_LOCK).format(name))
                row = self._connection.execute(_IS_AS_SEEN, [name.as_string()]).fetchone()
                if row is None or not row[0]:
                    problem = (
                        f"{table.name} was rewritten, truncated or dropped while it was compared, "
                        "so its rows cannot be seen any more"
                    )
                    raise TableChangedError(problem, "Try again.")
                yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise HiddenRowsError(self._hidden(table, error)) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            problem = f"{table.name} has changed while it was compared: {error}"
            raise TableChangedError(problem, "Try again.") from error
        except psycopg.DataError as error:
            problem = f"Keys of {table.name} in bronze cannot be looked up in the shop: {error}"
            raise StopPipelineError(problem, "Was the type of its primary key changed?") from error
        except psycopg.Error as error:
            raise explained(error, Service.SHOP, f"{table.name} cannot be read") from error

    def _hidden(self, table: SourceTable, error: psycopg.Error) -> str:
        is_policy = "row-level security" in str(error)
        hidden = HiddenRows(
            table=table.name,
            roles=(self._connection.info.user,),
            reason=Reason.ROW_SECURITY if is_policy else Reason.NO_GRANT,
        )
        return hidden.sentences


def read_rows(csv: bytes, table: SourceTable) -> pl.DataFrame:
    """Parse the CSV that `_copy` selects: `key`, `version`, and each column as `SHOP…`."""
    schema = {"": pl.String} | dict.fromkeys(_selected(table), pl.String)
    if csv:
        raw = pl.read_csv(io.BytesIO(csv), has_header=False, schema=schema)
    else:
        raw = pl.DataFrame(schema=schema)
    key = key_text(table.key, pl.struct(c.name for c in table.key)) if table.key else pl.lit(None)
    version = pl.col("version") if table.is_versioned else pl.lit(None)
    facts = raw.with_columns(key=key.cast(pl.String), version=version.cast(pl.Int64))
    values = raw.select(c.kind.read(pl.col(c.name)) for c in table.columns)
    facts = facts.select("key", "version")
    return pl.concat([facts, canonical(values, table.columns, prefix=SHOP)], how="horizontal")


def no_rows(table: SourceTable) -> pl.DataFrame:
    """Return no rows, in the columns of `read_rows`."""
    return read_rows(b"", table)


def _selected(table: SourceTable) -> dict[str, Kind]:
    return {c.name: c.kind for c in (*table.key, *table.columns)}


def _copy(table: SourceTable) -> sql.Composed:
    # The constant prevents an empty line for a row of nulls.
    expressions: list[sql.Composable] = [sql.SQL("1")]
    for name, kind in _selected(table).items():
        expressions.append(sql.SQL(kind.sql).format(c=sql.Identifier(name)))
    return sql.SQL("copy (select {} from only {}) to stdout (format csv)").format(
        sql.SQL(", ").join(expressions), sql.Identifier("public", table.name)
    )
