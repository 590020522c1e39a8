"""Contracts in YAML: one file per table of the shop, named after it.

A file has the fields of `Entity`, and two keys besides: `has_row_times` stands for the columns
`row_times()`, `day` for `day_and_month()`. A limit may be given by its name in
`lakehouse.contracts.model`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, TypeAdapter

from lakehouse.contracts import model
from lakehouse.contracts.conditions import computed
from lakehouse.contracts.model import (
    Column,
    Derivation,
    Derived,
    Entity,
    Rule,
    Type,
    day_and_month,
    row_times,
)
from lakehouse.declarations import (
    Declaration,
    MisplacedError,
    misplaced,
    read_declaration,
    require_known,
)

FOLDER = Path(__file__).resolve().with_name("shop")
_LIMITS = ("MOST_CENTS", "MOST_FOREIGN_CENTS", "MOST_KEY_BYTES")
_LIMITED = ("minimum", "maximum", "maximum_in_base", "most_bytes")
_INPUTS = {Derivation.BUSINESS_DATE: [Type.TIMESTAMP], Derivation.MONTH: [Type.DATE]}
"""Types of the columns that a derivation is computed from, where other types have no result."""
_COMMITTED_AT = "_committed_at"


class _Day(Declaration):
    of: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared(Entity):
    """A contract as it is written."""

    has_row_times: bool = False
    day: _Day | None = None


Place = tuple[str | int, ...]
"""Keys and indexes that lead to a part of a file."""


def _placed(declared: _Declared) -> Iterator[tuple[Column | Derived, Place]]:
    """Yield all columns of the table, those that additional keys stand for as well."""
    for number, column in enumerate(declared.columns):
        yield column, ("columns", number)
    for column in row_times() if declared.has_row_times else ():
        yield column, ("has_row_times",)
    day = declared.day
    for derived in day_and_month(day.of.removesuffix("_at"), day.description) if day else ():
        yield derived, ("day", "of")
    for number, derived in enumerate(declared.derived):
        yield derived, ("derived", number)


def _references(entity: Entity) -> Iterator[tuple[str | None, Place]]:
    """Yield what refers to a column by name, but for derived columns and rules."""
    for key in ("key", "partition", "as_of"):
        yield getattr(entity, key), (key,)
    for key in ("indexed", "indexed_live"):
        for number, names in enumerate(getattr(entity, key)):
            for name in names:
                yield name, (key, number)
    for number, column in enumerate(entity.columns):
        yield column.rate or None, ("columns", number, "rate")


def _whole(declared: _Declared) -> Entity:
    """Return a contract with what its additional keys stand for.

    Raises:
        MisplacedError: two columns have one name, or something refers to no column.
    """
    known: dict[str, Column | Derived] = {}
    for field, place in _placed(declared):
        if field.name.casefold() in (name.casefold() for name in known):
            message = f"{declared.table} has another column {field.name}"
            raise MisplacedError(message, *place)
        if isinstance(field, Derived):
            _require_inputs(field, known, place)
        known[field.name] = field
    given = {field.name: getattr(declared, field.name) for field in fields(Entity)}
    columns = tuple(one for one in known.values() if isinstance(one, Column))
    derived = tuple(one for one in known.values() if isinstance(one, Derived))
    entity = Entity(**given | {"columns": columns, "derived": derived})
    for name, place in _references(entity):
        require_known([name] if name else (), (*known, _COMMITTED_AT), "column", *place)
    for number, rule in enumerate(entity.rules):
        _require_condition(rule, known, ("rules", number, "holds"))
    return entity


def _require_inputs(derived: Derived, known: Mapping[str, Column | Derived], place: Place) -> None:
    """Refuse a column that is not computed from columns before it: so none forms a cycle."""
    require_known(derived.inputs, known, "column before it", *place)
    types = [known[name].type for name in derived.inputs]
    if not types or types != _INPUTS.get(derived.how, types):
        message = f"{derived.name} cannot be the {derived.how} of {', '.join(types) or 'nothing'}"
        raise MisplacedError(message, *place)


def _require_condition(rule: Rule, known: Collection[str], place: Place) -> None:
    def column(name: str) -> int:
        require_known([name], known, "column", *place)
        return 1

    try:
        is_condition = isinstance(computed(rule.parsed(), column), bool)
    except MisplacedError:
        raise
    except ValueError as error:
        raise MisplacedError(str(error), *place) from error
    if not is_condition:
        message = f"{rule.holds} is no condition: it compares nothing"
        raise MisplacedError(message, *place)


def _limits(given: object) -> object:
    """Return a declaration with the values of limits in place of their names."""
    if isinstance(given, list):
        return [_limits(one) for one in given]
    if not isinstance(given, dict):
        return given
    return {
        key: getattr(model, value) if key in _LIMITED and value in _LIMITS else _limits(value)
        for key, value in given.items()
    }


CONTRACT: TypeAdapter[Entity] = TypeAdapter(
    Annotated[_Declared, BeforeValidator(_limits), AfterValidator(_whole)]
)


def read_contracts(folder: Path = FOLDER) -> dict[str, Entity]:
    """Read the contracts of a folder, by table, in alphabetical order.

    Raises:
        StopPipelineError: a file declares no contract, or a table of another; names file and line.
    """
    found: dict[str, Entity] = {}
    taken: dict[str, str] = {}
    for file in sorted(folder.glob("*.yaml")):
        entity = found[file.stem] = read_declaration(file, CONTRACT, table=file.stem)
        for key in ("silver", "history"):
            name = getattr(entity, key)
            other = taken.setdefault(name, entity.table) if name else entity.table
            if other != entity.table:
                raise misplaced(file, [key], f"{name} is a table of the contract of {other}")
    return found
