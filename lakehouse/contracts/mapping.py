"""A mapping: how the tables of a foreign shop become the entities of our contracts.

It is `mapping.yaml` in the folder of contract files. It is compiled into the contracts, whose
columns then follow from expressions; all that reads contracts stays as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, TypeAdapter
from typing_extensions import override

from lakehouse.choices import meant
from lakehouse.contracts.expressions import (
    Expression,
    Op,
    Reader,
    misplaced_at,
    require_zone,
)
from lakehouse.contracts.keys import KEY_TYPES, with_key_types
from lakehouse.contracts.model import Column, Entity, OnSchemaChange, Type
from lakehouse.declarations import misplaced, read_declaration, require_known
from lakehouse.environment import absolute, environment

NAME = "mapping.yaml"
_FOLDER = "CONTRACTS_DIR"
_ROOT = Path(__file__).resolve().parent.parent.parent
_OF_FILE = ("absent", "time_zone")
_OF_ENTITY = ("table", "key", "on_removed", "columns")
_IF_ABSENT: Mapping[str, object] = {"updated_at": {"commit_time": True}, "version": {"constant": 1}}
"""What foreign tables seldom have, and what stands for it."""
_NEEDED = ("orders", "order_lines", "products")
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
        # The table has a derived contract, too, or is that of other entities.
        return self.table

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

    def refuse(self, place: Iterable[str | int], problem: str) -> NoReturn:
        """Raise an error that begins with file and line.

        Raises:
            StopPipelineError: always.
        """
        raise misplaced(self.path, tuple(place), problem)


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
    whole = AfterValidator(lambda given: _entities(given, contracts))
    # The values of the file are of any kind until they are read.
    model: TypeAdapter[Any] = TypeAdapter(Annotated[dict[str, Any], whole])
    return MappingFile(path=path, entities=read_declaration(path, model))


def _entities(given: dict[str, Any], contracts: Mapping[str, Entity]) -> dict[str, MappedEntity]:
    for name in given:
        require_known([name], (*_OF_FILE, *contracts), "entity", name)
    given, keys = _keys_of_absent(given)
    absent = _absent(given, contracts)
    if "time_zone" in given:
        require_zone(given["time_zone"], ("time_zone",))
    reader = Reader(time_zone=given.get("time_zone", ""))
    texts = {name: Type.TEXT for name in contracts if _key_type(given | keys, name) is Type.TEXT}
    found = {
        name: _over(entity) if name in absent else _mapped(entity, given[name], reader, contracts)
        for name, entity in with_key_types(contracts, texts).items()
    }
    _require_one_each(found)
    return found


def _keys_of_absent(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mapping with the names of absent entities alone, and what is said of their keys.

    Columns of other entities refer to an absent one, too, such as a product to its supplier.
    """
    keys: dict[str, Any] = {}
    absent = given.get("absent")
    for number, one in enumerate(absent if isinstance(absent, list) else ()):
        if isinstance(one, Mapping):
            name, options = next(iter(one.items()), ("suppliers", None))
            if len(one) != 1 or options not in [{"key": kind} for kind in KEY_TYPES]:
                problem = (
                    f"expected a name, or such as `suppliers: {{key: text}}`, found {dict(one)}"
                )
                raise misplaced_at(("absent", number), problem)
            keys[name] = options
    if not keys:
        return given, keys
    names = [next(iter(one)) if isinstance(one, Mapping) else one for one in given["absent"]]
    return {**given, "absent": names}, keys


def _absent(given: Mapping[str, Any], contracts: Mapping[str, Entity]) -> list[str]:
    """Return the entities that the shop does not have: all that are not mapped."""
    absent = given.get("absent") or []
    if not isinstance(absent, list):
        raise misplaced_at(("absent",), f"{absent!r} is no list of entities")
    for number, name in enumerate(absent):
        require_known([name], contracts, "entity", "absent", number)
        if name in given or name in absent[:number]:
            problem = f"{name} is {'mapped' if name in given else 'absent'}, too: remove one"
            raise misplaced_at(("absent", number), problem)
        if name in _NEEDED:
            raise misplaced_at(("absent", number), f"no warehouse is without {name}: map them")
    if left := [name for name in contracts if name not in given and name not in absent]:
        problem = f"nothing is said about {', '.join(left)}: map them, or list them here"
        raise misplaced_at(("absent",), problem)
    return absent


