"""Casts earlier values to a column's current type, after the shop has changed the type.

`alter table … alter column … type …` rewrites the rows without log entries: bronze's last change
has the old representation. Postgres casts it to the column's current type, so that
`1` of an integer and `'1'` of a text, or `{"a" :1}` of a json and `{"a": 1}` of a jsonb, are equal.
A cast that loses something does not count: if a time of day or a third digit was truncated, the
shop has another value than bronze, and the rows have to be extracted again.
"""

from collections.abc import Sequence
from typing import LiteralString

import polars as pl
import psycopg
from psycopg import sql

from batch.reconcile.tables import Column

SCHEMA = {"number": pl.Int64, "spelled": pl.String}
_AT_ONCE = 10_000
# Candidates for the old value's text in Postgres, by its JSON type. Debezium writes timestamps
# as ISO 8601, days and microseconds as numbers, numerics and all others as text.
_QUERY: LiteralString = """
select u.number, w.spelled
from unnest(%(values)s::json[]) with ordinality as u (value, number)
cross join lateral (
    select
        u.value #>> '{{}}' as said,
        json_typeof(u.value) as kind,
        pg_input_is_valid(u.value #>> '{{}}', 'numeric')
        and u.value #>> '{{}}' !~ '[[:space:]]' as is_numeric,
        json_typeof(u.value) = 'string'
        and u.value #>> '{{}}' ~ '^[+-]?[0-9]{{4,}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:.]+Z$'
        and pg_input_is_valid(u.value #>> '{{}}', 'timestamptz') as is_instant
) as v
cross join lateral (
    select distinct c.text
    from unnest(array[
        case when v.kind <> 'array' and not v.is_instant then v.said end,
        case when v.is_numeric then trim_scale(v.said::numeric)::text end,
        case when v.kind = 'number' and pg_input_is_valid(v.said, 'float8')
            then v.said::float8::text
        end,
        case when v.kind = 'boolean' then v.said::boolean::integer::text end,
        -- Nested, because Postgres may evaluate conditions in any order. No earlier day exists.
        case when v.kind = 'number' and v.said ~ '^-?[0-9]{{1,7}}$'
            then case when v.said::integer >= -2440588
                then (date '1970-01-01' + v.said::integer)::text
            end
        end,
        -- In two steps: the product of a number and an interval is computed with doubles.
        case when v.kind = 'number' and v.said ~ '^-?[0-9]{{1,18}}$'
            then case when v.said::bigint >= -210866803200000000
                then (
                    timestamp '1970-01-01'
                    + v.said::bigint / 86400000000 * interval '1 day'
                    + mod(v.said::bigint, 86400000000) * interval '1 microsecond'
                )::text
            end
        end,
        case when v.is_instant then v.said::timestamptz::text end,
        case when v.kind = 'array'
            then array(select json_array_elements_text(
                case when v.kind = 'array' then u.value else '[]' end
            ))::text
        end
    ]) as c (text)
    where pg_input_is_valid(c.text, {type})
) as c
cross join lateral (
    -- Not cast to text, which differs for some types from what `copy` writes.
    select format('%%s', {spelled}) as spelled
    from (select c.text::{declared} as now) as x
    where {is_whole}
) as w"""
# Casts from text silently lose digits, blanks, or the time of day. What a float of four or eight
# bytes keeps of it is shown by its shortest text.
_WHOLE: dict[str, LiteralString] = {
    "varchar": "c.text = x.now::text",
    "numeric": "c.text::numeric = x.now::numeric",
    "float4": "c.text::numeric = x.now::text::numeric",
    "float8": "c.text::numeric = x.now::text::numeric",
    "date": "c.text::timestamp = x.now::timestamp",
    **{
        name: f"c.text::{name} = x.now::{name}"
        for name in ("timestamp", "timestamptz", "time", "timetz", "interval")
    },
}


def recast(connection: psycopg.Connection, column: Column, values: Sequence[bytes]) -> pl.DataFrame:
    """Ask the shop how it would represent values in a column.

    Args:
        connection: in a transaction.
        column: the shop's column, as it is now.
        values: as Debezium wrote them into its JSON.

    Returns:
        `number`, the index of the value, and `spelled`, as `column.kind.sql` returns it. No row for
        a value that does not fit the column or would lose something; several if the old type is
        ambiguous.
    """
    if not column.declared:
        return pl.DataFrame(schema=SCHEMA)
    query = sql.SQL(_QUERY).format(
        type=sql.Literal(column.declared),
        # The catalog's own spelling of a type: `numeric(12,2)`, `public."Mood"[]`.
        declared=sql.SQL(column.declared.replace("%", "%%")),
        spelled=sql.SQL(column.kind.sql.replace("{c}", "x.now")),
        is_whole=sql.SQL("true" if column.kind.is_list else _WHOLE.get(column.type_name, "true")),
    )
    rows: list[tuple[int, str]] = []
    for start in range(0, len(values), _AT_ONCE):
        some = [value.decode() for value in values[start : start + _AT_ONCE]]
        try:
            with connection.transaction():
                found = connection.execute(query, {"values": some}).fetchall()
        except psycopg.DataError:
            continue  # values that cannot be cast differ
        rows += [(start + int(number) - 1, spelled) for number, spelled in found]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
