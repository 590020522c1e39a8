"""Comparison of the sums that charts read with the warehouse's facts.

All sums are computed again in Postgres, which returns counts and a few keys. Facts are compared
with silver, and gold with facts: if these are exact, a difference is the sum's fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerFindings, LayerReport
from lakehouse.contracts.gold import MONEY

_MEMORY = "set local work_mem = '64MB'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A table of sums, and how to compute it.

    Attributes:
        keys: its key columns, each with the expression over the facts.
        values: its other columns, in the same form.
        source: the facts that are summed.
    """

    keys: Mapping[str, str]
    values: Mapping[str, str]
    source: str

    def compared(self, table: str, limit: int) -> sql.Composed:
        """Build a query of one row: counts, and for each kind of fault up to `limit` keys."""
        keys, values = list(self.keys), list(self.values)
        ordinals = ", ".join(str(number + 1) for number in range(len(keys)))
        return sql.SQL(_COMPARED).format(
            expected=sql.SQL(", ").join(
                sql.SQL("{} as {}").format(sql.SQL(expression), sql.Identifier(name))
                for name, expression in (*self.keys.items(), *self.values.items())
            ),
            source=sql.SQL(self.source),
            ordinals=sql.SQL(ordinals),
            table=sql.Identifier(*table.split(".")),
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


_COMPARED = """
with expected as (
    select {expected} from {source} group by {ordinals}
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


def _sums(*names: str) -> dict[str, str]:
    return {name: f"sum(f.{name})" for name in names}


_ORDERS = {"orders": "count(distinct f.order_id)"}
SALES = {**_ORDERS, **_sums("units", *MONEY)}
"""All metrics of the lines that count."""
SOLD = "mart.fact_transactions as f where f.counts"
"""The lines that count."""
SOLD_PRODUCTS = (
    "mart.fact_transactions as f inner join mart.dim_products as p "
    "on f.product_key = p.product_key where f.counts"
)
"""The lines that count, with the product version at the time of the order."""
_DAY = {"date_key": "f.date_key"}
_COUNTRY = {**_DAY, "ship_country": "f.ship_country"}
_LATEST = ("units", "net_revenue_cents", "total_cents", "refund_cents")
_CUSTOMER = {
    "first_order_date": "min(f.date_key)", "last_order_date": "max(f.date_key)",
    **_ORDERS, **_sums(*_LATEST),
}  # fmt: skip
_STEPS = {"sessions": "view", **{f"{s}_sessions": s for s in ("cart", "checkout", "purchase")}}
SESSIONS = {
    name: "count(distinct f.session_id) filter (where f.interaction_type in ({}))".format(
        ", ".join(f"'{step}'" for step in list(_STEPS.values())[number:])
    )
    for number, name in enumerate(_STEPS)
}
"""Number of visits by day and device that reached a step or further."""
SUMS: Mapping[str, Sums] = {
    "mart.daily_sales": Sums(
        keys={**_COUNTRY, "channel": "f.channel", "category": "p.category"},
        values=SALES,
        source=SOLD_PRODUCTS,
    ),
    "mart.daily_orders": Sums(
        keys={**_COUNTRY, "channel": "f.channel"},
        values={**_ORDERS, **_sums(*_LATEST)},
        source=SOLD,
    ),
    "mart.daily_geography": Sums(
        keys={**_COUNTRY, "ship_region": "f.ship_region"},
        values={"ship_region_code": "min(f.ship_region_code)", **_ORDERS,
                **_sums(*_LATEST, "margin_cents")},
        source=SOLD,
    ),
    "mart.daily_products": Sums(
        keys={**_DAY, "product_id": "f.product_id"},
        values={
            **{f"{kind}s": f"count(*) filter (where f.interaction_type = '{kind}')"
               for kind in ("view", "cart")},
            **_ORDERS,
            **{name: f"coalesce(sum(f.{name}), 0)"
               for name in ("units", "gross_revenue_cents", "net_revenue_cents", "refund_cents")},
            **_sums("cost_cents", "margin_cents"),
        },
        source="(select date_key, product_id, order_id, null as interaction_type, units, "
               "gross_revenue_cents, net_revenue_cents, refund_cents, cost_cents, margin_cents "
               "from mart.fact_transactions where counts union all "
               "select date_key, product_id, null, interaction_type, "
               "null, null, null, null, null, null "
               "from mart.fact_user_interactions where product_id is not null) as f",
    ),
    "mart.daily_behaviour": Sums(
        keys={**_DAY, "device": "f.device"},
        values={
            **SESSIONS,
            "interactions": "count(*)",
        },
        source="mart.fact_user_interactions as f",
    ),
    "mart.customer_months": Sums(
        keys={"customer_id": "f.customer_id",
              "month_start_date": "date_trunc('month', f.date_key::timestamp)::date"},
        values=_CUSTOMER, source=f"{SOLD} and f.customer_id is not null",
    ),
    "mart.customer_totals": Sums(
        keys={"customer_id": "f.customer_id"},
        values=_CUSTOMER, source=f"{SOLD} and f.customer_id is not null",
    ),
    "mart.stock_levels": Sums(
        keys={"product_id": "f.product_id", "warehouse_code": "f.warehouse_code"},
        values={"on_hand_units": "(array_agg(f.closing_units order by f.date_key desc))[1]",
                "last_date": "max(f.date_key)"},
        source="mart.fact_stocks as f",
    ),
}  # fmt: skip
"""Sums by table."""


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
    for table, sums in SUMS.items():
        if not is_published:
            yield LayerReport.not_compared("warehouse", table, "never published")
            continue
        started = monotonic()
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sums.compared(table, examples.limit))
            findings = _findings(cursor.fetchall())
        seconds = monotonic() - started
        yield LayerReport(layer="warehouse", table=table, findings=findings, seconds=seconds)


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
