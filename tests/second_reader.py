"""The lake read twice: by DuckDB, which shares no code with the writers, and by Polars.

Both give the same few numbers of every column, or a table does not say the same to everybody.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import duckdb
import polars as pl
from deltalake import DeltaTable

from batch.lake_sql import attach, connect
from lakehouse.delta import scan

Value = int | float | None
"""A sum or a count. None is the sum of a column without values."""
_MEMORY_MB = 1024
_RELATIVE = 1e-9
"""Floating point sums depend on the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One table, as one implementation reads it.

    Attributes:
        rows: how many.
        nulls: how many values are absent, by column.
        sums: by column. Of texts and bytes, their lengths in bytes; of instants, microseconds
            since 1970; of days, days since then; of booleans, how many are true. Nested columns
            have none.
    """

    rows: int
    nulls: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, Value] = field(default_factory=dict)


class ReadersDisagreeError(AssertionError):
    """The two implementations read something else from the same version of a table."""


def assert_second_reader_agrees(options: Mapping[str, str], uris: Iterable[str]) -> None:
    """Read the newest version of each table twice, and compare.

    Args:
        options: storage options, as for delta-rs.
        uris: addresses of Delta tables.

    Raises:
        ReadersDisagreeError: which table, what, and both values; all of them at once.
    """
    with connect(options, memory_mb=_MEMORY_MB) as second:
        found = [line for uri in uris for line in disagreements(second, options, uri)]
    if found:
        raise ReadersDisagreeError("\n".join(found))


def disagreements(
    second: duckdb.DuckDBPyConnection, options: Mapping[str, str], uri: str
) -> Iterator[str]:
    """What the two read differently of one table, a line each."""
    table = DeltaTable(uri, storage_options=dict(options))
    ours, theirs = read_by_polars(table), read_by_duckdb(second, uri, table.version())
    yield from differences(ours, theirs, f"{uri} at version {table.version()}", "DuckDB")


def differences(ours: Reading, theirs: Reading, where: str, other_reader: str) -> Iterator[str]:
    """What another reader has read differently of one table than Polars, a line each."""
    if ours.rows != theirs.rows:
        yield f"{where}: {ours.rows} rows by Polars, {theirs.rows} by {other_reader}"
    for what, mine, other in (
        ("nulls", ours.nulls, theirs.nulls),
        ("sum", ours.sums, theirs.sums),
    ):
        for name in sorted({*mine, *other}):
            if not _is_same(mine.get(name), other.get(name)):
                values = f"{mine.get(name)} by Polars, {other.get(name)} by {other_reader}"
                yield f"{where}: {what} of {name}: {values}"


def read_by_polars(table: DeltaTable) -> Reading:
    """With delta-rs' list of the files, and Polars' own Parquet reader."""
    rows = scan(table)
    schema = rows.collect_schema()
    asked = {name: _polars_sum(name, kind) for name, kind in schema.items()}
    sums = {name: how for name, how in asked.items() if how is not None}
    found = rows.select(
        pl.len(),
        *(pl.col(name).null_count().alias(f"nulls.{name}") for name in schema),
        *(how.alias(f"sum.{name}") for name, how in sums.items()),
        *(pl.col(name).count().alias(f"count.{name}") for name in sums),
    ).collect()
    values = found.row(0, named=True)
    return Reading(
        rows=values["len"],
        nulls={name: values[f"nulls.{name}"] for name in schema},
        # Polars' sum of nothing is 0, SQL's is null.
        sums={n: values[f"sum.{n}"] if values[f"count.{n}"] else None for n in sums},
    )


def read_by_duckdb(second: duckdb.DuckDBPyConnection, uri: str, version: int) -> Reading:
    """With the Delta kernel's list of the files, and DuckDB's own Parquet reader."""
    name = attach(second, uri, version=version, name=uri)
    found = read_relation(second, name)
    second.execute(f"detach {name}")
    return found


def read_relation(second: duckdb.DuckDBPyConnection, name: str) -> Reading:
    """What DuckDB reads from a table or view."""
    columns = [(row[0], row[1]) for row in second.execute(f"describe {name}").fetchall()]
    asked = {column: _duckdb_sum(column, kind) for column, kind in columns}
    sums = {column: how for column, how in asked.items() if how is not None}
    counts = [f'count(*) - count("{column}")' for column, _ in columns]
    wanted = ", ".join(["count(*)", *counts, *sums.values()])
    rows, *values = second.execute(f"select {wanted} from {name}").fetchall()[0]
    return Reading(
        rows=rows,
        nulls=dict(zip((column for column, _ in columns), values[: len(columns)], strict=True)),
        sums=dict(zip(sums, values[len(columns) :], strict=True)),
    )


def _polars_sum(name: str, kind: pl.DataType) -> pl.Expr | None:
    column = pl.col(name)
    if kind == pl.String:
        return column.str.len_bytes().cast(pl.Int128).sum()
    if kind == pl.Binary:
        return column.bin.size().cast(pl.Int128).sum()
    if isinstance(kind, pl.Datetime):
        return column.dt.epoch("us").cast(pl.Int128).sum()
    if kind == pl.Date:
        return column.cast(pl.Int32).cast(pl.Int128).sum()
    if kind.is_float():
        return column.sum()
    return column.cast(pl.Int128).sum() if kind.is_integer() or kind == pl.Boolean else None


def _duckdb_sum(name: str, kind: str) -> str | None:
    column = f'"{name}"'
    if kind == "VARCHAR":
        return f"sum(strlen({column}))"
    if kind == "BLOB":
        return f"sum(octet_length({column}))"
    if kind.startswith("TIMESTAMP"):
        return f"sum(epoch_us({column}))"
    if kind == "DATE":
        return f"sum(datediff('day', date '1970-01-01', {column}))"
    if kind == "BOOLEAN":
        return f"sum({column}::integer)"
    return f"sum({column})" if kind in _NUMBERS else None


_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def _is_same(mine: Value, other: Value) -> bool:
    if mine is None or other is None:
        return mine is other
    if isinstance(mine, float) or isinstance(other, float):
        return math.isclose(mine, other, rel_tol=_RELATIVE) or (
            math.isnan(mine) and math.isnan(other)
        )
    return mine == other
