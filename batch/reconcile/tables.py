"""Descriptions of the shop's tables for the comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import LiteralString

import polars as pl

from batch.reconcile.kinds import Kind, kind_of, masked_kind
from connectors.shop_catalog import CatalogRow
from lakehouse.contracts import Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column whose values can be compared.

    `declared` is its type as in SQL, with its length; `type_name` the type below any domain
    or, for an array, the elements' type. A masked column has neither: its values are no longer
    those of the type.
    """

    name: str
    kind: Kind
    declared: str = ""
    type_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """A captured table. `key` is its primary key, empty if it has none.

    `is_versioned`: each update of a row adds one to its `version`. `skipped`: columns of types
    whose values cannot be compared. `is_partitioned`: its rows are in its partitions.
    """

    name: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    is_versioned: bool
    skipped: tuple[str, ...] = ()
    is_partitioned: bool = False

    @property
    def only(self) -> LiteralString:
        """Return the keyword before its name, so that rows of inheriting tables are left out."""
        return "" if self.is_partitioned else "only "


def describe(
    rows: Sequence[CatalogRow], masks: Mapping[str, Mask] = MappingProxyType({})
) -> SourceTable:
    """Build a table from its rows of the catalog query, and the masks of its columns."""
    kinds = {
        # An array of several dimensions is nested in Debezium's JSON, and not where it is unnested.
        row.column_name: None
        if row.dimensions > 1
        else kind_of(row.type_name, row.type_kind, is_array=row.is_array)
        for row in rows
    }
    columns = {
        row.column_name: (
            Column(name=row.column_name, kind=masked_kind(kind, masks[row.column_name]))
            if row.column_name in masks
            else Column(
                name=row.column_name, kind=kind, declared=row.declared, type_name=row.type_name
            )
        )
        for row in rows
        if (kind := kinds[row.column_name]) is not None
    }
    positions = sorted(
        (row.key_position, row.column_name) for row in rows if row.key_position is not None
    )
    key = tuple(columns[name] for _, name in positions if name in columns)
    # A key that has no comparable text does not count as a key.
    has_key = len(key) == len(positions) and not any(column.kind.is_list for column in key)
    return SourceTable(
        name=rows[0].table_name,
        key=key if has_key else (),
        columns=tuple(columns.values()),
        is_versioned=has_key and any(_is_version(row) for row in rows),
        skipped=tuple(name for name, kind in kinds.items() if kind is None),
        is_partitioned=rows[0].is_partitioned,
    )


def key_text(columns: Sequence[Column], values: pl.Expr) -> pl.Expr:
    """Build one text for the primary key.

    Args:
        columns: its columns.
        values: a struct with a text for each, named "0", "1" and so on: Polars takes a field's name
            that looks like a pattern for one.
    """
    parts = key_parts(columns, values)
    if len(parts) == 1:
        return parts[0]
    escaped = [
        part.str.replace_all("\\", "\\\\", literal=True).str.replace_all(",", "\\,", literal=True)
        for part in parts
    ]
    return pl.concat_str(escaped, separator=",")


def key_parts(columns: Sequence[Column], values: pl.Expr) -> list[pl.Expr]:
    """Return the canonical text of each column of the primary key; arguments as of `key_text`."""
    return [
        column.kind.canonical(values.struct.field(str(index))).cast(pl.String)
        for index, column in enumerate(columns)
    ]


def _is_version(row: CatalogRow) -> bool:
    is_integer = row.type_name in ("int2", "int4", "int8") and not row.is_array
    return row.column_name == "version" and is_integer and row.is_counted
