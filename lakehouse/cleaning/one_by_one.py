"""Validates changes one at a time, in plain Python, as `Validator` does in queries.

Planning a query costs as much for one row as for thousands, which a few changes never pay back.
Here, only what is beyond doubt is decided: changes of the usual shape that are valid, or that break
a rule for sure. All others are left to the validator, so each check may be stricter than the
query's, never laxer.
"""

import ast
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from typing_extensions import override

from lakehouse.cleaning.single_values import (
    WHOLE,
    BrokenError,
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

    def read(self, value: bytes) -> Change:
        """Validate a change.

        Raises:
            UnusualError: it is left to the validator.
        """
        try:
            record = orjson.loads(value)
            if type(record) is not dict or type(record.get("source")) is not dict:
                raise UnusualError
            return self._change(record, record["source"].get("ts_us"))
        except (ValueError, TypeError) as error:
            raise UnusualError from error

    def _change(self, record: Mapping[str, Value], committed_us: Value) -> Change:
        if type(committed_us) is not int or committed_us not in _COMMITS:
            raise UnusualError
        committed_at = _1970 + timedelta(microseconds=committed_us)
        operation, before, after = record.get("op"), record.get("before"), record.get("after")
        if before is not None and type(before) is not dict:
            raise UnusualError
        if operation == "d" and before is not None and after is None:
            return Change(committed_at, is_deleted=True, row=self._key_only(before))
        if operation not in ("c", "u", "r") or type(after) is not dict:
            raise UnusualError
        try:
            return Change(committed_at, is_deleted=False, row=self._row(after, committed_at))
        except BrokenError:
            if not self._has_verdict:
                raise UnusualError from None
            return Change(committed_at, is_deleted=False, row=None)

    def _key_only(self, before: Mapping[str, Value]) -> Row:
        row: Row = [None] * self._width
        source, read, _ = self._columns[self._key]
        try:
            row[self._key] = read(before.get(source))
        except BrokenError:
            # No limit of a column counts for a delete.
            raise UnusualError from None
        if row[self._key] is None:  # as of an empty text
            raise UnusualError
        return row

    def _row(self, after: Mapping[str, Value], committed_at: datetime) -> Row:
        row: Row = []
        for source, read, is_required in self._columns:
            value = after.get(source)
            if value is not None:
                value = read(value)
            if value is None and is_required:
                raise BrokenError
            row.append(value)
        for place, is_required, read_phone in self._phones:
            row[place] = read_phone(row[place], after)
            if row[place] is None and is_required:
                raise BrokenError
        for derive in self._derived:
            row.append(derive(row, after))
        self._check_times(row, committed_at)
        self._check_amounts(row)
        if not all(holds(row) for holds in self._rules):
            raise BrokenError
        return row

    def _check_times(self, row: Row, committed_at: datetime) -> None:
        as_of = committed_at if self._as_of is None else row[self._as_of]
        if as_of is None:
            raise UnusualError
        if as_of > committed_at + self._skew:
            raise BrokenError
        latest = as_of + self._skew
        for place in self._past_times:
            if row[place] is not None and row[place] > latest:
                raise BrokenError
        for place in self._past_days:
            if row[place] is not None and row[place] > self._day(as_of):
                raise BrokenError

    def _check_amounts(self, row: Row) -> None:
        for amount, rate, most in self._amounts:
            if row[amount] is None or row[rate] is None:
                continue
            if row[rate] <= 0:
                raise UnusualError
            if row[amount] > most // row[rate]:
                raise BrokenError


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
