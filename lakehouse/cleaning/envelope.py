"""Parser of Debezium's JSON: a record becomes a row of texts, or is marked as unreadable.

Grain: one row per bronze record, in the order given.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import orjson
import polars as pl

from lakehouse.cleaning.expressed import as_received, expressed
from lakehouse.contracts import Entity
from lakehouse.contracts.mapping import MappedEntity

PolarsType = pl.DataType | type[pl.DataType]
_SOURCE = pl.Struct({"lsn": pl.Int64, "txId": pl.Int64, "ts_us": pl.Int64})
_OPERATIONS = ("c", "r", "u", "d")
_EMPTY = b"{}"
_SLICE_BYTES = 16 * 1024 * 1024
_INT64 = range(-(2**63), 2**63)
# Unpaired surrogates, which Debezium never writes: Polars reads them as NUL, orjson rejects them.
# `_WHOLE` matches what only looks like one: an escaped backslash, and valid surrogate pairs.
_HALF = r"\\u[dD][89a-fA-F]"
_WHOLE = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# A number beyond 64 bits: orjson converts it to a float, Polars keeps it exact within `_PARSED`.
_PARSED = range(-(2**127), 2**128)
_LONG = re.compile(r"[:,\[]\s*-?\d{20}")
_TEXT = r'"(?:[^"\\]|\\.)*"'
_VALUE = rf'[^,{{}}"\[]*|{_TEXT}|\[[^\[\]{{}}]*\]'
"""A value of a row: a number, a word, a text, or most lists."""
_LAST = rf'({_TEXT}):(?:{_VALUE})\}}(?:,"source"|\}}$)'
"""The last column of a row, and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of a table that are read, by the shop's name.

    Attributes:
        wanted: name in the result of each column of the contract.
        key: which of them are the primary key, by the shop's name.
        excluded: the shop's names of columns that are not read, and not extra either.
    """

    wanted: Mapping[str, str]
    key: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    @classmethod
    def of(cls, entity: Entity) -> "Columns":
        """Return the columns of a contract; of a mapped one, those that its expressions read."""
        if isinstance(entity, MappedEntity):
            wanted = {name: as_received(name) for name in entity.shop_columns}
        else:
            wanted = {column.source: column.text for column in entity.columns}
        return cls(
            wanted=wanted,
            key=tuple(column.source for column in entity.key_columns),
            excluded=entity.excluded,
        )


def read_envelopes(values: pl.Series, columns: Columns) -> pl.DataFrame:
    """Parse records into columns of text.

    Args:
        values: the records' JSON; null stands for a tombstone.
        columns: columns that the contract reads.

    Returns:
        One row per value: `_operation` (c, r, u, d; null if it is not a row change), `lsn`,
        `tx_id`, `committed_us`, the contract's columns as text, of a delete only the key, and
        `_extra`: a sorted JSON object of the non-null columns that the contract does not know, or
        null.
    """
    lines = _without_halves(_as_text(values.fill_null(_EMPTY)))
    extra = _names_beyond(lines, columns)
    return _flatten(_read(lines, _fields(columns, extra)), columns, extra)


def read_keys(keys: pl.Series, entity: Entity) -> pl.DataFrame:
    """Parse Kafka's keys into columns of text, like the old rows of deletes; null if malformed."""
    deletes = '{"op":"d","before":' + _texts(keys) + "}"
    read = expressed(read_envelopes(deletes, Columns.of(entity)), entity)
    return read.select(column.text for column in entity.key_columns)


def _texts(keys: pl.Series) -> pl.Series:
    try:
        return keys.cast(pl.String)
    except pl.exceptions.PolarsError:
        # Some are not text, so not keys either: rare, and only distinct ones are checked.
        readable = [key.decode(errors="replace") for key in keys]
        return pl.Series(readable, dtype=pl.String)


