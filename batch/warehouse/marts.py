"""Tables and views of the schema `mart`, as the `schema.yaml` of each folder declares them.

A table has a folder in `warehouse_sql/mart/`: `table.sql` creates it, `load.sql` computes its
affected rows, `checks.sql` holds its checks, `schema.yaml` says what it is and which changes affect
it. A fact's `shared.sql` prepares what several of its sums are made of. A view has `view.sql`;
materialized views are in `warehouse_sql/views/`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from typing_extensions import override

from batch.warehouse import scripts
from lakehouse.contracts import ENTITIES, Type
from lakehouse.declarations import (
    Declaration,
    MisplacedError,
    misplaced,
    read_declaration,
    require_known,
)
from lakehouse.errors import StopPipelineError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]
_REFERENCES = re.compile(r"\breferences\s+mart\.([a-z0-9_]+)")


def _entity(name: str) -> str:
    require_known([name], ENTITIES, "contract")
    return name


EntityName = Annotated[Name, AfterValidator(_entity)]


def _require_columns(entity: str, names: Iterable[str], *place: str) -> None:
    require_known([entity], ENTITIES, "contract", *place)
    require_known(names, ENTITIES[entity].names, f"column of {entity}", *place)


class Meaning(Declaration):
    """Meaning of a column, without a full stop if it has a unit."""

    meaning: str
    unit: str = ""

    @property
    def comment(self) -> str:
        """Return the text for the warehouse's comment."""
        return f"{self.meaning}, in {self.unit}." if self.unit else self.meaning


def _meaning(given: object) -> object:
    return {"meaning": given} if isinstance(given, str) else given


class _Described(Declaration):
    """What all have.

    Attributes:
        grain: what one row is, and what to know of the table.
        described_by: contracts that describe columns of the same name; the first match wins.
        columns: meaning of the other columns, by name.
    """

    name: Name
    grain: str
    described_by: tuple[EntityName, ...] = ()
    columns: Mapping[Name, Annotated[Meaning, BeforeValidator(_meaning)]] = {}


class View(_Described):
    """A view, or a materialized view that is refreshed after each load."""

    kind: Literal["view", "materialized view"]


class Reconciled(Declaration):
    """The query that the table must equal.

    Attributes:
        source: what follows `from`; the main table is `f`.
        where: a condition.
        keys: expression of each key column.
        values: expression of each other column.
    """

    source: str = Field(alias="from")
    where: str = "true"
    keys: Mapping[Name, str]
    values: Mapping[Name, str]


class _Table(_Described):
    """What tables have. `name` is the folder's."""

    @property
    def short(self) -> str:
        """Return the name without its kind: `payments` of `fact_payments`."""
        return self.name.partition("_")[2]

    def file(self, name: str) -> str:
        """Return the path of a file of its folder, below `warehouse_sql/`."""
        return f"mart/{self.name}/{name}"

    def has(self, name: str) -> bool:
        """Return whether its folder has a file."""
        return (scripts.FOLDER / self.file(name)).is_file()

    @property
    def computed_from(self) -> Mapping[str, Collection[str]]:
        """Return the tables of the mart that it names, by the key that names them."""
        return {}

    @property
    def references(self) -> set[str]:
        """Return the tables of the mart that it needs before it is created or loaded."""
        return set(_REFERENCES.findall(scripts.script(self.file("table.sql")).decode()))


class Dimension(_Table):
    """A dimension. It has the member -1, the unknown one.

    Attributes:
        key: its surrogate key, which facts have under the same name.
        entity: shop table of its members; a generated dimension has none. If its contract has a
            history, the dimension has all versions, see `batch.warehouse.dimensions`.
        used_by_facts: attributes that facts, or sums by day, are computed from.
    """

    kind: Literal["dimension"]
    key: Name
    entity: EntityName | None = None
    used_by_facts: tuple[Name, ...] = ()

    @property
    def is_versioned(self) -> bool:
        """Return whether it has all versions of its members."""
        return self.entity is not None and ENTITIES[self.entity].history is not None

    @property
    def member(self) -> str:
        """Return its column of the shop's key."""
        return ENTITIES[self.entity].key if self.entity and self.is_versioned else self.key


