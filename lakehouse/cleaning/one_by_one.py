"""Validates a few changes in plain Python, as `Validator` does in queries.

Planning a query costs as much for one row as for thousands, which a few changes never pay back.
Column by column, most values are read by a loop of the interpreter's own. Here, only what is beyond
doubt is decided: changes of the usual shape that are valid, or that break a rule for sure. All
others are left to the validator, so each check may be stricter than the query's, never laxer.
"""

import ast
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import orjson
from typing_extensions import override

from lakehouse.cleaning.single_values import (
    WHOLE,
    BrokenError,
    Columns,
    Record,
    Row,
    UnusualError,
    Value,
    day_reader,
    deriver,
    phone_reader,
    reader,
    reads_column,
    whole_number,
)
from lakehouse.cleaning.validator import Validator
from lakehouse.contracts import Cleaning, Derivation, Entity, OnSchemaChange, Type
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.contracts.model import FIRST_TIMESTAMP, LAST_TIMESTAMP, RATE_SCALE

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COMMITS = range(
    (FIRST_TIMESTAMP - _1970) // _MICROSECOND, (LAST_TIMESTAMP - _1970) // _MICROSECOND + 1
)
_COMMITTED_AT = "_committed_at"
_INPUTS = {
    Derivation.REGION_CODE: (Type.TEXT,),
    Derivation.PERSON_KEY: (Type.TEXT, Type.DATE),
    Derivation.BUSINESS_DATE: (Type.TIMESTAMP,),
}


class Change(NamedTuple):
    """A validated change.

    Attributes:
        committed_at: when the shop committed it.
        is_deleted: whether its row was deleted; then only the key has a value.
        row: None if the change breaks a rule.
    """

    committed_at: datetime
    is_deleted: bool
    row: Row | None


class _Usual(NamedTuple):
    """A change with a row.

    Attributes:
        number: among the changes given.
        committed_at: when the shop committed it.
        after: the row, as received.
    """

    number: int
    committed_at: datetime
    after: Record


class OneByOne:
    """The reader of the changes of one table, with a contract of which `reads` is true."""

    def __init__(self, validator: Validator) -> None:
        """Prepare all checks of the contract."""
        entity = validator.entity
        place = entity.names.index
        self._width = len(entity.names)
        self._columns = [(one.source, reader(one), one.required) for one in entity.columns]
        self._key = place(entity.key)
        self._phones = [
            (place(column.name), column.required, phone_reader(column, entity))
            for column in entity.with_cleaning(Cleaning.PHONE)
        ]
        self._derived = [deriver(one, entity, validator.calendar) for one in entity.derived]
        self._as_of = None if entity.as_of == _COMMITTED_AT else place(entity.as_of)
        self._skew, self._day = validator.clock_skew, day_reader(validator.calendar)
        past = [column for column in entity.columns if column.not_in_future]
        self._past_days = [place(one.name) for one in past if one.type is Type.DATE]
        self._past_times = [place(one.name) for one in past if one.type is Type.TIMESTAMP]
        self._amounts = [
            (place(column.name), place(column.rate), column.maximum_in_base * RATE_SCALE)
            for column in entity.columns
            if column.maximum_in_base is not None
        ]
        self._rules = [_compiled(rule.parsed(), entity) for rule in entity.rules]
        self._has_verdict = {entity.on_removed, entity.on_retyped} == {OnSchemaChange.IGNORE}

    def read(self, values: Sequence[bytes | None]) -> list[Change | None]:
        """Validate changes; None stands for one that is left to the validator."""
        found: list[Change | None] = [None] * len(values)
        usual: list[_Usual] = []
        for number, value in enumerate(values):
            try:
                record = orjson.loads(value or b"")
                committed_at = _committed_at(record["source"]["ts_us"])
                operation, before, after = (record.get(name) for name in ("op", "before", "after"))
                if before is not None and type(before) is not dict:
                    continue
                if operation in ("c", "u", "r") and type(after) is dict:
                    usual.append(_Usual(number, committed_at, after))
                elif operation == "d" and before is not None and after is None:
                    key_only = self._key_only(before)
                    found[number] = Change(committed_at, is_deleted=True, row=key_only)
            except (ValueError, TypeError, LookupError):
                continue
        self._read_rows(usual, found)
        return found

    def _read_rows(self, changes: Sequence[_Usual], found: list[Change | None]) -> None:
        """Read all together, or where one of them is broken or unusual, each half of them."""
        if not changes:
            return
        try:
            rows = self._rows([one.after for one in changes], [one.committed_at for one in changes])
        except (BrokenError, ValueError, TypeError) as error:
            if len(changes) > 1:
                middle = len(changes) // 2
                self._read_rows(changes[:middle], found)
                self._read_rows(changes[middle:], found)
            elif isinstance(error, BrokenError) and self._has_verdict:
                ((number, committed_at, _),) = changes
                found[number] = Change(committed_at, is_deleted=False, row=None)
            return
        for (number, committed_at, _), row in zip(changes, rows, strict=True):
            found[number] = Change(committed_at, is_deleted=False, row=row)

    def _key_only(self, before: Record) -> Row:
        row: list[Value] = [None] * self._width
        source, read, _ = self._columns[self._key]
        try:
            (row[self._key],) = read([before.get(source)])
        except BrokenError:
            # No limit of a column counts for a delete.
            raise UnusualError from None
        if row[self._key] is None:  # as of an empty text
            raise UnusualError
        return tuple(row)

    def _rows(self, afters: Sequence[Record], committed_at: Sequence[datetime]) -> Sequence[Row]:
        columns: Columns = []
        for source, read, is_required in self._columns:
            values = read([after.get(source) for after in afters])
            if is_required and None in values:
                raise BrokenError
            columns.append(values)
        for place, is_required, read_phone in self._phones:
            columns[place] = list(map(read_phone, columns[place], afters))
            if is_required and None in columns[place]:
                raise BrokenError
        for derive in self._derived:
            columns.append(derive(columns, afters))
        self._check_times(columns, committed_at)
        rows = list(zip(*columns, strict=True))
        self._check_amounts(rows)
        for holds in self._rules:
            if not all(map(holds, rows)):
                raise BrokenError
        return rows

    def _check_times(self, columns: Columns, committed_at: Sequence[datetime]) -> None:
        as_of = committed_at if self._as_of is None else columns[self._as_of]
        if None in as_of:
            raise UnusualError
        _require_within(as_of, [at + self._skew for at in committed_at])
        if self._past_times:
            latest = [at + self._skew for at in as_of]
            for place in self._past_times:
                _require_within(columns[place], latest)
        for place in self._past_days:
            _require_within(columns[place], list(map(self._day, as_of)))

    def _check_amounts(self, rows: Sequence[Row]) -> None:
        for amount, rate, most in self._amounts:
            for row in rows:
                if row[amount] is None or row[rate] is None:
                    continue
                if row[rate] <= 0:
                    raise UnusualError
                if row[amount] > most // row[rate]:
                    raise BrokenError


