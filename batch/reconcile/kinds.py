"""Representation of values on both sides: what to select from Postgres, and how to compare it.

A kind has an expression whose text is what Debezium writes into its JSON, so that the shop's
rows and bronze's changes can be compared as text, without a parser for each type. Where the two
differ for the same value, `canonical` converts both to one form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import LiteralString

import polars as pl

from connectors.shop_catalog import OPAQUE_KINDS, OPAQUE_TYPES
from lakehouse.contracts import Mask
from lakehouse.contracts.model import PLACEHOLDER

Canonical = Callable[[pl.Expr], pl.Expr]


def _as_is(text: pl.Expr) -> pl.Expr:
    return text


def _decimal(text: pl.Expr) -> pl.Expr:
    trimmed = text.str.strip_chars_end("0").str.strip_chars_end(".")
    return (
        pl.when(text.str.contains(".", literal=True))
        .then(trimmed)
        .otherwise(text)
        .replace(
            {
                "-0": "0",
                "NAN": "NaN",
                "POSITIVE_INFINITY": "Infinity",
                "NEGATIVE_INFINITY": "-Infinity",
            }
        )
    )


def _instant(text: pl.Expr) -> pl.Expr:
    trimmed = text.str.replace(r"\.(\d*?)0*Z$", ".${1}Z")
    return trimmed.str.replace(".Z", "Z", literal=True)


def _elements(canonical: Canonical) -> Canonical:
    # Null elements stay null; `list.eval` keeps them.
    return lambda values: values.list.eval(canonical(pl.element()))


# Debezium counts infinite dates as days, and ends up far outside Postgres' range.
_INFINITE_DAYS = {
    "2146033979": "infinity",
    "-622191234": "infinity",
    "-2147472691": "-infinity",
    "-625821272": "-infinity",
}
# Years beyond 9999 or before 1 are written as ISO 8601 requires, unlike to_char.
_INSTANT = """
case
    when not isfinite({c}) then {c}::text
    when {c} >= '0001-01-01 00:00:00+00' and {c} < '10000-01-01 00:00:00+00'
        then to_char({c} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    else
        case
            when {c} >= '10000-01-01 00:00:00+00'
                then '+' || extract(year from {c} at time zone 'UTC')
            else replace(
                to_char(extract(year from {c} at time zone 'UTC') + 1, 'S0000'), '+', ''
            )
        end || to_char({c} at time zone 'UTC', '-MM-DD"T"HH24:MI:SS.US"Z"')
end"""
_TIMESTAMP = """
case {c}
    when 'infinity' then 9223372036854775807::numeric
    when '-infinity' then -9223372036854775808
    else (extract(epoch from {c}) * 1000000)::numeric(30, 0)
end"""
_DATE = "case when isfinite({c}) then ({c} - date '1970-01-01')::text else {c}::text end"
_INTERVAL = """
'P' || extract(year from {c}) || 'Y' || extract(month from {c}) || 'M' || extract(day from {c})
|| 'DT' || extract(hour from {c}) || 'H' || extract(minute from {c}) || 'M'
|| trim_scale(extract(second from {c})) || 'S'"""
# Back to values, from canonical texts. A cast of the type's own text accepts any infinity.
_FROM_DAYS = """
case when {c} in ('infinity', '-infinity') then {c}::date
else date '1970-01-01' + {c}::integer end"""
# In two steps: the product of a number and an interval is computed with doubles.
_FROM_MICROSECONDS = """
case {c}
    when '9223372036854775807' then timestamp 'infinity'
    when '-9223372036854775808' then timestamp '-infinity'
    else timestamp '1970-01-01' + {c}::bigint / 86400000000 * interval '1 day'
        + mod({c}::bigint, 86400000000) * interval '1 microsecond'
end"""
# A sum would make midnight of 24:00.
_FROM_TIME = "to_char({c}::bigint * interval '1 microsecond', 'HH24:MI:SS.US')::time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How values of one type are read and compared.

    Attributes:
        sql: selects the text of a column, `{c}`.
        canonical: makes one text of those that stand for the same value.
        is_list: whether values are lists.
        value: the reverse of both in SQL: the value of a canonical text `{c}`, to be cast to the
            column's type. None if the shop may hold an equal value whose text differs, or the other
            way round, so that rows cannot be looked up by it.
    """

    sql: LiteralString = "{c}"
    canonical: Canonical = _as_is
    is_list: bool = False
    value: LiteralString | None = "{c}"

    @property
    def json_type(self) -> pl.DataType:
        """Return the type for parsing Debezium's JSON."""
        return pl.List(pl.String()) if self.is_list else pl.String()

    def read(self, text: pl.Expr) -> pl.Expr:
        """Convert the text that `sql` selects to the comparable value."""
        return text.str.json_decode(pl.List(pl.String)) if self.is_list else text


_TEXT = Kind()
_BY_TYPE: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("int2", "int4", "int8", "oid", "text", "varchar", "name", "char", "uuid", "json", "jsonb",
         "xml", "inet", "cidr", "macaddr", "macaddr8", "tsvector", "citext",
         "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
        _TEXT,
    ),
    "bool": Kind(sql="{c}::text"),
    "bpchar": Kind(canonical=lambda text: text.str.strip_chars_end(" ")),
    "numeric": Kind(canonical=_decimal),
    "money": Kind(sql="{c}::numeric", canonical=_decimal, value="{c}::numeric"),
    "float4": Kind(canonical=lambda text: text.cast(pl.Float32, strict=False)),
    "float8": Kind(canonical=lambda text: text.cast(pl.Float64, strict=False)),
    "timestamptz": Kind(
        sql=_INSTANT,
        # The column's precision determines how many digits Debezium writes.
        canonical=_instant,
        value="ltrim({c}, '+')",
    ),
    "timestamp": Kind(sql=_TIMESTAMP, value=_FROM_MICROSECONDS),
    "date": Kind(
        sql=_DATE, canonical=lambda text: text.replace(_INFINITE_DAYS), value=_FROM_DAYS
    ),
    "time": Kind(sql="(extract(epoch from {c}) * 1000000)::bigint", value=_FROM_TIME),
    # Of its zone, which tells such values apart, Debezium writes nothing.
    "timetz": Kind(sql="({c} at time zone 'UTC')::time || 'Z'", value=None),
    # A month and 30 days are equal.
    "interval": Kind(sql=_INTERVAL, value=None),
    "bytea": Kind(
        sql="translate(encode({c}, 'base64'), E'\\n', '')", value="decode({c}, 'base64')"
    ),
}  # fmt: skip
# For an unknown type, Debezium passes on the text, as bytes.
_OPAQUE = Kind(
    sql="translate(encode(convert_to({c}::text, 'UTF8'), 'base64'), E'\\n', '')",
    value="convert_from(decode({c}, 'base64'), 'UTF8')",
)
_ENUM, _COMPOSITE = "e", "c"


