"""The first text of a mapping: all columns that entities have, beside those of the shop's tables.

Lines without a value are faults, which all commands tell until they are given.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import yaml

from connectors.mapping import Catalog, faults_in
from connectors.shop_catalog import CatalogRow, is_text
from lakehouse.choices import refuse_unknown
from lakehouse.contracts import DECLARED
from lakehouse.contracts.described import accepted, need
from lakehouse.contracts.expressions import Reader
from lakehouse.contracts.keys import with_key_types
from lakehouse.contracts.mapping import NEEDED
from lakehouse.contracts.model import Column, Entity, Type

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_WIDTH = 98
_HEAD = """\
# How tables of the shop become entities of the warehouse: docs/MAPPING.md.
# Give each line without a value a column of the table, or an expression such as {constant: 0}.
# Lines that begin with # are optional. Until all is given, each command that reads the contracts
# refuses this file and tells what is left; ./pipeline source check URL then compares it with the
# shop.
"""


def skeleton(tables: Mapping[str, str], catalog: Catalog) -> str:
    """Return the text of a mapping.

    Args:
        tables: the shop's table of some entities.
        catalog: columns of the shop's tables.

    Raises:
        WrongArgumentError: there is no such entity or table.
    """
    if unknown := [name for name in tables if name not in DECLARED]:
        refuse_unknown("entity", unknown, DECLARED)
    if unknown := [name for name in tables.values() if name not in catalog]:
        refuse_unknown("table of the shop", unknown, catalog)
    texts = {
        name: Type.TEXT
        for name, table in tables.items()
        if (key := _key(catalog[table])) is not None and is_text(key)
    }
    contracts = with_key_types(DECLARED, texts)
    mapped = [name for name in contracts if name in tables or name in NEEDED]
    absent = [name for name in contracts if name not in mapped]
    lines = [_HEAD.rstrip(), "#", "# Tables of the shop:"]
    lines += [line for name, rows in catalog.items() for line in _listed(name, rows)]
    lines += [f"absent: [{', '.join(absent)}]", "# time_zone: Europe/Berlin  # of local_time"]
    for name in mapped:
        lines += _entity(contracts[name], tables.get(name, ""), catalog)
    for name in absent:
        lines += ["", f"# {name} is absent: if the shop has it, remove it from `absent` as well."]
        lines += [f"# {line}".rstrip() for line in _entity(contracts[name], "", catalog)]
    return "\n".join(lines) + "\n"


def _listed(name: str, rows: Sequence[CatalogRow]) -> list[str]:
    told = ", ".join(
        f"{_written(row.column_name)} {row.declared}{' (key)' if row.key_position else ''}"
        for row in rows
    )
    return textwrap.wrap(
        f"{_written(name)}: {told}", _WIDTH, initial_indent="#   ", subsequent_indent="#     ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _entity(entity: Entity, table: str, catalog: Catalog) -> Iterator[str]:
    rows = {row.column_name: row for row in catalog.get(table, ())}
    key = _key([*rows.values()])
    yield f"{entity.table}:  # {entity.grain}"
    yield f"  table: {_written(table)}".rstrip()
    kind = next(column.type for column in entity.columns if column.name == entity.key)
    yield f"  key: {kind.value}  # text: of texts and uuids; integer: of whole numbers"
    yield "  columns:"
    for column in entity.columns:
        found = _written(key.column_name) if key and column.name == entity.key else ""
        found = found or _suggested(column, table, rows)
        is_needed = need(column) == "required" or found
        told = f"{need(column)}: {accepted(column)}. {' '.join(column.description.split())}"
        line = f"{column.name}: {found}".rstrip()
        yield f"    {'' if is_needed else '# '}{line}  # {told}"


def _key(rows: Sequence[CatalogRow]) -> CatalogRow | None:
    """Return the only column of the primary key."""
    key = [row for row in rows if row.key_position is not None]
    return key[0] if len(key) == 1 else None


def _suggested(column: Column, table: str, rows: Mapping[str, CatalogRow]) -> str:
    """Return the expression for a column of which the table has one of its name, if it can be."""
    for name in (column.name, column.source):
        candidates: list[object] = [name, {"local_time": name}]
        if name.endswith("_cents"):
            candidates.append({"minor": name})
        for candidate in candidates if name in rows else ():
            reader = Reader(time_zone="UTC")
            read = reader.read(candidate, column, ())
            if not reader.faults.found and not [*faults_in(read, table, rows)]:
                if isinstance(candidate, dict):
                    ((op, of),) = candidate.items()
                    return f"{{{op}: {_written(of)}}}"
                return _written(name)
    return ""


def _written(name: str) -> str:
    """Return a name as YAML has it."""
    is_plain = _PLAIN.fullmatch(name) and yaml.safe_load(name) == name
    return name if is_plain or not name else json.dumps(name, ensure_ascii=False)