class AffectedBy(Declaration):
    """Another entity, changes of which change rows of the fact.

    Attributes:
        entity: the other one.
        through: column that leads from one to the other, with its table: `order_lines.order_id` is
            a column of the other that has the fact's key, `payments.order_id` a column of the
            fact's own entity that has the other's key.
        when: only rows of the other with these values count.
    """

    entity: EntityName
    through: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")]
    when: Mapping[Name, str] = {}

    @property
    def column(self) -> str:
        """Return the column of `through`."""
        return self.through.partition(".")[2]

    @property
    def is_part(self) -> bool:
        """Return whether the column is of the other entity."""
        return self.through.partition(".")[0] == self.entity

    @model_validator(mode="after")
    def _fits_contract(self) -> Self:
        _require_columns(self.entity, self.when, "when")
        _require_columns(self.through.partition(".")[0], [self.column], "through")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A shop table with the affected keys in `columns`, in rows that have the values of `when`."""

    entity: str
    columns: tuple[str, ...]
    when: Mapping[str, str] = field(default_factory=dict)


class Fact(_Table):
    """A fact. `load.sql` inserts the rows of the keys in `affected_…` into `new_<short>`.

    It does nothing else with `new_<short>`, which is a view of the fact in a first load.

    Attributes:
        key: its primary key.
        entity: shop table that its rows come from.
        date: column of the entity that is the fact's `date_key`.
        by: columns, of entity and fact, whose rows are recomputed together; by default the key of
            the entity.
        affected_by: other entities that it is computed from.
        versions: by dimension, the fact's column with the instant at which the member's version is
            looked up.
        reconcile: the query that it must equal; `silver` if `batch.reconcile.warehouse` compares it
            with silver.
        is_cumulative: a row depends on all earlier ones with the same `by`: rows are recomputed
            from the first affected day on, which is `from_date` of the affected keys.
    """

    kind: Literal["fact"]
    key: tuple[Name, ...]
    entity: EntityName
    date: Name
    reconcile: Reconciled | Literal["silver"]
    by: tuple[Name, ...] = ()
    affected_by: tuple[AffectedBy, ...] = ()
    versions: Mapping[Name, Name] = {}
    is_cumulative: bool = False

    @model_validator(mode="after")
    def _fits_contract(self) -> Self:
        _require_columns(self.entity, [self.date], "date")
        _require_columns(self.entity, self.by, "by")
        fields = {field.name: field.type for field in ENTITIES[self.entity].fields}
        if fields[self.date] is not Type.DATE:
            message = f"{self.date} of {self.entity} is no date"
            raise MisplacedError(message, "date")
        if "date_key" not in self.key:
            message = "it must include date_key"
            raise MisplacedError(message, "key")
        for number, other in enumerate(self.affected_by):
            if not other.is_part and not other.through.startswith(f"{self.entity}."):
                message = f"{other.through} is no column of {other.entity}, nor of {self.entity}"
                raise MisplacedError(message, "affected_by", number)
        return self

    @property
    @override
    def computed_from(self) -> Mapping[str, Collection[str]]:
        return {"versions": self.versions}

    @property
    def affected(self) -> tuple[str, ...]:
        """Return the columns of the affected keys."""
        return self.by or (ENTITIES[self.entity].key,)

    @property
    def affected_table(self) -> str:
        """Return the temporary table of the affected keys; facts of one entity share it."""
        return f"affected_{self.short if self.by else self.entity}"

    @property
    def new_table(self) -> str:
        """Return the temporary table of its new rows; in a first load, a view of the fact."""
        return f"new_{self.short}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the tables whose rows have the affected keys, but for those keyed by them."""
        own = (Part(entity=self.entity, columns=self.by),) if self.by else ()
        others = (
            Part(entity=one.entity, columns=(one.column,), when=one.when)
            for one in self.affected_by
            if one.is_part
        )
        return (*own, *others)


