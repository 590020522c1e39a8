"""Contract files: what a user says about a table, in YAML, one file per table.

A file is laid over the contract that is derived from the shop's catalog: it excludes or renames,
adds rules, and chooses what happens when the shop's schema changes.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import yaml
from typing_extensions import override

from lakehouse.choices import meant
from lakehouse.contracts import (
    ENTITIES,
    Cleaning,
    Column,
    Entity,
    Mask,
    OnSchemaChange,
    OnUnknown,
    Type,
)
from lakehouse.contracts.mapping import NAME as MAPPING
from lakehouse.contracts.model import LISTED
from lakehouse.contracts.schemas import CONTRACTS, QUARANTINE, RULE_COUNTS
from lakehouse.errors import WrongArgumentError
from lakehouse.kafka import is_capturable

OURS = frozenset(
    name
    for entity in ENTITIES.values()
    for name in (entity.silver, entity.history, CONTRACTS, QUARANTINE, RULE_COUNTS)
    if name
)
"""Silver tables of the contracts that are written by hand."""

_OF_TABLE = ("table", "exclude", "silver", "key", "columns", "on_removed", "on_retyped")
_OF_COLUMN = (
    "name", "description", "exclude", "type", "required", "allowed_values", "on_unknown", "minimum",
    "maximum", "mask",
)  # fmt: skip
_OF_MASKS = ("table", "columns")
"""What a file may have of a table with a contract in `lakehouse/contracts/shop/`."""
_OF_VALUES = ("allowed_values", "minimum", "maximum")
_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)
_SAFE = yaml.SafeLoader("")
_MASKS = {None if mask is Mask.NULL else mask.value: mask for mask in Mask}
"""Masks as YAML has them, in which `null` is no text."""
_TOLD_MASKS: Mapping[Mask, str] = {
    Mask.HASH: "Masked in the shop: a salted hash.",
    Mask.NULL: "Masked in the shop: always null.",
    Mask.KEEP_LAST_4: "Masked in the shop, all but the last four characters.",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A value in a file, with its line."""

    file: Path
    node: yaml.Node | None

    @property
    def line(self) -> int:
        """Return its line, from 1."""
        return 1 if self.node is None else self.node.start_mark.line + 1

    @cached_property
    def value(self) -> Any:  # noqa: ANN401 - whatever is written
        """Return the value."""
        return None if self.node is None else _SAFE.construct_document(self.node)

    def refuse(self, problem: str, action: str) -> NoReturn:
        """Raise an error that begins with file and line.

        Raises:
            WrongArgumentError: always.
        """
        located = f"{self.file}:{self.line}: {problem}"
        raise WrongArgumentError(located, action)


