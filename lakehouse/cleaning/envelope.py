"""Reads Debezium's JSON: every record becomes a row of texts, or is told apart as unreadable.

Grain: one row per bronze record, in the order given.
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

PolarsType = pl.DataType | type[pl.DataType]
_SOURCE = pl.Struct({"lsn": pl.Int64, "txId": pl.Int64, "ts_us": pl.Int64})
_OPERATIONS = ("c", "r", "u", "d")
_EMPTY = b"{}"
_INT64 = range(-(2**63), 2**63)
# Halves of a character, which only others than Debezium write: Polars reads them as NUL, and orjson
# not at all. `_WHOLE` looks like one: an escaped backslash, and two halves that belong together.
_HALF = r"\\u[dD][89a-fA-F]"
_WHOLE = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# A number beyond 64 bits: orjson makes a float of it, and Polars has one in `_PARSED` as it is.
_PARSED = range(-(2**127), 2**128)
_LONG = re.compile(r"[:,\[]\s*-?\d{20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The names of a table's columns in the shop: those wanted, and its key."""

    key: str
    wanted: tuple[str, ...]


def read_envelopes(values: pl.Series, columns: Columns) -> pl.DataFrame:
    """Take records apart, as text.

    Args:
        values: the records' JSON; null stands for a tombstone.
        columns: what the contract wants of them.

    Returns:
        A row for each value: `operation` (c, r, u, d; null when it is no change of a row),
        `before_key`, `lsn`, `tx_id`, `committed_us`, the wanted columns as text, and `_extra`:
        columns that nobody asked for, as a JSON object of those with a value, sorted, or null.
    """
    lines = _without_halves(_as_text(values.fill_null(_EMPTY)))
    extra = _names_beyond(lines, columns)
    return _flatten(_read(lines, _fields(columns, extra)), columns, extra)


def _as_text(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return _plain_lines(values)


def _without_halves(lines: pl.Series) -> pl.Series:
    """`{}` in the place of records that one of the two parsers reads, and the other does not.

    Which of them it is depends on the records beside it.
    """
    suspects = lines.str.contains(_HALF).arg_true()
    halves = lines.gather(suspects).str.replace_all(_WHOLE, " ").str.contains(_HALF)
    broken = suspects.filter(halves)
    return lines if broken.is_empty() else lines.scatter(broken, _EMPTY.decode())


def _read(lines: pl.Series, fields: Mapping[str, PolarsType]) -> pl.DataFrame:
    parsed = _parse(lines, fields)
    if parsed is None:
        parsed = _parse(_plain_lines(lines), fields)
    if parsed is None:
        message = "records of one plain object each were not read as such"
        raise AssertionError(message)
    return parsed


def _fields(columns: Columns, extra: Sequence[str]) -> dict[str, PolarsType]:
    image = dict.fromkeys((*columns.wanted, *extra), pl.String)
    return {
        "op": pl.String,
        "before": pl.Struct({columns.key: pl.String}),
        "after": pl.Struct(image),
        "source": _SOURCE,
    }


def _parse(lines: pl.Series, fields: Mapping[str, PolarsType]) -> pl.DataFrame | None:
    """One parse for all: many times faster than one by one. None when some are not as they should.

    Each record has to be one line of its own, or the rows would not be the records.
    """
    if lines.is_empty():
        return pl.DataFrame(schema=fields)
    try:
        parsed = pl.read_ndjson(_joined(lines), schema=fields)
    except pl.exceptions.PolarsError:
        return None
    return parsed if parsed.height == len(lines) else None


def _joined(lines: pl.Series) -> io.BytesIO:
    """All lines in one piece, as Arrow lays them out: no line becomes an object of Python's."""
    ended = (lines + "\n").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return io.BytesIO(ended.buffers()[2])


def _plain_lines(lines: pl.Series) -> pl.Series:
    return pl.Series([_plain(line) for line in lines], dtype=pl.Binary).cast(pl.String)


def _plain(line: bytes | str) -> bytes:
    """The same record on one line, in the shape that `_parse` reads; `{}` if it has another."""
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
    """Columns in the records that the contract does not know, sorted.

    A column that is added stands behind all others, so most records are cleared by a look at how
    their row images end. The others are asked for all their names, which is dear; of those that
    are cleared only the first and the last, for a column that the contract leaves out.
    """
    if lines.is_empty():
        return ()
    ends = rf'"{columns.wanted[-1]}":[^,{{}}]*\}}(,"source"|\}}$)'
    is_clear = lines.str.contains(ends)
    is_bare = lines.str.contains('"after":null', literal=True) | (lines == "{}")
    cleared = is_clear.arg_true()
    asked = {*(~(is_clear | is_bare)).arg_true(), *cleared.head(1), *cleared.tail(1)}
    sample = lines.gather(sorted(asked))
    names = _names(sample)
    if names is None:
        # Something among them is no record of a change; of such nothing is left in a plain line.
        names = _names(pl.Series([_texts_only(_plain(line)) for line in sample]).cast(pl.String))
    if names is None:
        message = "plain records of texts have no names in common"
        raise AssertionError(message)
    return tuple(sorted(names - set(columns.wanted)))


def _names(lines: pl.Series) -> set[str] | None:
    """The names of all columns in row images; None when some records are not as they should."""
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
    """A plain line in which all values of a row have one type, so that any two can be compared."""
    image = orjson.loads(line).get("after") or {}
    return orjson.dumps({"after": dict.fromkeys(image, "")})


def _flatten(parsed: pl.DataFrame, columns: Columns, extra: Sequence[str]) -> pl.DataFrame:
    after, source = pl.col("after").struct, pl.col("source").struct
    has_image = pl.when(pl.col("op") == "d").then(pl.col("before")).otherwise(pl.col("after"))
    is_change = pl.col("op").is_in(_OPERATIONS) & has_image.is_not_null()
    return parsed.select(
        pl.when(is_change.fill_null(value=False)).then("op").alias("operation"),
        pl.col("before").struct.field(columns.key).alias("before_key"),
        source.field("lsn").alias("lsn"),
        source.field("txId").alias("tx_id"),
        source.field("ts_us").alias("committed_us"),
        carried({name: after.field(name) for name in extra}).alias("_extra"),
        *(after.field(name).alias(name) for name in columns.wanted),
    )


def carried(values: Mapping[str, pl.Expr]) -> pl.Expr:
    """A JSON object of the values that a row has, and no other; null if it has none.

    A null is left out like a column that is not there: which of them it is, no parse of many
    records tells, and what a row becomes must not depend on the others read with it.
    """
    if not values:
        return pl.lit(None, pl.String)
    parts = [
        pl.format("{}:{}", pl.lit(orjson.dumps(name).decode()), _quoted(value))
        for name, value in values.items()
    ]
    joined = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return pl.when(joined != "").then(pl.format("{{{}}}", joined))


def _quoted(value: pl.Expr) -> pl.Expr:
    """A text as JSON writes it; null stays null."""
    listed = pl.struct(value.alias("v")).struct.json_encode()
    return pl.when(value.is_not_null()).then(listed.str.slice(5).str.head(-1))
