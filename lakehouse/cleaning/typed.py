"""Texts to the contract's types, and columns that need a calendar. Grain: one row per change.

A text that is not a value of its type becomes null and is listed in `_unreadable`. A value that
some store cannot hold becomes null and is listed in `_beyond`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from lakehouse.cleaning.envelope import quoted
from lakehouse.cleaning.expressed import LACKING
from lakehouse.cleaning.transforms.clean import SPELLED
from lakehouse.contracts import Cleaning, Column, Derivation, Derived, Entity, OnSchemaChange, Type
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.contracts.model import (
    FIRST_DAY,
    FIRST_TIMESTAMP,
    LAST_DAY,
    LAST_TIMESTAMP,
    placeholder,
)
from lakehouse.contracts.schemas import COORDINATE
from lakehouse.errors import StopPipelineError

RETYPED = "_retyped"
"""Whether some value of a change is not of its column's type, and counts as absent."""
_EPOCH = date(1970, 1, 1).toordinal()
_TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"
_USUAL_FORMAT, _USUAL_BYTES = "%Y-%m-%dT%H:%M:%S.%6fZ", 27
"""As Debezium writes timestamps. Polars has a parser for fixed lengths, five times as fast."""
_DAY = 86_400_000_000
_ELEMENT = r'("([^"\\]|\\.)*"|[^",\[\]{}]+)'
_FLAT_LIST = rf"^\[ *({_ELEMENT}( *, *{_ELEMENT})*)? *\]$"
"""A JSON list of texts, numbers, words and nulls: a list of one dimension."""
_BARE_NUMBER = r"([\[,] *)(-?\d[\d.]*)"
_LONG_NUMBER = rf"^\[ *({_ELEMENT} *, *)*-?\d{{20}}"
"""A list with a number beyond 64 bits: Polars writes 1e300 as digits, and does not read them."""
_NO_NUMBER = "NAN|NaN|(POSITIVE|NEGATIVE)_INFINITY|-?Infinity"
_OF_TYPE = {
    Type.INTEGER: r"^-?\d+$",
    Type.CENTS: rf"^(-?\d+(\.\d{{1,2}}0*)?|{_NO_NUMBER})$",
    Type.RATE: rf"^(-?\d+(\.\d{{1,8}}0*)?|{_NO_NUMBER})$",
    Type.DEGREES: rf"^(-?\d+(\.\d+)?|{_NO_NUMBER})$",
    Type.TIMESTAMP: r"^(-?infinity|[+-]?\d{4,}-\d\d-\d\dT[\d:.]+Z)$",
    Type.DATE: r"^-?\d+$",
    Type.DECIMAL: rf"^(-?\d+(\.\d+)?|{_NO_NUMBER})$",
    Type.WALL_CLOCK: r"^-?\d+$",
}
"""Texts that are values of a type as Debezium writes them, within the supported range or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The shop's time zone, which defines its business days."""

    time_zone: str

    def day(self, instant: pl.Expr) -> pl.Expr:
        """Return the business day of a timestamp."""
        return instant.dt.convert_time_zone(self.time_zone).dt.date()


def read_types(texts: pl.LazyFrame, entity: Entity, calendar: Calendar) -> pl.LazyFrame:
    """Convert texts to the contract's columns, under silver's names.

    Args:
        texts: the columns of `read_envelopes`, and coordinates.
        entity: the contract.
        calendar: the shop's.

    Returns:
        Coordinates, `_operation`, the contract's columns, columns derived from timestamps,
        `_as_of_date` (the business day of the change), `_committed_at`, `_lsn`, `_tx_id`,
        `_extra`; `_unreadable`: names of columns whose text is not of their type, separated by
        commas, or null; `_beyond`: names of columns with a value that some store cannot hold.
        Also `spelled:…` columns, unchanged, and `RETYPED` if retyped values count as absent.
    """
    spelled = [name for name in texts.collect_schema().names() if name.startswith(SPELLED)]
    read = texts.select(
        *COORDINATE,
        "_operation",
        "_extra",
        pl.col("lsn").alias("_lsn"),
        pl.col("tx_id").alias("_tx_id"),
        *(read_column(column).alias(column.name) for column in entity.columns),
        *(column.text for column in entity.columns),
        *spelled,
        _committed_at=_held(pl.from_epoch("committed_us", time_unit="us")),
    )
    is_delete = pl.col("_operation") == "d"
    unreadable, beyond = _lost(entity)
    named = read.with_columns(
        read_key(entity).alias(entity.key), _unreadable=unreadable, _beyond=beyond
    )
    dated = named.with_columns(
        *(
            pl.when(~is_delete & (pl.col(name) != "")).then(name).alias(name)
            for name in ("_unreadable", "_beyond")
        ),
        *(_dated(derived, calendar) for derived in entity.derived if _is_dated(derived)),
        _as_of_date=calendar.day(pl.col(entity.as_of)),
    )
    months = (d for d in entity.derived if d.how is Derivation.MONTH)
    return _evolve(dated, entity).with_columns(
        pl.col(month.inputs[0]).dt.strftime("%Y-%m").alias(month.name) for month in months
    )