def _as_text(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return _plain_lines(values)


def _without_halves(lines: pl.Series) -> pl.Series:
    """Replace by `{}` every record with an unpaired surrogate.

    Only one of the two parsers reads those, and which parser runs depends on the other records.
    """
    suspects = lines.str.contains(_HALF).arg_true()
    halves = lines.gather(suspects).str.replace_all(_WHOLE, " ").str.contains(_HALF)
    broken = suspects.filter(halves)
    return lines if broken.is_empty() else lines.scatter(broken, _EMPTY.decode())


def _read(lines: pl.Series, fields: Mapping[str, PolarsType]) -> pl.DataFrame:
    return pl.concat(_read_some(some, fields) for some in _in_slices(lines))


def _in_slices(lines: pl.Series) -> Iterator[pl.Series]:
    """Yield the records in slices of about so many bytes, or of one record; at least one slice.

    While they are parsed, a slice is in memory five times.
    """
    number = (lines.str.len_bytes().cast(pl.Int64).cum_sum() // _SLICE_BYTES).rle()
    lengths = number.struct.field("len").to_list() or [0]
    for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False):
        yield lines.slice(start, length)


def _read_some(lines: pl.Series, fields: Mapping[str, PolarsType]) -> pl.DataFrame:
    parsed = _parse(lines, fields)
    if parsed is None:
        parsed = _parse(_plain_lines(lines), fields)
    if parsed is None:
        message = "records of one plain object each could not be parsed together"
        raise AssertionError(message)
    return parsed


def _fields(columns: Columns, extra: Sequence[str]) -> dict[str, PolarsType]:
    image = dict.fromkeys((*columns.wanted, *extra), pl.String)
    return {
        "op": pl.String,
        "before": pl.Struct(dict.fromkeys(columns.key, pl.String)),
        "after": pl.Struct(image),
        "source": _SOURCE,
    }


def _parse(lines: pl.Series, fields: Mapping[str, PolarsType]) -> pl.DataFrame | None:
    """Parse all records at once, many times faster than one by one; None if any is malformed.

    Each record must be exactly one line, or rows would not match records: one of two lines makes
    up for an empty one.
    """
    if lines.is_empty():
        return pl.DataFrame(schema=fields)
    if lines.str.contains("\n", literal=True).any():
        return None
    try:
        parsed = pl.read_ndjson(_joined(lines), schema=fields)
    except pl.exceptions.PolarsError:
        return None
    return parsed if parsed.height == len(lines) else None


def _joined(lines: pl.Series) -> io.BytesIO:
    """Join all lines into one buffer, as Arrow stores them, without creating Python strings."""
    ended = (lines + "\n").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return io.BytesIO(ended.buffers()[2])


def _plain_lines(lines: pl.Series) -> pl.Series:
    return pl.Series([_plain(line) for line in lines], dtype=pl.Binary).cast(pl.String)


def _plain(line: bytes | str) -> bytes:
    """Rewrite a record as one line in the shape that `_parse` reads; `{}` if that is impossible."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _EMPTY
    if not isinstance(record, dict):
        return _EMPTY
    is_long = _LONG.search(line if isinstance(line, str) else line.decode()) is not None
    if is_long:
        record = json.loads(line, parse_int=_number)
    images = {name: record.get(name) for name in ("before", "after")}
    source = record.get("source")
    if not all(isinstance(part, dict | None) for part in (*images.values(), source)):
        return _EMPTY
    numbers = {k: v for k, v in (source or {}).items() if type(v) is int and v in _INT64}
    operation = record.get("op") if isinstance(record.get("op"), str) else None
    flat = {"op": operation, **images, "source": numbers}
    return json.dumps(flat).encode() if is_long else orjson.dumps(flat)


def _number(text: str) -> int | float:
    number = int(text)
    return number if number in _PARSED else float(text)


def _names_beyond(lines: pl.Series, columns: Columns) -> tuple[str, ...]:
    """Return the columns in the records that the contract does not know, sorted.

    Postgres appends new columns, so a row image that ends with a known one is clear.
    All column names are parsed only of the remaining records, because that is slow, and of the
    first and last cleared record, to find columns that the contract leaves out.
    """
    if lines.is_empty():
        return ()
    known = {orjson.dumps(name).decode() for name in (*columns.wanted, *columns.excluded)}
    usual = re.escape(orjson.dumps(list(columns.wanted)[-1]).decode())
    is_clear = lines.str.contains(rf'{usual}:(?:{_VALUE})\}}(?:,"source"|\}}$)')
    if not is_clear.all():
        # Ten times as slow: not the usual column, but any that is known.
        others = (~is_clear).arg_true()
        ends = lines.gather(others).str.extract(_LAST).is_in(known).fill_null(value=False)
        is_clear = is_clear.scatter(others, ends)
    is_bare = lines.str.contains('"after":null', literal=True) | (lines == "{}")
    cleared = is_clear.arg_true()
    asked = {*(~(is_clear | is_bare)).arg_true(), *cleared.head(1), *cleared.tail(1)}
    sample = lines.gather(sorted(asked))
    names = _names(sample)
    if names is None:
        # Some record is not a row change; its plain line is `{}`.
        names = _names(pl.Series([_texts_only(_plain(line)) for line in sample]).cast(pl.String))
    if names is None:
        message = "plain records of texts could not be parsed for their column names"
        raise AssertionError(message)
    return tuple(sorted(names.difference(columns.wanted, columns.excluded)))


def _names(lines: pl.Series) -> set[str] | None:
    """Return the column names in all row images; None if any record is malformed."""
    if lines.is_empty():
        return set()
    try:
        schema = pl.scan_ndjson(_joined(lines), infer_schema_length=None).collect_schema()
    except pl.exceptions.PolarsError:
        return None
    image = schema.get("after", pl.Null())
    if isinstance(image, pl.Struct):
        return {field.name for field in image.fields}
    return set() if image == pl.Null() else None


def _texts_only(line: bytes) -> bytes:
    """Convert all values of a row to text, so that Polars infers one type for all of them."""
    image = orjson.loads(line).get("after") or {}
    return orjson.dumps({"after": dict.fromkeys(image, "")})


def _flatten(parsed: pl.DataFrame, columns: Columns, extra: Sequence[str]) -> pl.DataFrame:
    # Any name may be a column's, and some are patterns of Polars: `*`, `^a$`.
    numbers = [f"{number}" for number in range(len(columns.wanted) + len(extra))]
    after = pl.col("after").struct.rename_fields(numbers).struct
    before = pl.col("before").struct.rename_fields(numbers[: len(columns.key)]).struct
    source = pl.col("source").struct
    is_delete = pl.col("op") == "d"
    has_image = pl.when(is_delete).then(pl.col("before")).otherwise(pl.col("after"))
    is_change = pl.col("op").is_in(_OPERATIONS) & has_image.is_not_null()
    fields = {name: after.field(n) for n, name in zip(numbers, columns.wanted, strict=False)}
    for number, name in zip(numbers, columns.key, strict=False):
        fields[name] = pl.when(is_delete).then(before.field(number)).otherwise(fields[name])
    unknown = dict(zip(extra, map(after.field, numbers[len(columns.wanted) :]), strict=True))
    return parsed.select(
        pl.when(is_change.fill_null(value=False)).then("op").alias("_operation"),
        source.field("lsn").alias("lsn"),
        source.field("txId").alias("tx_id"),
        source.field("ts_us").alias("committed_us"),
        carried(unknown).alias("_extra"),
        *(value.alias(columns.wanted[name]) for name, value in fields.items()),
    )


def carried(values: Mapping[str, pl.Expr]) -> pl.Expr:
    """Build a JSON object of a row's non-null values; null if all are null.

    Nulls are left out like missing columns: parsing a batch cannot tell the two apart, and the
    result of a row must not depend on the other rows of its batch.
    """
    if not values:
        return pl.lit(None, pl.String)
    parts = [
        pl.format("{}:{}", pl.lit(orjson.dumps(name).decode()), quoted(value))
        for name, value in values.items()
    ]
    joined = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.when(joined != "").then(pl.format("{{{}}}", joined))


def quoted(value: pl.Expr) -> pl.Expr:
    """Quote a text for JSON; null stays null."""
    listed = pl.struct(value.alias("v")).struct.json_encode()
    return pl.when(value.is_not_null()).then(listed.str.slice(5).str.head(-1))
