"""The folder of a new fact that has all columns of one entity: for `./pipeline new mart`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from batch.warehouse import scripts
from batch.warehouse.entities import POSTGRES_TYPES, is_required
from batch.warehouse.marts import Dimension, mart
from lakehouse.choices import meant
from lakehouse.contracts import ENTITIES, Column, Derivation, Derived, Entity
from lakehouse.errors import WrongArgumentError

_TEMPLATES = Path(__file__).with_name("new_fact")
_NAME = re.compile(r"fact_[a-z][a-z0-9_]{0,40}")
_RESERVED = (
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check "
    "collate collation column concurrently constraint create cross current_catalog current_date "
    "current_role current_schema current_time current_timestamp current_user default deferrable "
    "desc distinct do else end except false fetch for foreign freeze from full grant group having "
    "ilike in initially inner intersect into is isnull join lateral leading left like limit "
    "localtime localtimestamp natural not notnull null offset on only or order outer overlaps "
    "placing primary references returning right select session_user similar some symmetric "
    "system_user table tablesample then to trailing true union unique user using variadic verbose "
    "when where window with"
)
"""Words that are no column's name without quotes."""
_SHORT = {"timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reference:
    """A versioned dimension that the fact refers to by one of the entity's columns."""

    dimension: Dimension
    column: Column

    @property
    def key(self) -> str:
        """Return the surrogate key's column, in fact and dimension."""
        return self.dimension.key

    @property
    def what(self) -> str:
        """Return what a member is: `product` of `product_key`."""
        return self.key.removesuffix("_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFact:
    """A fact with one row per current row of an entity.

    Attributes:
        day: the entity's column that is its `date_key`: the day of the instant `day.inputs[0]`.
        references: dimensions, with their version at that instant.
    """

    name: str
    entity: Entity
    day: Derived
    references: Sequence[_Reference]

    @property
    def files(self) -> Mapping[str, str]:
        """Return the text of each file of its folder."""
        key, keys = self.entity.column(self.entity.key), [one.key for one in self.references]
        templates = Environment(  # noqa: S701 - SQL has nothing to escape as HTML
            loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined
        )
        templates.filters |= {"sql": _sql, "type": _type, "lines": _lines}
        templates.tests["required"] = lambda field: is_required(field, self.entity)
        made = {
            file: templates.get_template(f"{file}.j2").render(
                name=self.name, entity=self.entity, key=key.name, key_type=POSTGRES_TYPES[key.type],
                day=self.day, references=self.references, columns=self._columns,
                names=[key.name, "date_key", *keys, *self._columns],
            )
            for file in ("table.sql", "load.sql")
        }  # fmt: skip
        return {file: f"{text}\n" for file, text in made.items()} | {"schema.yaml": self._schema()}

    @property
    def _columns(self) -> Mapping[str, Column | Derived]:
        """Return the entity's columns by name in the fact, but for its key and its days."""
        hidden = {self.entity.key, self.day.name, self.entity.partition}
        return {field.name: field for field in self.entity.fields if field.name not in hidden}

    def _schema(self) -> str:
        instant = self.day.inputs[0]
        values = {"date_key": f"e.{self.day.name}"}
        values |= {name: f"e.{_sql(name)}" for name in self._columns}
        key = self.entity.key
        declared = {
            "kind": "fact",
            "grain": f"{self.entity.grain[:1].upper()}{self.entity.grain[1:]}.",
            "described_by": [self.entity.table],
            "entity": self.entity.table,
            "date": self.day.name,
            "key": [key, "date_key"],
            "versions": {one.dimension.name: instant for one in self.references},
            "reconcile": {
                "from": f"entity.{self.entity.table} as f",
                "keys": {key: f"f.{_sql(key)}"},
                "values": {name: f"f{value[1:]}" for name, value in values.items()},
            },
            "columns": {
                "date_key": self.day.description,
                **{one.key: self._meaning(one) for one in self.references},
            },
        }
        return "".join(_yaml(name, value) for name, value in declared.items() if value)

    def _meaning(self, reference: _Reference) -> str:
        told = f"The {reference.what} as of {self.day.inputs[0]}; -1 while it is not known"
        return f"{told}." if is_required(reference.column, self.entity) else f"{told}, -2 without."


def new_fact(name: str, entity: str) -> NewFact:
    """Return a fact of an entity, with all its columns.

    Raises:
        WrongArgumentError: the name is not possible or exists, the entity has no contract, or no
            day.
    """
    if not _NAME.fullmatch(name):
        problem = f"{name!r} cannot be the name of a fact"
        raise WrongArgumentError(problem, "Begin it with fact_; it may have a-z, 0-9 and _.")
    if name in mart().described or folder_of(name).exists():
        problem = f"warehouse_sql/mart/{name} exists"
        raise WrongArgumentError(problem, f"Edit its files. They are: ./pipeline sql show {name}")
    if entity not in ENTITIES:
        problem = f"{entity!r} has no contract in lakehouse/contracts/shop/"
        action = f"{meant([entity], ENTITIES)}Write it: ./pipeline new entity {entity}"
        raise WrongArgumentError(problem, action)
    return fact_of(name, ENTITIES[entity], mart().dimensions)


def fact_of(name: str, entity: Entity, dimensions: Iterable[Dimension]) -> NewFact:
    """Return a fact of a contract.

    Raises:
        WrongArgumentError: the entity has no day that every row has.
    """
    day = next(
        (
            one
            for one in entity.derived
            if one.how is Derivation.BUSINESS_DATE and is_required(one, entity)
        ),
        None,
    )
    if day is None:
        problem = f"the contract of {entity.table} has no day that every row has"
        action = "Add one for the fact's date_key: `day: {of: …}`, of a required instant."
        raise WrongArgumentError(problem, action)
    found = (_reference(entity, one) for one in dimensions if one.is_versioned)
    references = [one for one in found if one is not None]
    return NewFact(name=name, entity=entity, day=day, references=references)


def _reference(entity: Entity, dimension: Dimension) -> _Reference | None:
    columns = [one for one in entity.columns if one.name == dimension.member]
    if not columns or entity.table == dimension.entity:
        return None
    return _Reference(dimension=dimension, column=columns[0])


def folder_of(name: str) -> Path:
    """Return the folder of a table of the mart."""
    return scripts.FOLDER / "mart" / name


def _type(field: Column | Derived) -> str:
    kind = POSTGRES_TYPES[field.type]
    return _SHORT.get(kind, kind)


def _lines(text: str, indent: str) -> str:
    """Return a text in lines of at most 100 characters."""
    return fill(text, 100, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _sql(name: str) -> str:
    return f'"{name}"' if name in _RESERVED.split() else name


def _yaml(name: str, value: object) -> str:
    """Return a key with its value, short lists and mappings in one line."""
    is_flow = None if name in {"described_by", "key", "versions"} else False
    return yaml.safe_dump(
        {name: value}, sort_keys=False, allow_unicode=True, width=80, default_flow_style=is_flow
    )