def stop_if_retyped(typed: pl.DataFrame, texts: pl.DataFrame, entity: Entity) -> None:
    """Raise if a column was retyped and the contract says to stop.

    Args:
        typed: the result of `read_types`.
        texts: the same rows in the same order.
        entity: the contract.

    Raises:
        StopPipelineError: a column was retyped.
    """
    if entity.on_retyped is not OnSchemaChange.STOP:
        return
    faulty = typed["_unreadable"].is_not_null().arg_true()
    if faulty.is_empty():
        return
    column = entity.column(str(typed["_unreadable"][faulty[0]]).split(",")[0])
    value = texts[column.text][faulty[0]]
    problem = f"{entity.table}.{column.source} holds {value!r}, which is not of type {column.type}"
    raise StopPipelineError(problem, f"Was the column retyped? {entity.to_correct}")


def read_key(entity: Entity) -> pl.Expr:
    """Return the value that identifies a row, from the texts of the key's columns."""
    columns = entity.key_columns
    if columns[0].name == entity.key:
        return read_column(columns[0])
    parts = [quoted(pl.col(column.text)) for column in columns]
    return pl.format("[{}]", pl.concat_str(parts, separator=","))


def read_column(column: Column) -> pl.Expr:
    """Convert a column's text to its type; null if that fails."""
    text = pl.col(column.text)
    return _list(text, column) if column.is_list else _reader(column)(text)


def _reader(column: Column) -> Callable[[pl.Expr], pl.Expr]:
    if column.type is Type.DECIMAL:
        return lambda text: _decimal(text, column.precision, column.scale)
    return _READERS[column.type]


def _list(text: pl.Expr, column: Column) -> pl.Expr:
    """Convert a JSON list; null if it or any of its elements is unreadable."""
    if column.type is Type.TEXT:
        # A number between texts was not written for this type.
        is_read = text.str.contains(_FLAT_LIST) & ~text.str.contains(_LONG_NUMBER)
        return pl.when(is_read).then(text).str.json_decode(pl.List(pl.String))
    # The texts of these types contain no commas.
    spelled = text.str.replace_all(_BARE_NUMBER, '${1}"${2}"')
    flat = pl.when(text.str.contains(_FLAT_LIST)).then(spelled)
    told = flat.str.json_decode(pl.List(pl.String))
    read = told.list.eval(_reader(column)(pl.element()))
    is_whole = _nulls(told) == _nulls(read)
    return pl.when(is_whole).then(read)


def _nulls(lists: pl.Expr) -> pl.Expr:
    return lists.list.eval(pl.element().is_null()).list.sum()


def _text(text: pl.Expr) -> pl.Expr:
    return text


def _integer(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Int64, strict=False)


def _degrees(text: pl.Expr) -> pl.Expr:
    number = text.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _float(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Float64, strict=False)


def _decimal(text: pl.Expr, precision: int, scale: int) -> pl.Expr:
    # A cast would round what has more digits.
    whole = rf"\d{{1,{precision - scale}}}" if precision > scale else "0"
    is_held = text.str.contains(rf"^-?0*{whole}(\.\d{{0,{scale}}}0*)?$")
    return pl.when(is_held).then(text.cast(pl.Decimal(precision, scale), strict=False))


def _bytes(text: pl.Expr) -> pl.Expr:
    return text.str.decode("base64", strict=False)


def _wall_clock(text: pl.Expr) -> pl.Expr:
    read = text.cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    first, last = (one.replace(tzinfo=None) for one in (FIRST_TIMESTAMP, LAST_TIMESTAMP))
    return pl.when(read.is_between(first, last)).then(read)


def _time(text: pl.Expr) -> pl.Expr:
    read = text.cast(pl.Int64, strict=False)
    of_day = pl.when(read.is_between(0, _DAY - 1)).then(read * 1000).cast(pl.Time)
    midnight = pl.when(read == _DAY).then(pl.lit("24:00:00.000000"))
    return pl.coalesce(of_day.dt.strftime("%H:%M:%S%.6f"), midnight)


def _boolean(text: pl.Expr) -> pl.Expr:
    words = {"true": True, "false": False}
    return text.replace_strict(words, default=None, return_dtype=pl.Boolean)