def kind_of(type_name: str, type_kind: str, *, is_array: bool) -> Kind | None:
    """Return the kind of a column; None if its values cannot be compared.

    Args:
        type_name: `pg_type.typname` below any domain; for arrays, of the elements.
        type_kind: `pg_type.typtype` of that type.
        is_array: whether the column is an array of it.
    """
    kind = _scalar_kind(type_name, type_kind)
    if kind is None or not is_array:
        return kind
    if type_name == "name" or type_kind == _COMPOSITE:
        return None  # Debezium omits such a column; `unnest` would expand such an element.
    element = kind.sql.replace("{c}", "e")
    return Kind(
        sql="case when {c} is not null then to_json(array(select ("  # noqa: S608 - all constant
        + element
        + ")::text from unnest({c}) as u (e))) end",
        canonical=_elements(kind.canonical),
        is_list=True,
        value=None,
    )


def _scalar_kind(type_name: str, type_kind: str) -> Kind | None:
    if type_kind == _ENUM:
        return _TEXT
    if type_kind in OPAQUE_KINDS or type_name in OPAQUE_TYPES:
        return _OPAQUE
    return _BY_TYPE.get(type_name)


NOT_MASKED = "captured before it was masked"
"""What stands for a value of a masked column that bronze holds as it was, and no report shows."""
SALT_SETTING = "masks.salt"
"""The session's setting with the salt: a statement with the salt in it would be logged."""
_PLAIN = "rtrim({c}::text, ' ')"
_MASKED: Mapping[Mask, tuple[LiteralString, str]] = {
    # As in connectors/java/masks/ColumnMasks.java; and what such a value looks like.
    Mask.HASH: (
        f"encode(sha256(convert_to(current_setting('{SALT_SETTING}') || {_PLAIN}, 'UTF8')), 'hex')",
        "^[0-9a-f]{64}$",
    ),
    Mask.KEEP_LAST_4: (
        f"case when length({_PLAIN}) > 4 then repeat('*', length({_PLAIN}) - 4) "
        f"|| right({_PLAIN}, 4) else repeat('*', length({_PLAIN})) end",
        r"(?s)^(\*{0,4}|\*+.{4})$",
    ),
}


def masked_kind(kind: Kind, mask: Mask) -> Kind:
    """Return the kind of a column that is masked before it leaves the shop.

    A value of another form was captured earlier, and becomes `NOT_MASKED`.
    """
    if mask is Mask.NULL:
        hidden = _elements(_hidden) if kind.is_list else _hidden
        return replace(kind, sql="null::text", canonical=hidden, value=None)
    sql, form = _MASKED[mask]

    def canonical(text: pl.Expr) -> pl.Expr:
        is_masked = text.str.contains(form) | (text == PLACEHOLDER)
        return pl.when(is_masked).then(text).otherwise(_hidden(text))

    return Kind(sql=sql, canonical=canonical, value=None)


def _hidden(text: pl.Expr) -> pl.Expr:
    return pl.when(text.is_not_null()).then(pl.lit(NOT_MASKED))
