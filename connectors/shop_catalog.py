"""The captured tables of the shop, as its own catalog describes them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from lakehouse.contracts.model import Type
from lakehouse.kafka import is_capturable
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

OPAQUE_TYPES = frozenset(
    ("pg_lsn", "xid", "xid8", "tid", "tsquery", "jsonpath", "regclass", "pg_snapshot")
)
OPAQUE_KINDS = ("c", "m")
"""Types, and kinds of types (composite, multirange), of which Debezium passes on the text as bytes,
without reading it."""
TEXTS = ("text", "varchar", "bpchar", "name", "char", "citext", "uuid")
"""Types whose values Debezium writes as Postgres casts them to text; so it does enumerations."""
_ENUMERATION = "e"
_WHOLE = frozenset({"int2", "int4", "int8"})
_NUMBERS = _WHOLE | {"numeric"}
READABLE: Mapping[Type, Collection[str]] = {
    Type.INTEGER: _WHOLE,
    Type.CENTS: _NUMBERS,
    Type.RATE: _NUMBERS,
    Type.DEGREES: _NUMBERS | {"float4", "float8"},
    Type.BOOLEAN: {"bool"},
    Type.TIMESTAMP: {"timestamptz"},
    Type.DATE: {"date"},
    Type.DECIMAL: _NUMBERS | {"money"},
    Type.FLOAT: _NUMBERS | {"float4", "float8"},
    Type.WALL_CLOCK: {"timestamp"},
    Type.TIME: {"time"},
}
"""Postgres types that cleaning can read, by type of the contract; any can be read as text."""
_CATALOG = Path(__file__).with_name("shop_catalog.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRow:
    """A column of a captured table.

    Attributes:
        declared: its type as in SQL, with its length.
        type_name: the type below any domain; for an array, the elements'.
        type_kind: `pg_type.typtype` of that type.
        modifier: Postgres' modifier of the type, such as a decimal's digits; -1 without.
        dimensions: of an array, as declared; Postgres does not enforce it.
        key_position: its position in the primary key, from 1.
        is_counted: whether a trigger numbers the versions of the table's rows.
        has_children: whether other tables inherit from the table. A select returns their rows, too,
            while the WAL has those under the names of the child tables.
        is_partitioned: whether its rows are in partitions, and published by its name.
        is_required: whether it is declared `not null`.
        is_generated: whether Postgres computes it.
        is_in_unique_index: whether it may identify rows in Kafka, if the table has no primary key.
    """

    table_name: str
    column_name: str
    type_name: str
    type_kind: str
    is_array: bool
    key_position: int | None
    is_counted: bool
    declared: str = ""
    modifier: int = -1
    dimensions: int = 0
    has_children: bool = False
    is_partitioned: bool = False
    is_required: bool = False
    is_generated: bool = False
    is_in_unique_index: bool = False
    comment: str = ""
    table_comment: str = ""


def is_text(row: CatalogRow) -> bool:
    """Return whether a column's values are texts, or are written as such."""
    return not row.is_array and (row.type_name in TEXTS or row.type_kind == _ENUMERATION)


def read_columns(connection: psycopg.Connection) -> list[CatalogRow]:
    """Return the columns of the published tables, also of those that are left out by their names.

    A partitioned table is one of them, or each of its partitions is, as the publication has it.
    """
    with connection.cursor(row_factory=class_row(CatalogRow)) as cursor:
        return cursor.execute(_CATALOG.read_bytes()).fetchall()


def read_catalog(connection: psycopg.Connection) -> Mapping[str, list[CatalogRow]]:
    """Return the columns of each captured table, in order, by the table's name.

    Doctor reports tables whose names rule them out.
    """
    grouped = groupby(read_columns(connection), key=lambda row: row.table_name)
    return {name: list(columns) for name, columns in grouped if is_capturable(name)}


def catalog_of(
    dsn: str, problem: str = "The shop's catalog cannot be read"
) -> Mapping[str, list[CatalogRow]]:
    """Return what `read_catalog` does, over a connection of its own; `problem` is for its errors.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses this login.
    """
    with (
        explaining(Service.SHOP, problem),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        return read_catalog(connection)