def _instant(text: pl.Expr) -> pl.Expr:
    is_usual = text.str.len_bytes() == _USUAL_BYTES
    usual = (
        pl.when(is_usual)
        .then(text)
        .str.to_datetime(_USUAL_FORMAT, time_unit="us", strict=False, cache=False)
    )
    other = (
        pl.when(usual.is_null())
        .then(text)
        .str.to_datetime(_TIMESTAMP_FORMAT, time_unit="us", strict=False)
    )
    return _held(pl.coalesce(usual, other))


def _held(instant: pl.Expr) -> pl.Expr:
    # First of all: near the ends of its range Polars cannot convert time zones.
    utc = instant.dt.replace_time_zone("UTC")
    return pl.when(utc.is_between(FIRST_TIMESTAMP, LAST_TIMESTAMP)).then(utc)


def _date(text: pl.Expr) -> pl.Expr:
    days = text.cast(pl.Int64, strict=False)
    first, last = (day.toordinal() - _EPOCH for day in (FIRST_DAY, LAST_DAY))
    known = pl.when(days.is_between(first, last)).then(days.cast(pl.Int32, strict=False))
    return known.cast(pl.Date)


def _scaled(text: pl.Expr, digits: int) -> pl.Expr:
    """Convert a decimal to a whole number of its last digit, without using a float."""
    # A cast would round what has more digits.
    is_decimal = text.str.contains(rf"^-?\d{{1,16}}(\.\d{{1,{digits}}}0*)?$")
    decimal = text.cast(pl.Decimal(38, digits), strict=False)
    return pl.when(is_decimal).then(decimal.to_physical().cast(pl.Int64, strict=False))


_READERS: Mapping[Type, Callable[[pl.Expr], pl.Expr]] = {
    Type.TEXT: _text,
    Type.INTEGER: _integer,
    Type.CENTS: lambda text: _scaled(text, 2),
    Type.RATE: lambda text: _scaled(text, 8),
    Type.DEGREES: _degrees,
    Type.BOOLEAN: _boolean,
    Type.TIMESTAMP: _instant,
    Type.DATE: _date,
    Type.FLOAT: _float,
    Type.WALL_CLOCK: _wall_clock,
    Type.TIME: _time,
    Type.BYTES: _bytes,
    Type.OPAQUE: lambda text: _bytes(text).cast(pl.String, strict=False),
}


def _lost(entity: Entity) -> tuple[pl.Expr, pl.Expr]:
    """Return the names of unreadable columns, and of columns with values that no store can hold."""
    unreadable, beyond = [], []
    for column in entity.columns:
        if column.type is Type.TEXT and not column.is_list:
            # Any text is valid, but for what stands for a column that the record does not have.
            if isinstance(entity, MappedEntity):
                is_lacking = pl.col(column.text) == LACKING
                unreadable.append(pl.when(is_lacking).then(pl.lit(column.name)))
            if column.most_bytes is not None:
                is_plain = column.cleaning is Cleaning.NONE
                held = column.text if is_plain else f"{SPELLED}{column.name}"
                length = pl.col(held).str.len_bytes()
                beyond.append(pl.when(length > column.most_bytes).then(pl.lit(column.name)))
            continue
        text, name = pl.col(column.text), pl.lit(column.name)
        is_told = text.is_not_null() & (text != placeholder(column))
        is_lost = is_told & pl.col(column.name).is_null()
        lost = pl.when(is_lost).then(text)
        if column.type not in _OF_TYPE or column.is_list:
            unreadable.append(pl.when(lost.is_not_null()).then(name))
            continue
        is_of_type = lost.str.contains(_OF_TYPE[column.type])
        unreadable.append(pl.when(~is_of_type).then(name))
        beyond.append(pl.when(is_of_type).then(name))
    return (
        pl.concat_str(unreadable, separator=",", ignore_nulls=True),
        pl.concat_str(beyond, separator=",", ignore_nulls=True),
    )


def _evolve(dated: pl.LazyFrame, entity: Entity) -> pl.LazyFrame:
    """Let retyped values count as absent if the contract says so; drop the texts."""
    if entity.on_retyped is OnSchemaChange.EVOLVE:
        is_retyped = pl.col("_unreadable").is_not_null()
        dated = dated.with_columns(is_retyped.alias(RETYPED), _unreadable=pl.lit(None, pl.String))
    return dated.drop(column.text for column in entity.columns)


def _is_dated(derived: Derived) -> bool:
    return derived.how is Derivation.BUSINESS_DATE


def _dated(derived: Derived, calendar: Calendar) -> pl.Expr:
    return calendar.day(pl.col(derived.inputs[0])).alias(derived.name)
