"""A mapping: how the tables of a foreign shop become the entities of our contracts.

It is `mapping.yaml` in the folder of contract files. It is compiled into the contracts, whose
columns then follow from expressions; all that reads contracts stays as it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from typing_extensions import override

from lakehouse.choices import nearest
from lakehouse.contracts.described import IF_ABSENT, accepted
from lakehouse.contracts.expressions import (
    Expression,
    Op,
    Reader,
    misplaced_at,
    require_zone,
)
from lakehouse.contracts.keys import KEY_TYPES, with_key_types
from lakehouse.contracts.model import Entity, OnSchemaChange, Type
from lakehouse.declarations import Faults, MisplacedError, read_with_faults, refused, require_known
from lakehouse.environment import absolute, environment
from lakehouse.errors import PipelineError

NAME = "mapping.yaml"
_FOLDER = "CONTRACTS_DIR"
_ROOT = Path(__file__).resolve().parent.parent.parent
_OF_FILE = ("absent", "time_zone")
_OF_ENTITY = ("table", "key", "on_removed", "columns")
NEEDED = ("orders", "order_lines", "products")
"""Entities that the warehouse and the rows of others mean nothing without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedEntity(Entity):
    """A contract whose columns follow from a table of a foreign shop, or from none.

    Attributes:
        mapped_from: that table; "" if the shop has none.
        expressions: of each column, in the contract's order.
        on_lacking: what to do with a change that lacks a column that an expression reads.
    """

    mapped_from: str = ""
    expressions: tuple[Expression, ...] = ()
    on_lacking: OnSchemaChange = OnSchemaChange.IGNORE

    @property
    @override
    def shop_table(self) -> str:
        return self.mapped_from

    @property
    @override
    def reader(self) -> str:
        # The table has a derived contract, too; and what other expressions have read is read again.
        meanings = "\n".join(one.meaning for one in self.expressions)
        whole = f"{self.mapped_from}\n{self.on_lacking}\n{meanings}"
        return f"{self.table}:{sha256(whole.encode()).hexdigest()[:12]}"

    @property
    @override
    def to_correct(self) -> str:
        return f"Correct {self.table} in {NAME} (docs/MAPPING.md), then run it again."

    @property
    @override
    def to_list(self) -> str:
        return f"give each a result in {NAME}, by `case` (docs/MAPPING.md)"

    @property
    def shop_columns(self) -> tuple[str, ...]:
        """Return the shop's columns that are read, the key first."""
        names = (name for expression in self.expressions for name in expression.columns)
        return tuple(dict.fromkeys((*(one.source for one in self.key_columns), *names)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingFile:
    """A mapping, checked as far as is possible without the shop's catalog."""

    path: Path
    entities: Mapping[str, MappedEntity]

    @property
    def mapped(self) -> Iterator[MappedEntity]:
        """Yield the entities that follow from a table of the shop."""
        return (one for one in self.entities.values() if not one.is_absent)

    def refused(self, faults: Iterable[MisplacedError]) -> PipelineError:
        """Return an error that tells these faults, each with file and line."""
        return refused(self.path, faults)


def mapping_path() -> Path:
    """Return where the mapping is, if there is one.

    The settings are not read: transformations know contracts, but no settings.
    """
    folder = environment().get(_FOLDER)
    try:
        return absolute(Path(folder) if folder else _ROOT / "contracts") / NAME
    except RuntimeError:  # unknown user: refused by the settings
        return Path(folder or "") / NAME


def bronze_of(table: str, contracts: Mapping[str, Entity]) -> str:
    """Return the bronze of a shop's table: the same with a mapping, and before there was one."""
    taken = {name: entity.bronze for name, entity in contracts.items()}
    plain = f"raw_{table}"
    return taken.get(table, f"raw_public.{table}" if plain in taken.values() else plain)


def with_mapping(contracts: Mapping[str, Entity], path: Path | None = None) -> dict[str, Entity]:
    """Lay the mapping over the contracts; without one they stay as they are.

    Raises:
        StopPipelineError: the mapping is wrong, with file and line.
    """
    found = read_mapping_file(contracts, path)
    return dict(contracts if found is None else found.entities)


def read_mapping_file(
    contracts: Mapping[str, Entity], path: Path | None = None
) -> MappingFile | None:
    """Read the mapping; None if there is none.

    Args:
        contracts: of our own shop.
        path: of the file; by default where the settings have it.

    Raises:
        StopPipelineError: it is wrong, with file and line.
    """
    path = path or mapping_path()
    if not path.is_file():
        return None
    found = read_with_faults(path, lambda given, faults: _entities(given, contracts, faults))
    return MappingFile(path=path, entities=found)


def _entities(
    given: dict[str, Any], contracts: Mapping[str, Entity], faults: Faults
) -> dict[str, MappedEntity]:
    for name in given:
        with faults:
            require_known([name], (*_OF_FILE, *contracts), "entity", name)
    # What is misspelled is no entity that nothing is said about.
    misspelled = nearest([name for name in given if name not in contracts], contracts)
    given, keys = _keys_of_absent(given, faults)
    absent = _absent(given, contracts, misspelled, faults)
    zone = given.get("time_zone", "")
    with faults:
        if "time_zone" in given:
            zone = "UTC"  # until it is known to be one: no other fault follows from it
            require_zone(given["time_zone"], ("time_zone",))
            zone = given["time_zone"]
    reader = Reader(time_zone=zone, faults=faults)
    types = {name: _key_type(given | keys, name, faults) for name in contracts}
    texts = {name: Type.TEXT for name, kind in types.items() if kind is Type.TEXT}
    found = {}
    for name, entity in with_key_types(contracts, texts).items():
        found[name] = _over(entity)
        if name in given and name not in absent:
            with faults:
                found[name] = _mapped(entity, given[name], reader, contracts)
    _require_one_each(found, faults)
    return found


def _keys_of_absent(given: dict[str, Any], faults: Faults) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mapping with the names of absent entities alone, and what is said of their keys.

    Columns of other entities refer to an absent one, too, such as a product to its supplier.
    """
    listed = given.get("absent")
    if not isinstance(listed, list):
        return given, {}
    keys: dict[str, Any] = {}
    names = []
    for number, one in enumerate(listed):
        if not isinstance(one, Mapping):
            names.append(one)
            continue
        name, options = next(iter(one.items()), ("suppliers", None))
        names.append(name)
        with faults:
            if len(one) != 1 or options not in [{"key": kind} for kind in KEY_TYPES]:
                problem = f"expected a name, or one with the type of its key, found {dict(one)}"
                action = f"Write such as `suppliers: {{key: text}}`; a key is {_kinds()}."
                raise misplaced_at(("absent", number), problem, action)
            keys[name] = options
    return {**given, "absent": names}, keys


def _kinds() -> str:
    return " or ".join(KEY_TYPES)


def _absent(
    given: Mapping[str, Any], contracts: Mapping[str, Entity], misspelled: Sequence[str],
    faults: Faults,
) -> list[str]:  # fmt: skip
    """Return the entities that the shop does not have: all that are not mapped."""
    absent = given.get("absent") or []
    with faults:
        if not isinstance(absent, list):
            problem = f"{absent!r} is no list of entities"
            raise misplaced_at(("absent",), problem, "Write such as `absent: [suppliers]`.")
    if not isinstance(absent, list):
        return []
    for number, name in enumerate(absent):
        with faults:
            require_known([name], contracts, "entity", "absent", number)
            if name in given or name in absent[:number]:
                problem = f"{name} is {'mapped' if name in given else 'absent'}, too"
                raise misplaced_at(("absent", number), problem, "Remove one of the two.")
            if name in NEEDED:
                problem = f"no warehouse is without {name}"
                action = f"Remove it here, and map it: `{name}: {{table: …, columns: {{…}}}}`."
                raise misplaced_at(("absent", number), problem, action)
    named = [name for name in absent if isinstance(name, str)]
    said = {
        *given,
        *named,
        *misspelled,
        *nearest([n for n in named if n not in contracts], contracts),
    }
    with faults:
        # A name may be in a list in the list.
        if left := [name for name in contracts if name not in said and name not in str(absent)]:
            problem = f"nothing is said about {', '.join(left)}"
            spare = [name for name in left if name not in NEEDED]
            needed = [name for name in left if name in NEEDED]
            action = f"Map {', '.join(needed)}. " if needed else ""
            if spare:
                action += (
                    f"List in `absent` those that the shop does not have: [{', '.join(spare)}]."
                )
            raise misplaced_at(("absent",), problem, action.rstrip())
    return named


def _key_type(given: Mapping[str, Any], name: str, faults: Faults) -> Type:
    """Return the type of an entity's key, before all else: other entities refer to it."""
    of_entity = given.get(name)
    key = of_entity.get("key", Type.INTEGER) if isinstance(of_entity, Mapping) else Type.INTEGER
    with faults:
        if not isinstance(key, str) or key not in KEY_TYPES:
            action = "Write `key: text` for texts and uuids, `key: integer` for whole numbers."
            raise misplaced_at((name, "key"), f"a key is {_kinds()}, found {key!r}", action)
        return Type(key)
    # The one that more constants fit, so that no other fault follows from this one.
    return Type.TEXT


def _over(entity: Entity, **changed: Any) -> MappedEntity:  # noqa: ANN401 - of each field's type
    """Return a mapped contract. `raw_` is the bronze of no table, so nothing is read of it."""
    given = {one.name: getattr(entity, one.name) for one in fields(Entity)}
    return MappedEntity(**{**given, "raw": "raw_", **changed})


def _require_one_each(found: Mapping[str, MappedEntity], faults: Faults) -> None:
    used: dict[str, str] = {}
    for name, entity in found.items():
        other = name if entity.is_absent else used.setdefault(entity.shop_table, name)
        with faults:
            if other != name:
                problem = f"{entity.shop_table} is the table of {other}, too"
                action = f"A table is of one entity: name another here, or make {name} absent."
                raise misplaced_at((name, "table"), problem, action)


def _mapped(
    entity: Entity, given: object, reader: Reader, contracts: Mapping[str, Entity]
) -> MappedEntity:
    name = entity.table
    if not isinstance(given, Mapping):
        problem = f"expected `table` and `columns`, found {given!r}"
        action = f"Write `{name}: {{table: …, columns: {{{entity.columns[0].name}: …}}}}`."
        raise misplaced_at((name,), problem, action)
    faults = reader.faults
    for key in given:
        with faults:
            require_known([key], _OF_ENTITY, "key", name, key)
    # A misspelled key is no lacking one.
    misspelled = nearest([key for key in given if key not in _OF_ENTITY], _OF_ENTITY)
    table = given.get("table")
    with faults:
        if (not isinstance(table, str) or not table) and "table" not in misspelled:
            problem = "no table is given" if table is None else f"{table!r} is no name of a table"
            action = "Write `table: …` with the name of its table in the schema public."
            place = (name, "table") if "table" in given else (name,)
            raise misplaced_at(place, problem, action)
    on_removed = OnSchemaChange.IGNORE
    with faults:
        policy = given.get("on_removed", on_removed)
        require_known([policy], tuple(OnSchemaChange), "policy", name, "on_removed")
        on_removed = OnSchemaChange(policy)
    columns = given.get("columns")
    if not isinstance(columns, Mapping):
        if "columns" in misspelled:
            return _over(entity)
        problem = (
            "no columns are given" if columns is None else f"{columns!r} is no list of columns"
        )
        action = f"Write `columns:`, and below it such as `{entity.columns[0].name}: …`."
        raise misplaced_at((name, "columns") if "columns" in given else (name,), problem, action)
    _require_columns(columns, entity, faults)
    whole = {**IF_ABSENT, **columns}
    expressions = tuple(
        reader.read(whole[column.name], column, (name, "columns", column.name))
        if column.name in whole
        else Expression(op=Op.NULL, target=column, place=(name, "columns"))
        for column in entity.columns
    )
    sources = (
        replace(column, source=next(iter(expression.columns), column.name))
        for column, expression in zip(entity.columns, expressions, strict=True)
    )
    with faults:
        if expressions[entity.names.index(entity.key)].op not in (Op.COLUMN, Op.NULL):
            problem = f"{entity.key} identifies a row: it must be a column as it is"
            action = "Name the column of the table's primary key."
            raise misplaced_at((name, "columns", entity.key), problem, action)
    return _over(
        entity,
        mapped_from=table if isinstance(table, str) else "",
        raw=bronze_of(str(table), contracts),
        columns=tuple(sources),
        expressions=expressions,
        on_lacking=on_removed,
    )


def _require_columns(columns: Mapping[str, object], entity: Entity, faults: Faults) -> None:
    """Refuse columns that the contract lacks, or computes itself, and the lack of required ones."""
    known = [column.name for column in entity.columns]
    by_source = {column.source: column.name for column in entity.columns}
    inputs = {derived.name: derived.inputs for derived in entity.derived}
    misspelled = []
    for name in columns:
        place = (entity.table, "columns", name)
        with faults:
            if name in inputs:
                problem = f"{name} is computed from {', '.join(inputs[name])}"
                raise misplaced_at(place, problem, "Remove it.")
            if name not in known:
                near = [by_source[name]] if name in by_source else nearest([name], known)
                misspelled += near
                left = [one for one in known if one not in columns]
                action = f"Did you mean {near[0]}? " if near else ""
                action += f"Columns that are not mapped yet: {', '.join(left) or 'none'}."
                raise misplaced_at(place, f"{entity.table} has no column {name!r}", action)
    lacking = [
        column
        for column in entity.columns
        if column.required and column.name not in (*columns, *IF_ABSENT, *misspelled)
    ]
    with faults:
        if lacking:
            names = ", ".join(column.name for column in lacking)
            needs = "; ".join(
                f"{one.name}: {accepted(one)} ({one.description.rstrip('.')})" for one in lacking
            )
            problem = f"{entity.table} needs an expression for {names}"
            raise misplaced_at((entity.table, "columns"), problem, f"Add {needs}.")
