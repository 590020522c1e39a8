"""Comparison of tables of the mart with the queries that their `schema.yaml` declares.

Sums are computed again from facts, and facts from `entity`, in Postgres, which returns counts and a
few keys. `entity`, and the facts with money, are compared with silver: if these are exact, a
difference is the table's fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerFindings, LayerReport
from batch.warehouse.marts import Fact, Reconciled, Sum, mart

_MEMORY = "set local work_mem = '64MB'"
_COMPARED = """
with expected as (
    select {expected} from {source} where {where} {grouped}
),

compared as (
    select
        concat_ws('/', {key}) as key,
        e.{one} is not null as is_expected,
        s.{one} is not null as is_there,
        concat_ws(', ', {names}) as names
    from expected as e
    full outer join {table} as s on {on}
)

select
    count(*) filter (where c.is_expected) as expected_rows,
    count(*) filter (where c.is_there) as rows,
    {faults}
from compared as c"""
_FAULT = """
    count(*) filter (where {where}) as {name},
    (array_agg({key} order by c.key) filter (where {where}))[:{limit}] as {examples}"""
_FAULTS = {
    "missing": ("not c.is_there", "c.key"),
    "extra": ("not c.is_expected", "c.key"),
    "different": (
        "c.is_expected and c.is_there and c.names <> ''",
        "c.key || ' (' || c.names || ')'",
    ),
}


def _joined(between: str, each: str, names: list[str]) -> sql.Composable:
    return sql.SQL(between).join(
        sql.SQL(each).format(sql.Identifier(name), sql.Literal(name)) for name in names
    )


def reconciled() -> dict[str, tuple[Fact | Sum, Reconciled]]:
    """Return the tables of the mart that declare a query to be equal to, by their full names."""
    tables: tuple[Fact | Sum, ...] = (*mart().facts, *mart().sums)
    return {f"mart.{one.name}": (one, one.reconcile) for one in tables if one.reconcile != "silver"}


def compared(table: Fact | Sum, query: Reconciled, limit: int) -> sql.Composed:
    """Build a query of one row: counts, and for each kind of fault up to `limit` keys."""
    keys, values = list(query.keys), list(query.values)
    # A fact has a row of each row that its query reads.
    grouped = f"group by {', '.join(str(n + 1) for n in range(len(keys)))}"
    return sql.SQL(_COMPARED).format(
        expected=sql.SQL(", ").join(
            sql.SQL("{} as {}").format(sql.SQL(expression), sql.Identifier(name))
            for name, expression in (*query.keys.items(), *query.values.items())
        ),
        source=sql.SQL(query.source),
        where=sql.SQL(query.where),
        grouped=sql.SQL(grouped if isinstance(table, Sum) else ""),
        table=sql.Identifier("mart", table.name),
        on=_joined(" and ", "e.{0} = s.{0}", keys),
        key=_joined(", ", "coalesce(e.{0}, s.{0})", keys),
        one=sql.Identifier(keys[0]),
        names=_joined(", ", "case when e.{0} is distinct from s.{0} then {1} end", values),
        faults=sql.SQL(",").join(
            sql.SQL(_FAULT).format(
                where=sql.SQL(where),
                key=sql.SQL(key),
                limit=sql.Literal(limit),
                name=sql.Identifier(name),
                examples=sql.Identifier(f"{name}_keys"),
            )
            for name, (where, key) in _FAULTS.items()
        ),
    )


def compare_sums(
    connection: psycopg.Connection, examples: Examples, *, is_published: bool
) -> Iterator[LayerReport]:
    """Compare each table, within the current transaction.

    Args:
        connection: connection to the warehouse.
        examples: number of keys to report.
        is_published: whether the warehouse was loaded; if not, nothing is compared.
    """
    if is_published:
        connection.execute(_MEMORY)
    for name, (table, query) in reconciled().items():
        if not is_published:
            yield LayerReport.not_compared("warehouse", name, "never published")
            continue
        started = monotonic()
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(compared(table, query, examples.limit))
            findings = _findings(cursor.fetchall())
        seconds = monotonic() - started
        yield LayerReport(layer="warehouse", table=name, findings=findings, seconds=seconds)


def _findings(rows: Sequence[Mapping[str, Any]]) -> LayerFindings:
    (row,) = rows
    faults = [Fault(count=row[name], examples=tuple(row[f"{name}_keys"] or ())) for name in _FAULTS]
    missing, extra, different = faults
    return LayerFindings(
        expected_rows=row["expected_rows"],
        rows=row["rows"],
        missing=missing,
        extra=extra,
        different=different,
    )