Fields = Mapping[str, tuple[Place, Place]]
"""Name and value of each field of a mapping, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFile:
    """One file, checked as far as is possible without the shop's catalog."""

    path: Path
    table: str
    fields: Fields
    columns: Mapping[str, tuple[Place, Fields]]

    @override
    def __str__(self) -> str:
        """Return the file's name, for messages."""
        return str(self.path)

    @property
    def masks(self) -> Mapping[str, Mask]:
        """Return how columns are masked before they leave the shop, by the shop's names."""
        return {
            name: _MASKS[fields["mask"][1].value]
            for name, (_, fields) in self.columns.items()
            if "mask" in fields
        }

    def mask_place(self, column: str) -> Place:
        """Return where a column's mask is declared."""
        return self.columns[column][1]["mask"][0]

    def require_masks_only(self, entity: Entity) -> None:
        """Reject all but masks that the contract in `lakehouse/contracts/shop/` can live with.

        Raises:
            WrongArgumentError: there is something else, or a value could not be cleaned any more.
        """
        others = [place for name, (place, _) in self.fields.items() if name not in _OF_MASKS]
        others += [
            place
            for _, fields in self.columns.values()
            for name, (place, _) in fields.items()
            if name != "mask"
        ]
        for place in others:
            problem = f"{self.table} has a contract in lakehouse/contracts/shop/"
            place.refuse(f"{problem}: a file cannot set {place.value}", "It may have masks only.")
        of_key = {column.source for column in entity.key_columns}
        for column in entity.columns:
            if column.source in self.masks:
                self._require_cleanable(column, is_key=column.source in of_key)

    def _require_cleanable(self, column: Column, *, is_key: bool) -> None:
        place = self.mask_place(column.source)
        if is_key:
            self._refuse_key(place, column.source)
        if column.cleaning in LISTED:
            problem = f"{self.table} requires {column.source} to be one of a list"
            place.refuse(problem, "It cannot be masked.")
        self._require_nullable(column.source, column)

    def _require_nullable(self, source: str, column: Column) -> None:
        if self.masks.get(source) is Mask.NULL and column.required:
            problem = f"{self.table} requires a value of {source}"
            action = "Choose another mask: without a value each change would be quarantined."
            self.mask_place(source).refuse(problem, action)

    def _refuse_key(self, place: Place, source: str, name: str = "mask") -> NoReturn:
        problem = f"{source} identifies a row of {self.table}"
        place.refuse(problem, f"Remove `{name}`: rows could not be told apart.")

    def applied(self, entity: Entity, taken: Collection[str] = ()) -> Entity | None:
        """Lay the file over a derived contract; None if the table is excluded.

        Args:
            entity: the contract.
            taken: names of silver tables that others have, in lower case.

        Raises:
            WrongArgumentError: it refers to what the table does not have, or contradicts itself.
        """
        if self._flag("exclude"):
            return None
        by_source = {column.source: column for column in entity.columns}
        for source, (place, _) in self.columns.items():
            if source not in by_source and source not in entity.excluded:
                problem = f"{self.table} has no column {source!r}"
                action = f"{meant([source], by_source)}Columns: {', '.join(by_source)}."
                place.refuse(problem, action)
        key = self._key(entity, by_source)
        excluded = [s for s, (_, fields) in self.columns.items() if _flag(fields, "exclude")]
        changed = {
            source: self._column(column, is_key=source in key)
            for source, column in by_source.items()
            if source not in excluded
        }
        self._require_unique(changed)
        given = {name: place.value for name, (_, place) in self.fields.items()}
        whole = replace(
            self._renamed(entity, taken),
            columns=tuple(changed.values()),
            excluded=tuple(excluded),
            on_removed=OnSchemaChange(given.get("on_removed", entity.on_removed)),
            on_retyped=OnSchemaChange(given.get("on_retyped", entity.on_retyped)),
        )
        return whole.with_key([changed[source].name for source in key])

    def _renamed(self, entity: Entity, taken: Collection[str]) -> Entity:
        if "silver" not in self.fields or self.fields["silver"][1].value == entity.silver:
            return entity
        place = self.fields["silver"][1]
        names = (place.value, f"{place.value}_history")
        for name in names:
            if name.casefold() in taken:
                place.refuse(f"silver/{name} is another table's", "Choose another name.")
        return replace(entity, silver=names[0], history=names[1])

    def _flag(self, name: str) -> bool:
        return _flag(self.fields, name)

    def _key(self, entity: Entity, by_source: Mapping[str, Column]) -> Sequence[str]:
        """Return the key's columns, by the shop's names.

        Changes of one key have to be in one partition of Kafka, or they have no order.
        """
        own = [column.source for column in entity.key_columns]
        for source in own:
            _, fields = self.columns.get(source, (None, {}))
            for name in ("exclude", "mask"):
                if name in fields and fields[name][1].value is not False:
                    self._refuse_key(fields[name][0], source, name)
        if "key" not in self.fields:
            return own
        place = self.fields["key"][1]
        if unknown := [name for name in place.value if name not in by_source]:
            problem = f"{self.table} has no column {unknown[0]!r}"
            place.refuse(problem, f"Columns: {', '.join(by_source)}.")
        if set(own) != set(place.value):
            problem = f"Debezium orders the changes of {self.table} by {', '.join(own)}"
            action = "Rows can be told apart by these columns only, in any order."
            place.refuse(problem, action)
        return list(place.value)

    def _column(self, column: Column, *, is_key: bool) -> Column:
        place, fields = self.columns.get(column.source, (None, {}))
        if place is None:
            return column
        given = {name: value.value for name, (_, value) in fields.items()}
        new = replace(
            column,
            name=given.get("name", column.name),
            description=given.get("description", column.description),
            required=is_key or given.get("required", False),
        )
        if "type" in given:
            new = replace(new, type=Type.TEXT, is_list=False)
        if "allowed_values" in given:
            self._require_type(fields["allowed_values"][0], new, (Type.TEXT,))
            new = replace(
                new,
                cleaning=Cleaning.CHOICE,
                allowed_values=tuple(given["allowed_values"]),
                on_unknown=OnUnknown(given.get("on_unknown", OnUnknown.QUARANTINE)),
            )
        for name in ("minimum", "maximum"):
            if name in given:
                self._require_type(fields[name][0], new, _NUMBERS)
                new = replace(new, **{name: given[name]})
        return self._masked(new, fields) if column.source in self.masks else new

    def _masked(self, column: Column, fields: Fields) -> Column:
        for name in _OF_VALUES:
            if name in fields:
                problem = f"{name} has nothing to check: {column.source} is masked"
                fields[name][0].refuse(problem, f"Remove `{name}`, or the mask.")
        self._require_nullable(column.source, column)
        told = _TOLD_MASKS[self.masks[column.source]]
        described = column.description.removesuffix(told).rstrip()
        return replace(column, description=f"{described} {told}".strip())

    def _require_type(self, rule: Place, column: Column, kinds: Sequence[Type]) -> None:
        if column.type not in kinds or column.is_list:
            kind = f"list of {column.type}" if column.is_list else column.type
            problem = f"{rule.value} has nothing to check: {column.source} is of type {kind}"
            rule.refuse(problem, f"It is for columns of type {', '.join(kinds)}.")

    def _require_unique(self, columns: Mapping[str, Column]) -> None:
        used: dict[str, str] = {}
        for source, column in columns.items():
            other = used.setdefault(column.name.casefold(), source)
            if other != source:
                place, fields = self.columns.get(source) or self.columns[other]
                place = fields["name"][1] if "name" in fields else place
                problem = f"{other} and {source} are both called {column.name!r} in silver"
                place.refuse(problem, "Give one of them another `name`.")


