"""Readers of values, for `lakehouse.cleaning.one_by_one`.

Each reads values as Debezium usually writes them, cleans them, and checks each by itself.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any

import polars as pl

from lakehouse.cleaning.spellings import inputs_of, speller
from lakehouse.cleaning.typed import Calendar
from lakehouse.contracts import Cleaning, Column, Derivation, Derived, Entity, Type
from lakehouse.contracts.model import FIRST_TIMESTAMP, LAST_TIMESTAMP, PLACEHOLDER

Value = Any
"""A value of JSON, or of a column; None for null."""
Row = tuple[Value, ...]
"""Values of `Entity.names`, in that order."""
Columns = list[list[Value]]
"""Values of some rows by column, in the order of `Entity.names`."""
Reader = Callable[[list[Value]], list[Value]]
"""Reads the values of a column."""
Record = Mapping[str, Value]
"""The shop's columns, as received."""
WHOLE = (Type.INTEGER, Type.CENTS, Type.RATE)
"""Types whose values are whole numbers of 64 bits."""
_INT64 = range(-(2**63), 2**63)
_DAY_ZERO = date(1970, 1, 1).toordinal()
_DAYS = range(1 - _DAY_ZERO, date.max.toordinal() - _DAY_ZERO + 1)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}Z")
_CENTS = re.compile(r"-?[0-9]{1,16}\.[0-9]{2}")
_RATE = re.compile(r"-?[0-9]{1,10}\.[0-9]{8}")
_DEGREES = re.compile(r"-?[0-9]{1,3}\.[0-9]{1,12}")
_PLAIN = re.compile(r"[!-~]+( [!-~]+)*")
"""Texts that `Cleaning.SPACES` leaves as they are."""
_VISIBLE = re.compile(r"[ -~]*[!-~][ -~]*")
"""Texts that are not blank, whatever counts as a space."""
_SHORT = 200
"""Longest texts that are remembered, in characters."""
_remember = lru_cache(maxsize=8192, typed=True)
"""Most values come again: in the lines of an order, and in its next change."""


class UnusualError(ValueError):
    """The change is left to the validator."""


class BrokenError(Exception):
    """The change breaks a rule, whatever else it holds."""


def reads_column(column: Column) -> bool:
    """Return whether values of a column can be read one by one."""
    limits = (column.minimum, column.maximum, column.maximum_in_base)
    is_cleaned = column.cleaning is not Cleaning.NONE
    return (
        column.type in _TYPES
        and not column.is_list
        and (column.type is Type.TEXT or not is_cleaned)
        and (column.type in (*WHOLE, Type.DEGREES) or limits == (None, None, None))
        and (column.type in (Type.DATE, Type.TIMESTAMP) or not column.not_in_future)
    )


def reader(column: Column) -> Reader:
    """Return what reads the values of a column, but does not clean phone numbers."""
    if column.type is Type.TEXT:
        is_cleaned = column.cleaning not in (Cleaning.NONE, Cleaning.PHONE)
        return _text_reader(column) if is_cleaned else _each(_short_text(column.most_bytes))
    read = _within(column.minimum, column.maximum, _TYPES[column.type])
    # Few integers come again.
    return _each(read) if column.type in (Type.INTEGER, Type.BOOLEAN) else _known(read)


def _each(read: Callable[[Value], Value]) -> Reader:
    return lambda values: [None if value is None else read(value) for value in values]


def _known(read: Callable[[Value], Value]) -> Reader:
    known = _remember(lambda value: None if value is None else read(value))
    return lambda values: list(map(known, values))


def _within(
    least: int | None, most: int | None, read: Callable[[Value], Value]
) -> Callable[[Value], Value]:
    if least is None and most is None:
        return read

    def read_limited(value: Value) -> Value:
        number = read(value)
        if (least is not None and number < least) or (most is not None and number > most):
            raise BrokenError
        return number

    return read_limited


def _text_reader(column: Column) -> Reader:
    spell = speller(column)

    def clean(value: Value) -> str | None:
        text = _text(value)
        is_clean = column.cleaning is Cleaning.SPACES and _PLAIN.fullmatch(text)
        return _checked(column, text, text if is_clean else spell(text))

    known = _remember(clean)
    read_each = _each(lambda value: known(value) if len(value) <= _SHORT else clean(value))

    def read(values: list[Value]) -> list[Value]:
        is_short = None not in values and max(map(len, values)) <= _SHORT
        return list(map(known, values)) if is_short else read_each(values)

    return read


def phone_reader(column: Column, entity: Entity) -> Callable[[str | None, Record], str | None]:
    """Return what cleans a phone number: as one of the row's country."""
    _, country = inputs_of(column, entity)
    source = entity.column(country).source
    spell = _known_if_short(speller(column))

    def read(text: str | None, after: Record) -> str | None:
        return None if text is None else _checked(column, text, spell(text, after.get(source)))

    return read


def _known_if_short(spell: Callable[..., str | None]) -> Callable[..., str | None]:
    known = _remember(spell)

    def spell_or_remember(*texts: str | None) -> str | None:
        is_short = sum(len(text) for text in texts if text is not None) <= _SHORT
        return (known if is_short else spell)(*texts)

    return spell_or_remember


