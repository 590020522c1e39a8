"""The first text of a contract, from the shop's catalog: for `./pipeline new entity`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from batch.contracts.derive import Names, derive, keyless, unused
from connectors.shop_catalog import CatalogRow
from lakehouse.choices import meant
from lakehouse.contracts import ENTITIES, Column, Entity, OnSchemaChange, Type
from lakehouse.contracts.bronze import bronze_name
from lakehouse.contracts.declared import FOLDER
from lakehouse.contracts.files import ContractFile
from lakehouse.contracts.model import MOST_DIGITS, day_and_month, row_times
from lakehouse.contracts.schemas import VALIDITY
from lakehouse.errors import WrongArgumentError

NAME = re.compile(r"[a-z_][a-z0-9_]*")
"""Names of tables and columns that SQL needs no quotes for, but for reserved words."""
_TIMES = {column.name: column for column in row_times()}
_NO_SQL = (Type.BYTES,)
"""Types that the warehouse has no columns for."""
_MOST = 60
"""Characters of a name, which may get a number: Postgres cuts names after 63."""
_MOST_COLUMNS = 1_500
"""Postgres allows 1,600, and the warehouse adds some of its own."""
_ENTITY = TypeAdapter(Entity)
_AS_TEXT = "Text as Debezium writes it."


def file_of(table: str, folder: Path = FOLDER) -> Path:
    """Return the file of a new contract.

    Raises:
        WrongArgumentError: the table has a contract, or its name is no name in the warehouse.
    """
    path = folder / f"{table}.yaml"
    if table in ENTITIES or path.exists():
        problem = f"{table} has a contract in lakehouse/contracts/shop/"
        raise WrongArgumentError(problem, f"Edit it. Its SQL: ./pipeline sql show {table}")
    if not NAME.fullmatch(table):
        problem = f"{table!r} cannot be the name of a table in the warehouse"
        action = "It may have a-z, 0-9 and _. Silver has the table without a contract."
        raise WrongArgumentError(problem, action)
    return path


def entity_of(
    table: str, catalog: Mapping[str, Sequence[CatalogRow]], file: ContractFile | None = None
) -> Entity:
    """Return the contract of a table of the shop, to be refined.

    Args:
        table: name in the shop.
        catalog: columns of the shop's tables.
        file: contract file of the table, if there is one; it is laid over the catalog.

    Raises:
        WrongArgumentError: there is no such table, its rows are not known by one integer, or it
            has more columns than the warehouse can have.
    """
    if table not in catalog:
        problem = f"The shop has no table {table!r} without a contract that is captured"
        action = f"{meant([table], catalog)}It has {', '.join(catalog) or 'none'}."
        raise WrongArgumentError(problem, action)
    rows = {row.column_name: row for row in catalog[table]}
    found = derive([*rows.values()], Names(silver=f"cleaned_{table}", history=""))
    if found is None:
        raise WrongArgumentError(keyless(table))
    told = (_described(column, rows[column.source]) for column in found.columns)
    found = replace(found, columns=tuple(told))
    given = found if file is None else file.applied(found)
    if given is None:
        problem = f"{table} is excluded by {file}"
        raise WrongArgumentError(problem, "Remove `exclude` from it.")
    (key, *others) = given.key_columns
    if others or key.type is not Type.INTEGER or key.is_list:
        parts = ", ".join(column.source for column in given.key_columns)
        problem = f"{table} is keyed by {parts}; the warehouse knows rows by one integer"
        action = "Silver has it without a contract, see docs/CONTRACTS.md."
        raise WrongArgumentError(problem, action)
    if len(given.columns) > _MOST_COLUMNS:
        problem = f"{table} has {len(given.columns):,} columns, more than {_MOST_COLUMNS:,}"
        action = f"Exclude some by a contract file: ./pipeline contract derive {table}"
        raise WrongArgumentError(problem, action)
    used = {*VALIDITY.names}
    columns = [_plain(column, rows[column.source], used) for column in given.columns]
    if _has_times(columns):
        columns = [*(one for one in columns if one.name not in _TIMES), *_TIMES.values()]
    return _whole(table, columns, found.grain, given)


def entity_without_catalog(table: str) -> Entity:
    """Return a contract with a key and the bookkeeping columns, for want of the catalog."""
    key = f"{table.removesuffix('s')}_id"
    column = Column(name=key, type=Type.INTEGER, required=True, description="Identifies a row.")
    return _whole(table, [column, *row_times()], f"one row per row of {table}")


def _whole(
    table: str, columns: Sequence[Column], grain: str, given: Entity | None = None
) -> Entity:
    bronze = bronze_name(table)
    stem = _day(columns)
    return Entity(
        table=table,
        silver=f"cleaned_{table}",
        grain=" ".join(grain.split()).rstrip("."),
        key=columns[0].name,
        raw="" if bronze == f"raw_{table}" else bronze,
        columns=tuple(columns),
        derived=day_and_month(stem, f"Day of {stem}_at, in the shop's time zone.") if stem else (),
        partition=f"{stem}_month" if stem else None,
        excluded=given.excluded if given else (),
        as_of="updated_at" if _has_times(columns) else "_committed_at",
        on_removed=given.on_removed if given else OnSchemaChange.IGNORE,
        on_retyped=given.on_retyped if given else OnSchemaChange.IGNORE,
    )


def _described(column: Column, row: CatalogRow) -> Column:
    told = f"The shop's column {column.source}: {column.description}"
    return column if row.comment else replace(column, description=told)


def _plain(column: Column, row: CatalogRow, used: set[str]) -> Column:
    """Return the column with a name and a type that the warehouse has."""
    plain = re.sub(r"[^a-z0-9_]", "_", column.name.lower()).lstrip("_")
    name = unused(plain if plain[:1].isalpha() else f"column_{plain}"[:_MOST], used)
    is_required = column.required or row.is_required
    if column.type is not Type.DECIMAL:
        column = replace(column, precision=MOST_DIGITS, scale=0)
    if column.is_list or column.type in _NO_SQL:
        told = f"{column.description} {_AS_TEXT}"
        column = replace(column, type=Type.TEXT, is_list=False, description=told)
    told = " ".join(column.description.split())
    return replace(column, name=name, required=is_required, description=told)


def _has_times(columns: Iterable[Column]) -> bool:
    """Return whether the table has the bookkeeping columns, under their names."""
    known = {column.source: column for column in columns}
    return all(
        name in known
        and (known[name].name, known[name].type, known[name].required) == (name, one.type, True)
        for name, one in _TIMES.items()
    )


def _day(columns: Sequence[Column]) -> str | None:
    """Return `x` of the first instant `x_at` that every row has, the bookkeeping ones last."""
    names = {column.name for column in columns}
    instants = [
        column.name.removesuffix("_at")
        for column in sorted(columns, key=lambda column: column.name in _TIMES)
        if column.type is Type.TIMESTAMP and column.required and column.name.endswith("_at")
    ]
    stems = (stem for stem in instants if not names & {f"{stem}_date", f"{stem}_month"})
    return next((stem for stem in stems if stem != "updated"), None)


def contract_text(entity: Entity) -> str:
    """Return the text of the file, which `lakehouse.contracts.declared` reads."""
    told = _ENTITY.dump_python(entity, mode="json", exclude_defaults=True, exclude={"table"})
    has_times = entity.columns[-len(_TIMES) :] == row_times()
    columns = told.pop("columns")[: -len(_TIMES) if has_times else None]
    for column in columns:
        if column["source"] == column["name"]:
            del column["source"]
    told |= {"columns": columns, "has_row_times": has_times}
    if entity.derived:
        (day, *_) = entity.derived
        told["day"] = {"of": day.inputs[0], "description": day.description}
        del told["derived"]
    return yaml.dump(told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=98)


class _Dumper(yaml.SafeDumper):
    """A writer that escapes what is not visible, some of which PyYAML does not read back."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)
