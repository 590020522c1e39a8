"""The shop as reconciliation reads it: every table as of one snapshot of the database."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson
import polars as pl
import psycopg
from psycopg import IsolationLevel, sql

from batch.reconcile.kinds import SALT_SETTING, Kind
from batch.reconcile.recast import recast
from batch.reconcile.tables import Column, SourceTable, describe, key_parts, key_text
from batch.reconcile.values import SHOP, canonical
from batch.reconcile.visibility import Visibility
from connectors.masks import Masks
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
select k.number - 1, t.{first} is not null, {spelled}
from (
    select j.number, {values}
    from json_array_elements({keys}::json) with ordinality as j (texts, number)
) as k
left join {only}{table} as t on {pairs}"""
_LOCK = "lock table {only}{table} in access share mode"
# A table rewritten or truncated after the snapshot appears empty in it, and one that was attached
# or detached as a partition appears with its rows or without: none of it is MVCC-safe. Columns are
# read as of the snapshot, functions as of now.
_IS_AS_SEEN = """
with recursive tree as (
    select %(table)s::regclass::oid as relid
    union
    select h.inhrelid as relid
    from tree as t
    inner join pg_inherits as h on t.relid = h.inhparent
    inner join pg_class as c on h.inhrelid = c.oid and c.relispartition
),

now as (
    select %(table)s::regclass::oid as relid
    union
    select p.relid from pg_partition_tree(%(table)s::regclass) as p
)

select
    bool_and(c.relkind <> 'r' or c.relfilenode = pg_relation_filenode(c.oid))
    and count(*) = count(t.relid)
    and count(*) = count(n.relid)
from pg_class as c
left join tree as t on c.oid = t.relid
left join now as n on c.oid = n.relid
where t.relid is not null or n.relid is not null"""
_SET_SALT = "select set_config(%s, %s, false)"
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

    def tables(self, masks: Masks = MappingProxyType({}), *, salt: str = "") -> list[SourceTable]:
        """Return the captured tables, by name.

        Args:
            masks: masks of columns: their values are read masked, too.
            salt: salt of hashes.
        """
        self._connection.execute(_SET_SALT, [SALT_SETTING, salt])
        return [
            describe(columns, masks.get(name, {}))
            for name, columns in read_catalog(self._connection).items()
        ]

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
            table: a table whose key's kinds have a `value`.
            keys: for each key a value for each of its columns, as Debezium writes it.

        Raises:
            HiddenRowsError: it hides rows from this role.
            TableChangedError: the snapshot has lost its rows.
            StopPipelineError: these are not valid keys of this table.
            RetryLaterError: the database does not answer.
        """
        if not keys:
            return set()
        texts = _texts(keys, table)
        with self._whole(table):
            rows = self._connection.execute(_lookup(table, texts)).fetchall()
        numbers = [number for number, *_ in rows]
        spelled = _canonical_keys([row[2:] for row in rows], table)
        # If other values were looked up than bronze has, it means nothing that they are missing.
        if spelled.rows() != texts[numbers].rows():
            raise _unknown_keys(table, "its values have other texts there")
        return {number for number, is_there, *_ in rows if is_there}

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
                lock = sql.SQL(_LOCK).format(only=sql.SQL(table.only), table=name)
                self._connection.execute(lock)
                row = self._connection.execute(_IS_AS_SEEN, {"table": name.as_string()}).fetchone()
                if row is None or not row[0]:
                    problem = (
                        f"{table.name} was rewritten, truncated or dropped, or its partitions "
                        "were, while it was compared, so its rows cannot be seen any more"
                    )
                    raise TableChangedError(problem, "Try again.")
                yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise HiddenRowsError(self._hidden(table, error)) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            problem = f"{table.name} has changed while it was compared: {error}"
            raise TableChangedError(problem, "Try again.") from error
        except psycopg.DataError as error:
            raise _unknown_keys(table, str(error)) from error
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
    # Numbers, since Polars takes names such as * for patterns. The first is the constant's.
    number = {name: str(place) for place, name in enumerate(_selected(table), start=1)}
    schema = dict.fromkeys(("0", *number.values()), pl.String)
    if csv:
        raw = pl.read_csv(io.BytesIO(csv), has_header=False, schema=schema)
    else:
        raw = pl.DataFrame(schema=schema)
    parts = [pl.col(number[c.name]).alias(str(index)) for index, c in enumerate(table.key)]
    key = key_text(table.key, pl.struct(parts)) if parts else pl.lit(None)
    version = pl.col(number["version"]) if table.is_versioned else pl.lit(None)
    facts = raw.with_columns(key=key.cast(pl.String), version=version.cast(pl.Int64))
    facts = facts.select("key", "version")
    values = raw.select(c.kind.read(pl.col(number[c.name])).alias(c.name) for c in table.columns)
    return pl.concat([facts, canonical(values, table.columns, prefix=SHOP)], how="horizontal")


def no_rows(table: SourceTable) -> pl.DataFrame:
    """Return no rows, in the columns of `read_rows`."""
    return read_rows(b"", table)


def _texts(keys: Sequence[Mapping[str, object]], table: SourceTable) -> pl.DataFrame:
    """Return the canonical texts of keys: a column for each of the key's, named by its number."""
    schema = pl.Schema({column.name: pl.String for column in table.key})
    lines = b"\n".join(orjson.dumps(key) for key in keys)
    read = pl.read_ndjson(io.BytesIO(lines), schema=schema)
    return _canonical_keys(read.rows(), table)