def _checked(column: Column, text: str, cleaned: str | None) -> str | None:
    """Return a cleaned text, unless it breaks a rule."""
    if cleaned is not None:
        if column.most_bytes is not None and len(cleaned.encode()) > column.most_bytes:
            raise BrokenError
        return cleaned
    if column.can_be_dropped and column.required:
        raise UnusualError
    if column.can_be_dropped or not text.strip(" "):
        return None
    if _VISIBLE.fullmatch(text):
        raise BrokenError
    raise UnusualError


def _text(value: Value) -> str:
    if type(value) is not str or value == PLACEHOLDER:
        raise UnusualError
    return value


def _short_text(most_bytes: int | None) -> Callable[[Value], Value]:
    """Return what reads a text that is not cleaned; a longer one is left to the validator."""
    if most_bytes is None:
        return _text

    def read(value: Value) -> str:
        text = _text(value)
        if len(text.encode()) > most_bytes:
            raise UnusualError
        return text

    return read


def whole_number(value: Value) -> int:
    """Return the value if it is a whole number of 64 bits.

    Raises:
        UnusualError: it is none.
    """
    if type(value) is not int or value not in _INT64:
        raise UnusualError
    return value


def _boolean(value: Value) -> bool:
    if type(value) is not bool:
        raise UnusualError
    return value


def _matching(value: Value, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise UnusualError
    return str(value)


def _digits(value: Value, pattern: re.Pattern[str]) -> int:
    return int(_matching(value, pattern).replace(".", ""))


def _degrees(value: Value) -> float:
    return float(_matching(value, _DEGREES))


def _timestamp(value: Value) -> datetime:
    found = datetime.fromisoformat(_matching(value, _TIMESTAMP))
    if not FIRST_TIMESTAMP <= found <= LAST_TIMESTAMP:
        raise UnusualError
    return found


def _date(value: Value) -> date:
    if type(value) is not int or value not in _DAYS:
        raise UnusualError
    return date.fromordinal(value + _DAY_ZERO)


_TYPES: Mapping[Type, Callable[[Value], Value]] = {
    Type.TEXT: _text,
    Type.INTEGER: whole_number,
    Type.BOOLEAN: _boolean,
    Type.CENTS: partial(_digits, pattern=_CENTS),
    Type.RATE: partial(_digits, pattern=_RATE),
    Type.DEGREES: _degrees,
    Type.TIMESTAMP: _timestamp,
    Type.DATE: _date,
}


def deriver(
    derived: Derived, entity: Entity, calendar: Calendar
) -> Callable[[Columns, Sequence[Record]], list[Value]]:
    """Return what computes a derived column from those before, and from rows as received."""
    first, *_ = places = [entity.names.index(name) for name in derived.inputs]
    if derived.how in (Derivation.BUSINESS_DATE, Derivation.MONTH):
        read = day_reader(calendar) if derived.how is Derivation.BUSINESS_DATE else _month
        read_each = _each(read)
        return lambda columns, _: read_each(columns[first])
    inputs = [entity.column(name) for name in derived.inputs]
    spell = _known_if_short(speller(derived))

    def derive(columns: Columns, afters: Sequence[Record]) -> list[Value]:
        texts = [
            [day and day.isoformat() for day in columns[place]]
            if column.type is Type.DATE
            else [after.get(column.source) for after in afters]
            for place, column in zip(places, inputs, strict=True)
        ]
        return [None if one[0] is None else spell(*one) for one in zip(*texts, strict=True)]

    return derive


@_remember
def _month(day: date) -> str:
    return day.isoformat()[:7]


def day_reader(calendar: Calendar) -> Callable[[datetime], date]:
    """Return what tells the business day of a timestamp, by the time zones of the query."""

    @_remember
    def day(instant: datetime) -> date:
        starts, offsets = _offsets(calendar.time_zone)
        if not starts[0] <= instant < starts[-1]:
            raise UnusualError
        return (instant + offsets[bisect_right(starts, instant) - 1]).date()

    return day


@cache
def _offsets(time_zone: str) -> tuple[list[datetime], list[timedelta]]:
    """Return when the offset to UTC changes, and to which; the last timestamp is the end.

    From 2000 to 2100: there, offsets change on whole minutes, and never twice an hour.
    """
    first, last = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    hours = _with_offsets(pl.datetime_range(first, last, "1h", eager=True), time_zone)
    turns = hours.filter(pl.col("offset") != pl.col("offset").shift(1))["at"]
    minutes = pl.select(pl.datetime_ranges(turns - timedelta(hours=1), turns, "1m")).to_series()
    fine = _with_offsets(pl.concat([hours["at"].head(1), minutes.explode()]), time_zone)
    begun = fine.filter(pl.col("offset").ne_missing(pl.col("offset").shift(1)))
    # Comparing timestamps takes ten times as long if they do not share their zone's object.
    starts = [at.replace(tzinfo=UTC) for at in begun["at"]]
    return [*starts, last], begun["offset"].to_list()


def _with_offsets(instants: pl.Series, time_zone: str) -> pl.DataFrame:
    local = pl.col("at").dt.convert_time_zone(time_zone).dt.replace_time_zone(None)
    utc = pl.col("at").dt.replace_time_zone(None)
    return pl.DataFrame({"at": instants}).with_columns(offset=local - utc)
