"""The first text of a contract in Python, from the shop's catalog: for `./pipeline new entity`."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from enum import Enum
from pathlib import Path

from batch.contracts.derive import Names, derive, keyless, unused
from connectors.shop_catalog import CatalogRow
from lakehouse.choices import meant
from lakehouse.contracts import ENTITIES, Cleaning, Column, Entity, OnSchemaChange, Type
from lakehouse.contracts.bronze import bronze_name
from lakehouse.contracts.files import ContractFile
from lakehouse.contracts.model import MOST_DIGITS, day_and_month, row_times
from lakehouse.contracts.schemas import VALIDITY
from lakehouse.errors import WrongArgumentError
from lakehouse.settings import ROOT

FOLDER = ROOT / "lakehouse" / "contracts" / "shop"
NAME = re.compile(r"[a-z_][a-z0-9_]*")
"""Names of tables and columns that SQL needs no quotes for, but for reserved words."""
_TIMES = {column.name: column for column in row_times()}
_NO_SQL = (Type.BYTES,)
"""Types that the warehouse has no columns for."""
_MOST = 60
"""Characters of a name, which may get a number: Postgres cuts names after 63."""
_MOST_COLUMNS = 1_500
"""Postgres allows 1,600, and the warehouse adds some of its own."""
_WIDTH = 100
_STEP = "    "
_AS_TEXT = "Text as Debezium writes it."


def file_of(table: str, folder: Path = FOLDER) -> Path:
    """Return the file of a new contract.

    Raises:
        WrongArgumentError: the table has a contract, there is such a file, or its name is no name
            in the warehouse.
    """
    if table in ENTITIES:
        problem = f"{table} has a contract in lakehouse/contracts/shop/"
        raise WrongArgumentError(problem, f"Edit it. Its SQL: ./pipeline sql show {table}")
    if not NAME.fullmatch(table):
        problem = f"{table!r} cannot be the name of a table in the warehouse"
        action = "It may have a-z, 0-9 and _. Silver has the table without a contract."
        raise WrongArgumentError(problem, action)
    path = folder / f"{table}.py"
    if path.exists():
        problem = f"{path} exists, and declares no contract of {table}"
        raise WrongArgumentError(problem, "Edit it, or delete it to have it written again.")
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
    """Return the text of a module that declares the contract, as the formatter leaves it."""
    has_times = entity.columns[-len(_TIMES) :] == row_times()
    columns = entity.columns[: -len(_TIMES)] if has_times else entity.columns
    used = {"Column", "Entity", "Type"}
    used |= {"Cleaning"} if any(c.cleaning is not Cleaning.NONE for c in columns) else set()
    used |= {"OnUnknown"} if any(c.on_unknown for c in columns) else set()
    used |= {"day_and_month"} if entity.derived else set()
    used |= {"row_times"} if has_times else set()
    changes = {entity.on_removed, entity.on_retyped} - {OnSchemaChange.IGNORE}
    used |= {"OnSchemaChange"} if changes else set()
    lines = [
        f'"""Contract of the shop\'s table {entity.table}."""',
        "",
        "from lakehouse.contracts.model import (",
        *(f"{_STEP}{name}," for name in sorted(used, key=lambda name: (name.islower(), name))),
        ")",
        "",
        f"{entity.table.upper()} = Entity(",
        *_given(entity, _STEP, ("columns", "derived")),
        f"{_STEP}columns=(",
        *(line for column in columns for line in _column(column)),
        *([f"{_STEP * 2}*row_times(),"] if has_times else []),
        f"{_STEP}),",
    ]
    if entity.derived:
        day = entity.derived[0]
        given = (day.name.removesuffix("_date"), day.description)
        lines += [
            f"{_STEP}derived=day_and_month(",
            *(f"{_STEP * 2}{_quoted(text)}," for text in given),
            f"{_STEP}),",
        ]
    return "\n".join([*lines, ")", ""])


def _column(column: Column) -> Iterator[str]:
    yield f"{_STEP * 2}Column("
    given = replace(column, source="") if column.source == column.name else column
    hidden = ("source",) if column.source == column.name else ()
    yield from _given(given, _STEP * 3, hidden)
    yield f"{_STEP * 2}),"


def _given(declared: Column | Entity, indent: str, hidden: Sequence[str]) -> Iterator[str]:
    """Yield the arguments that differ from their defaults."""
    for field in fields(declared):
        value = getattr(declared, field.name)
        is_default = field.default is not MISSING and value == field.default
        if not is_default and field.name not in hidden:
            yield from _argument(field.name, value, indent)


def _argument(name: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, tuple) and len(value) == 1:
        yield f"{indent}{name}=({_quoted(value[0])},),"
        return
    if isinstance(value, tuple):
        yield f"{indent}{name}=("
        yield from (f"{indent}{_STEP}{_quoted(text)}," for text in value)
        yield f"{indent}),"
        return
    if isinstance(value, Enum):
        yield f"{indent}{name}={type(value).__name__}.{value.name},"
        return
    line = f"{indent}{name}={_quoted(value) if isinstance(value, str) else repr(value)},"
    if not isinstance(value, str) or len(line) <= _WIDTH:
        yield line
        return
    yield f"{indent}{name}=("
    yield from (indent + _STEP + part for part in _parts(value, _WIDTH - len(indent + _STEP)))
    yield f"{indent}),"


def _parts(text: str, width: int) -> Iterator[str]:
    """Yield a text in quoted parts of at most this width, cut behind a space where there is one."""
    while text:
        cut = len(text)
        while len(_quoted(text[:cut])) > width:
            space = text.rfind(" ", 0, cut - 1) + 1
            cut = space or cut - 1
        yield _quoted(text[:cut])
        text = text[cut:]


def _quoted(text: str) -> str:
    """Return a text as a Python literal, in the quotes that the formatter prefers."""
    plain = "".join(map(_escaped, text))
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + plain.replace(quote, f"\\{quote}") + quote


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    # Punctuation that looks like another is not read as such.
    if (character.isascii() and character.isprintable()) or character.isalpha():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
