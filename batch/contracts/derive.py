"""Contracts from the catalog of the shop: names and types in silver of any table. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.shop_catalog import OPAQUE_KINDS, OPAQUE_TYPES, CatalogRow, is_text
from lakehouse.contracts import Column, Entity, Type
from lakehouse.contracts.bronze import bronze_name
from lakehouse.contracts.files import OURS
from lakehouse.contracts.model import MOST_DIGITS
from lakehouse.contracts.schemas import VALIDITY

_BY_TYPE: Mapping[str, Type] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), Type.INTEGER),
    **dict.fromkeys(("float4", "float8"), Type.FLOAT),
    "bool": Type.BOOLEAN,
    "date": Type.DATE,
    "timestamptz": Type.TIMESTAMP,
    "timestamp": Type.WALL_CLOCK,
    "time": Type.TIME,
    "bytea": Type.BYTES,
    **dict.fromkeys(OPAQUE_TYPES, Type.OPAQUE),
}
_MONEY = (19, 2)
"""Digits of `money`, as the connector's `money.fraction.digits` has them."""
_NOTES: Mapping[str, str] = {
    "json": "JSON",
    "jsonb": "JSON",
    "interval": "a duration of ISO 8601",
    "timetz": "a time of day in UTC, which ends in Z",
    "numeric": "a number without a fixed scale",
}
_PLAIN = (Type.INTEGER, Type.DECIMAL, Type.FLOAT, Type.BOOLEAN, Type.TIMESTAMP, Type.TEXT)
"""Types whose values mean the same in any other of these types, or are none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of the silver tables of one shop table."""

    silver: str
    history: str


def name_tables(tables: Iterable[str], taken: Mapping[str, Names]) -> dict[str, Names]:
    """Return the silver tables of these shop tables: `<table>` and `<table>_history`.

    A name that another table has begins with `public.`, which no shop table's does. Where a table
    is called like another's history, it keeps its name.

    Args:
        tables: captured tables without a contract.
        taken: names that tables already have, and keep.
    """
    used = {name.casefold() for name in OURS}
    used.update(n.casefold() for names in taken.values() for n in (names.silver, names.history))
    new = sorted(set(tables) - set(taken))
    current = {table: _free_table(table, used) for table in new}
    found = {
        table: Names(silver=name, history=_free_table(f"{table}_history", used))
        for table, name in current.items()
    }
    return {**taken, **found}


def derive(rows: Sequence[CatalogRow], names: Names, *, key: Sequence[str] = ()) -> Entity | None:
    """Return the contract of a table; None if nothing identifies its rows.

    Args:
        rows: its columns, in order.
        names: names of its silver tables.
        key: columns that identify a row in Kafka, for a table without a primary key.
    """
    of_key = {row.column_name: row.key_position for row in rows if row.key_position is not None}
    of_key = of_key or {name: place for place, name in enumerate(key, start=1)}
    if not of_key or not {row.column_name for row in rows}.issuperset(of_key):
        return None
    named = silver_names(row.column_name for row in rows)
    columns = [
        _column(row, named[row.column_name], required=row.column_name in of_key) for row in rows
    ]
    parts = [named[source] for source in sorted(of_key, key=lambda name: of_key[name] or 0)]
    ordered = sorted(columns, key=lambda column: column.name not in parts)
    entity = Entity(
        table=rows[0].table_name,
        raw=bronze_name(rows[0].table_name),
        silver=names.silver,
        history=names.history,
        grain=rows[0].table_comment or f"one row per row of {rows[0].table_name}",
        key=parts[0],
        columns=tuple(ordered),
        as_of="_committed_at",
        is_derived=True,
    )
    return entity.with_key(parts)


def silver_names(sources: Iterable[str]) -> dict[str, str]:
    """Return the names in silver of a table's columns, which no two share in any case.

    Delta allows no spaces and few other characters, and names that begin with `_` are silver's
    own.
    """
    used = {name.casefold() for name in VALIDITY.names}
    plain = {source: re.sub(r"\W", "_", source) for source in sources}
    return {
        source: unused((name.lstrip("_") or "column") + "_" * name.startswith("_"), used)
        for source, name in plain.items()
    }