def file_text(entity: Entity) -> str:
    """Return a file that changes nothing, to be edited: each column with name and description."""
    lines = [
        f"# {' '.join(entity.grain.split())}",
        "# Derived from the shop's catalog: what this file does not say follows it.",
        f"table: {entity.table}",
        f"silver: {_quoted(entity.silver)}",
        f"on_removed: {entity.on_removed}",
        f"on_retyped: {entity.on_retyped}",
        "columns:",
    ]
    of_key = [column.source for column in entity.key_columns]
    for column in entity.columns:
        kind = f"list of {column.type}" if column.is_list else f"{column.type}"
        digits = f" ({column.precision}, {column.scale})" if column.type is Type.DECIMAL else ""
        note = ", part of the key" if column.source in of_key else ""
        lines += [
            f"  # {kind}{digits}{note}",
            f"  {_quoted(column.source)}:",
            f"    name: {_quoted(column.name)}",
            f"    description: {_quoted(column.description)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # JSON's texts are YAML's.
    return json.dumps(text, ensure_ascii=False)


def read_files(folder: Path) -> dict[str, ContractFile]:
    """Read all contract files of a folder, by table; none if there is no such folder.

    Raises:
        WrongArgumentError: a file is no contract, with file and line.
    """
    found: dict[str, ContractFile] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if path.name == MAPPING:
            continue
        file = read_file(path)
        if file.table in found:
            problem = f"{path}:1: {found[file.table]} is also about {file.table}"
            raise WrongArgumentError(problem, "Keep one file per table.")
        found[file.table] = file
    return found


def require_masks_only(files: Mapping[str, ContractFile]) -> None:
    """Reject all but masks in files about tables with a contract in `lakehouse/contracts/shop/`.

    Raises:
        WrongArgumentError: there is something else, or a value could not be cleaned any more.
    """
    for table, file in files.items():
        if table in ENTITIES and ENTITIES[table].shop_table == table:
            file.require_masks_only(ENTITIES[table])


def read_file(path: Path) -> ContractFile:
    """Read one file.

    Raises:
        WrongArgumentError: it is no contract, with file and line.
    """
    try:
        node = yaml.compose(path.read_text(), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = f"{path}:{line}: not YAML: {getattr(error, 'problem', error)}"
        raise WrongArgumentError(problem, "Correct the file.") from error
    fields = _fields(Place(file=path, node=node), _OF_TABLE)
    table = fields["table"][1].value if "table" in fields else path.stem
    for name, check in _CHECKS.items():
        if name in fields:
            check(fields[name][1])
    columns: Mapping[str, tuple[Place, Fields]] = {}
    if "columns" in fields:
        listed = _fields(fields["columns"][1], None)
        columns = {source: (at, _fields(of, _OF_COLUMN)) for source, (at, of) in listed.items()}
        for _, given in columns.values():
            _check_column(given)
    _require_no_cycle(
        {source: given["name"][1] for source, (_, given) in columns.items() if "name" in given}
    )
    return ContractFile(path=path, table=str(table), fields=fields, columns=columns)


def _fields(place: Place, known: Sequence[str] | None) -> Fields:
    """Return the fields of a mapping, none if it is empty; only `known` names, if given."""
    if not isinstance(place.node, yaml.MappingNode):
        if place.value is not None:
            place.refuse(f"expected `name: value`, found {place.value!r}", "Correct the file.")
        return {}
    found: dict[str, tuple[Place, Place]] = {}
    for key, value in place.node.value:
        name = Place(file=place.file, node=key)
        text = str(key.value)
        if text in found:
            line = found[text][0].line
            name.refuse(f"{text} is given twice, also in line {line}", "Remove one.")
        if known is not None and text not in known:
            action = f"{meant([text], known)}Known: {', '.join(known)}."
            name.refuse(f"there is no {text!r} in a contract", action)
        found[text] = (name, Place(file=place.file, node=value))
    return found


def _check_column(fields: Fields) -> None:
    for name, check in _CHECKS_OF_COLUMN.items():
        if name in fields:
            check(fields[name][1])
    if "on_unknown" in fields and "allowed_values" not in fields:
        rule = fields["on_unknown"][0]
        rule.refuse("on_unknown has nothing to refer to", "Add `allowed_values`.")


def _flag(fields: Fields, name: str) -> bool:
    return name in fields and bool(fields[name][1].value)


def _of(kind: type | tuple[type, ...], what: str) -> Callable[[Place], None]:
    def check(place: Place) -> None:
        is_odd = isinstance(place.value, bool) and kind is not bool
        if not isinstance(place.value, kind) or is_odd:
            place.refuse(f"{place.value!r} is not {what}", "Correct the value.")

    return check


def _one_of(values: Sequence[str | None]) -> Callable[[Place], None]:
    def check(place: Place) -> None:
        if place.value not in values:
            possible = ", ".join(value or "null" for value in values)
            place.refuse(f"{place.value!r} is not possible", f"Possible: {possible}.")

    return check


def _names(place: Place) -> None:
    is_list = isinstance(place.value, list) and place.value
    if not is_list or not all(isinstance(name, str) for name in place.value):
        place.refuse(f"{place.value!r} is not a list of texts", "Write [first, second].")


def _column_name(place: Place) -> None:
    if not isinstance(place.value, str) or not re.fullmatch(r"[^\W_]\w*", place.value):
        action = "Letters, digits and _ are, the first not _."
        place.refuse(f"{place.value!r} is not a name of a column in silver", action)


def _table_name(place: Place) -> None:
    name = place.value
    if not isinstance(name, str) or not is_capturable(name.removeprefix("public.")):
        action = "Letters, digits, _ and - are."
        place.refuse(f"{place.value!r} is not a name of a table", action)


_FLAG = _of(bool, "true or false")
_NUMBER = _of(int, "a whole number")
_CHANGES = _one_of([*OnSchemaChange])
_CHECKS: Mapping[str, Callable[[Place], None]] = {
    "table": _table_name, "silver": _table_name, "exclude": _FLAG, "key": _names,
    "on_removed": _CHANGES, "on_retyped": _CHANGES,
}  # fmt: skip
_CHECKS_OF_COLUMN: Mapping[str, Callable[[Place], None]] = {
    "name": _column_name, "description": _of(str, "a text"), "exclude": _FLAG, "required": _FLAG,
    "type": _one_of([Type.TEXT]), "allowed_values": _names, "on_unknown": _one_of([*OnUnknown]),
    "minimum": _NUMBER, "maximum": _NUMBER, "mask": _one_of([*_MASKS]),
}  # fmt: skip


def _require_no_cycle(renamed: Mapping[str, Place]) -> None:
    """Reject columns that swap names: a reader could not tell which is which."""
    for source, place in renamed.items():
        seen, name = [source], place.value
        while name in renamed and name not in seen:
            seen.append(name)
            name = renamed[name].value
        if name == source and len(seen) > 1:
            problem = f"the names are a cycle: {' -> '.join([*seen, source])}"
            place.refuse(problem, "Give one of them a name that no column has.")