def _canonical_keys(rows: Sequence[Sequence[object]], table: SourceTable) -> pl.DataFrame:
    numbers = [str(index) for index in range(len(table.key))]
    raw = pl.DataFrame(rows, schema=dict.fromkeys(numbers, pl.String), orient="row")
    parts = key_parts(table.key, pl.struct(numbers))
    return raw.select(part.alias(n) for part, n in zip(parts, numbers, strict=True))


def _lookup(table: SourceTable, texts: pl.DataFrame) -> sql.Composed:
    """Return the query that tells of each key whether it exists, and what text its values have."""
    values, spelled, pairs = [], [], []
    for index, column in enumerate(table.key):
        own = sql.Identifier("k", str(index))
        text = sql.SQL("(j.texts ->> {})").format(sql.Literal(index))
        value = sql.SQL(column.kind.value or "null").format(c=text)
        # The catalog's own spelling of a type: `numeric(12,2)`, `public."Mood"`.
        declared = sql.SQL(column.declared)
        values.append(sql.SQL("({})::{} as {}").format(value, declared, sql.Identifier(str(index))))
        # Not cast to text, which differs for some types from what `copy` writes.
        text_now = sql.SQL(column.kind.sql).format(c=own)
        spelled.append(sql.SQL("format('%s', {})").format(text_now))
        pairs.append(sql.SQL("t.{} = {}").format(sql.Identifier(column.name), own))
    return sql.SQL(_LIVING).format(
        first=sql.Identifier(table.key[0].name),
        spelled=sql.SQL(", ").join(spelled),
        values=sql.SQL(", ").join(values),
        # No parameter: a column's name may have a percent sign.
        keys=sql.Literal(orjson.dumps(texts.rows()).decode()),
        only=sql.SQL(table.only),
        table=sql.Identifier("public", table.name),
        pairs=sql.SQL(" and ").join(pairs),
    )


def _unknown_keys(table: SourceTable, why: str) -> StopPipelineError:
    problem = f"Keys of {table.name} in bronze cannot be looked up in the shop: {why}"
    return StopPipelineError(problem, "Was the type of its primary key changed?")


def _selected(table: SourceTable) -> dict[str, Kind]:
    return {c.name: c.kind for c in (*table.key, *table.columns)}


def _copy(table: SourceTable) -> sql.Composed:
    # The constant prevents an empty line for a row of nulls.
    expressions: list[sql.Composable] = [sql.SQL("1")]
    for name, kind in _selected(table).items():
        expressions.append(sql.SQL(kind.sql).format(c=sql.Identifier(name)))
    return sql.SQL("copy (select {} from {}{}) to stdout (format csv)").format(
        sql.SQL(", ").join(expressions),
        sql.SQL(table.only),
        sql.Identifier("public", table.name),
    )