def _require_within(values: Sequence[Value], latest: Sequence[Value]) -> None:
    for value, most in zip(values, latest, strict=True):
        if value is not None and value > most:
            raise BrokenError


@lru_cache(maxsize=1024, typed=True)
def _committed_at(microseconds: Value) -> datetime:
    """Changes of one transaction have the same."""
    if type(microseconds) is not int or microseconds not in _COMMITS:
        raise UnusualError
    return _1970 + timedelta(microseconds=microseconds)


def reads(entity: Entity) -> bool:
    """Return whether changes can be read one by one, by their contract."""
    types = {column.name: column.type for column in entity.columns if reads_column(column)}
    derived = [one for one in entity.derived if one.how is not Derivation.MONTH]
    names = [
        node.id
        for rule in entity.rules
        for node in ast.walk(rule.parsed())
        if isinstance(node, ast.Name)
    ]
    return (
        len(types) == len(entity.columns)
        and entity.key in types
        and not entity.is_derived
        and not isinstance(entity, MappedEntity)
        and (entity.as_of == _COMMITTED_AT or types.get(entity.as_of) is Type.TIMESTAMP)
        and all(types.get(column.rate, Type.RATE) is Type.RATE for column in entity.columns)
        and all(types.get(name) in _INPUTS.get(d.how, ()) for d in derived for name in d.inputs)
        and all(types.get(name) in WHOLE for name in names)
    )


class _Held(ast.NodeTransformer):
    """Turns a condition over columns into one over a row.

    What is compared must fit into 64 bits: beyond, the query's numbers wrap around.
    """

    def __init__(self, entity: Entity) -> None:
        self._entity = entity

    @override
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _expression(f"row[{self._entity.names.index(node.id)}]")

    @override
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        held = ast.Name("held", ast.Load())
        node.left = ast.Call(held, [node.left], [])
        node.comparators = [ast.Call(held, [side], []) for side in node.comparators]
        return node


def _expression(code: str) -> ast.expr:
    return ast.parse(code, mode="eval").body


def _compiled(condition: ast.expr, entity: Entity) -> Callable[[Row], bool]:
    """Compile a condition of a contract: it has nothing but what `computed` allows."""
    arguments = ast.arguments([], [ast.arg("row")], None, [], [], None, [])
    function = ast.Expression(ast.Lambda(arguments, _Held(entity).visit(condition)))
    code = compile(ast.fix_missing_locations(function), f"rule of {entity.table}", "eval")
    compiled: Callable[[Row], bool] = eval(code, {"held": whole_number})  # noqa: S307
    return compiled