class Sum(_Table):
    """Sums of facts, recomputed for affected keys.

    With `date_key` in its key it is recomputed by day: for days of its facts in `affected_days`.
    Otherwise for the keys in `affected_<name>`, or in those of another table.

    Attributes:
        of: facts or sums that it sums up, and versioned dimensions whose attributes it groups by.
        affected_as: table of the mart whose affected keys it uses.
        by_difference: whether a load adds the difference that the affected rows of the sums in `of`
            make, instead of recomputing rows. Such a sum needs no `load.sql`. All its values are
            sums or counts, never null, and one counts rows. A sum that it is made of computes its
            rows into `new_<name>`.
    """

    kind: Literal["sum"]
    of: tuple[Name, ...]
    affected_as: Name | None = None
    by_difference: bool = False
    reconcile: Reconciled

    @property
    @override
    def computed_from(self) -> Mapping[str, Collection[str]]:
        return {"of": self.of, "affected_as": (self.affected_as,) if self.affected_as else ()}

    @property
    def key(self) -> tuple[str, ...]:
        """Return its primary key."""
        return tuple(self.reconcile.keys)

    @property
    def is_by_day(self) -> bool:
        """Return whether it is recomputed by day."""
        return "date_key" in self.key

    @property
    def has_own_keys(self) -> bool:
        """Return whether it is recomputed for keys in a table of its own."""
        return not (self.is_by_day or self.by_difference) and self.affected_as is None


Table = Dimension | Fact | Sum
_ADAPTER: TypeAdapter[Table | View] = TypeAdapter(
    Annotated[Table | View, Field(discriminator="kind")]
)


class Mart:
    """All tables and views, by name; tables in an order in which they can be loaded."""

    def __init__(self, declared: Iterable[Table | View]) -> None:
        """Sort the tables.

        Raises:
            StopPipelineError: one refers to a table that does not exist, or they form a cycle.
        """
        self.described = {one.name: one for one in declared}
        tables = {n: one for n, one in self.described.items() if not isinstance(one, View)}
        needs = {name: sorted(_needs(table, tables)) for name, table in tables.items()}
        try:
            order = tuple(TopologicalSorter(needs).static_order())
        except CycleError as error:
            problem = f"tables of the mart need each other: {', '.join(error.args[1])}"
            raise StopPipelineError(problem, "Correct one's schema.yaml.") from error
        self.tables = tuple(tables[name] for name in order)

    def only(self, names: Iterable[str]) -> Self:
        """Return these tables, and those that their sums are computed from."""
        wanted = {*names}
        for table in self.sums[::-1]:
            if table.name in wanted:
                wanted.update(*table.computed_from.values())
        found = copy(self)
        found.tables = tuple(table for table in self.tables if table.name in wanted)
        return found

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Return the dimensions, in order."""
        return tuple(table for table in self.tables if isinstance(table, Dimension))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return the facts, in order."""
        return tuple(table for table in self.tables if isinstance(table, Fact))

    @property
    def sums(self) -> tuple[Sum, ...]:
        """Return the sums, in order."""
        return tuple(table for table in self.tables if isinstance(table, Sum))

    def is_summed_up(self, table: Sum) -> bool:
        """Return whether a sum that is changed by a difference is made of it."""
        return any(table.name in one.of for one in self.sums if one.by_difference)

    def versions(self, table: Fact | Sum) -> Iterator[Dimension]:
        """Yield the versioned dimensions that a table refers to."""
        named = table.versions if isinstance(table, Fact) else table.of
        return (one for one in self.dimensions if one.is_versioned and one.name in named)


def mart() -> Mart:
    """Read all folders, once.

    Raises:
        StopPipelineError: a `schema.yaml` is wrong; names file and line.
    """
    return _read(scripts.FOLDER)


@cache
def _read(folder: Path) -> Mart:
    files = sorted((*folder.glob("mart/*/schema.yaml"), *folder.glob("views/*/schema.yaml")))
    return Mart(read_declaration(file, _ADAPTER, name=file.parent.name) for file in files)


def _needs(table: Table, tables: Collection[str]) -> set[str]:
    """Return the tables that are created and loaded before a table.

    Raises:
        StopPipelineError: one does not exist, or a file of the table.
    """
    is_generated = isinstance(table, Sum) and table.by_difference
    for file in ("table.sql",) if is_generated else ("table.sql", "load.sql"):
        if not table.has(file):
            problem = f"warehouse_sql/{table.file(file)} is missing"
            raise StopPipelineError(problem, "Write the file, or remove its folder.")
    for key, names in table.computed_from.items():
        for name in names:
            if name not in tables:
                schema = scripts.FOLDER / table.file("schema.yaml")
                raise misplaced(schema, [key], f"there is no table {name}")
    if missing := table.references - {*tables}:
        problem = f"warehouse_sql/{table.file('table.sql')} refers to {min(missing)}, no table"
        raise StopPipelineError(problem, "Correct the file.")
    return table.references.union(*table.computed_from.values()) - {table.name}