def _key_type(given: Mapping[str, Any], name: str) -> Type:
    """Return the type of an entity's key, before all else: other entities refer to it."""
    of_entity = given.get(name)
    key = of_entity.get("key", Type.INTEGER) if isinstance(of_entity, Mapping) else Type.INTEGER
    if not isinstance(key, str) or key not in KEY_TYPES:
        raise misplaced_at((name, "key"), f"a key is {' or '.join(KEY_TYPES)}, found {key!r}")
    return Type(key)


def _over(entity: Entity, **changed: Any) -> MappedEntity:  # noqa: ANN401 - of each field's type
    """Return a mapped contract. `raw_` is the bronze of no table, so nothing is read of it."""
    given = {one.name: getattr(entity, one.name) for one in fields(Entity)}
    return MappedEntity(**{**given, "raw": "raw_", **changed})


def _require_one_each(found: Mapping[str, MappedEntity]) -> None:
    used: dict[str, str] = {}
    for name, entity in found.items():
        other = name if entity.is_absent else used.setdefault(entity.shop_table, name)
        if other != name:
            problem = f"{entity.shop_table} is the table of {other}: a table is of one entity"
            raise misplaced_at((name, "table"), problem)


def _mapped(
    entity: Entity, given: object, reader: Reader, contracts: Mapping[str, Entity]
) -> MappedEntity:
    name = entity.table
    if not isinstance(given, Mapping):
        raise misplaced_at((name,), "expected `table` and `columns`")
    for key in given:
        require_known([key], _OF_ENTITY, "key", name, key)
    table, columns = given.get("table"), given.get("columns")
    if not isinstance(table, str) or not table:
        raise misplaced_at((name,), "add `table`: the name of its table in the schema public")
    if not isinstance(columns, Mapping):
        raise misplaced_at((name,), "add `columns`: an expression for each column")
    on_removed = given.get("on_removed", OnSchemaChange.IGNORE)
    require_known([on_removed], tuple(OnSchemaChange), "policy", name, "on_removed")
    _require_columns(columns, entity)
    whole = {**_IF_ABSENT, **columns}
    expressions = tuple(
        reader.read(whole[column.name], column, (name, "columns", column.name))
        if column.name in whole
        else _nothing(column, entity)
        for column in entity.columns
    )
    named = tuple(
        replace(column, source=next(iter(expression.columns), column.name))
        for column, expression in zip(entity.columns, expressions, strict=True)
    )
    if expressions[entity.names.index(entity.key)].op is not Op.COLUMN:
        problem = f"{entity.key} identifies a row: it must be a column as it is"
        raise misplaced_at((name, "columns", entity.key), problem)
    return _over(
        entity,
        mapped_from=table,
        raw=bronze_of(table, contracts),
        columns=named,
        expressions=expressions,
        on_lacking=OnSchemaChange(on_removed),
    )


def _nothing(column: Column, entity: Entity) -> Expression:
    if column.required:
        problem = f"{entity.table} needs an expression for {column.name}: {column.description}"
        raise misplaced_at((entity.table, "columns"), problem)
    return Expression(op=Op.NULL, target=column, place=(entity.table, "columns"))


def _require_columns(columns: Mapping[str, object], entity: Entity) -> None:
    """Refuse columns that the contract does not have, or that it computes itself."""
    known = [column.name for column in entity.columns]
    by_source = {column.source: column.name for column in entity.columns}
    inputs = {derived.name: derived.inputs for derived in entity.derived}
    for name in columns:
        place = (entity.table, "columns", name)
        if name in inputs:
            problem = f"{name} is computed from {', '.join(inputs[name])}: remove it"
            raise misplaced_at(place, problem)
        if name not in known:
            meant_here = (
                f"Did you mean {by_source[name]}? " if name in by_source else meant([name], known)
            )
            problem = f"{entity.table} has no column {name!r}. {meant_here}"
            raise misplaced_at(place, f"{problem}Columns: {', '.join(known)}")