def merged(new: Entity, old: Entity) -> Entity:
    """Return the contract of a table that has changed, which reads its earlier changes, too.

    A column that the shop has dropped stays. A column whose new type has another form in Debezium's
    JSON than the old one, such as a timestamp that was a date, is text from then on.
    """
    known = {column.source: column for column in old.columns}
    columns = [_retyped(column, known.get(column.source)) for column in new.columns]
    sources = {column.source for column in columns}
    names = {column.name.casefold() for column in columns}
    dropped = [
        replace(column, name=unused(column.name, names), required=False)
        for column in old.columns
        if column.source not in sources
    ]
    # Not last: rows end with the shop's newest column, and parsing looks for that.
    columns[1:1] = dropped
    whole = replace(new, columns=tuple(columns), excluded=old.excluded)
    return whole.with_key([column.name for column in new.key_columns])


def _retyped(new: Column, old: Column | None) -> Column:
    if old is None or (new.type, new.is_list) == (old.type, old.is_list):
        if old is not None and new.type is Type.DECIMAL:
            return _wider(new, old)
        return new
    if new.type in _PLAIN and old.type in _PLAIN and not (new.is_list or old.is_list):
        return new
    told = f"{new.description} Text as Debezium writes it: its type has changed."
    return replace(new, type=Type.TEXT, is_list=False, description=told)


def _wider(new: Column, old: Column) -> Column:
    """Return a decimal that holds both; text if none does."""
    scale = max(new.scale, old.scale)
    whole = max(new.precision - new.scale, old.precision - old.scale)
    if whole + scale > MOST_DIGITS:
        return replace(new, type=Type.TEXT)
    return replace(new, precision=whole + scale, scale=scale)


def unused(name: str, used: set[str]) -> str:
    """Return the name, or a similar one that is not used yet, in any case; and use it."""
    found = next(one for one in _candidates(name) if one.casefold() not in used)
    used.add(found.casefold())
    return found


def _free_table(name: str, used: set[str]) -> str:
    return unused(f"public.{name}" if name.casefold() in used else name, used)


def _candidates(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _column(row: CatalogRow, name: str, *, required: bool) -> Column:
    kind, is_list = _kind(row)
    precision, scale = _MONEY if row.type_name == "money" else digits(row.modifier) or (1, 0)
    told = [row.comment or f"{row.declared}."]
    if row.column_name != name:
        told.append(f"In the shop: {row.column_name}.")
    if row.is_generated:
        told.append("Computed by Postgres.")
    if (note := _note(row, kind, is_list=is_list)) is not None:
        told.append(note)
    return Column(
        name=name, source=row.column_name, type=kind, is_list=is_list, required=required,
        precision=precision, scale=scale, description=" ".join(told),
    )  # fmt: skip


def _kind(row: CatalogRow) -> tuple[Type, bool]:
    """Return the type of a column, and whether it is a list of it."""
    kind = _BY_TYPE.get(row.type_name, Type.TEXT)
    if row.type_kind in OPAQUE_KINDS:
        kind = Type.OPAQUE
    if row.type_name == "money" or (row.type_name == "numeric" and digits(row.modifier)):
        kind = Type.DECIMAL
    if row.type_name == "bit" and row.modifier == 1:
        kind = Type.BOOLEAN
    is_list = row.is_array and row.dimensions <= 1
    return (Type.TEXT if row.is_array and not is_list else kind), is_list


def digits(modifier: int) -> tuple[int, int] | None:
    """Return the precision and scale of a `numeric` that Delta can hold; None if it cannot.

    Args:
        modifier: Postgres' type modifier, -1 for a number without a fixed scale.
    """
    if modifier < 0:
        return None
    precision = (modifier - 4) >> 16 & 0xFFFF
    scale = ((modifier - 4 & 0x7FF) ^ 0x400) - 0x400
    whole, scale = max(precision - scale, 0), max(scale, 0)
    return None if whole + scale > MOST_DIGITS else (max(whole + scale, 1), scale)


def _note(row: CatalogRow, kind: Type, *, is_list: bool) -> str | None:
    """Return what a reader must know about the values; None if the type says it."""
    if row.is_array and not is_list:
        return "JSON of the nested lists, as Debezium writes them."
    if kind is Type.TIME:
        return "A time of day as text, because Delta has no type for it."
    if kind is Type.OPAQUE:
        return f"Text as Postgres writes it: there is no type for {row.type_name} here."
    if kind is not Type.TEXT or is_text(row):
        return None
    what = _NOTES.get(row.type_name, f"there is no type for {row.type_name} here")
    return f"Text as Debezium writes it: {what}."


def keyless(table: str) -> str:
    """Return what to say about a table whose rows nothing identifies."""
    return (
        f"{table} has no primary key, so silver cannot have its current rows: its changes are in "
        "bronze only. ./pipeline connect resnapshot reads its rows again, together with all others"
    )
