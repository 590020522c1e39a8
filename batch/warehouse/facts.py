"""Replaces affected rows of the facts by new ones, writing only rows that differ."""

from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

from batch.warehouse.bulk import filled_in_bulk
from batch.warehouse.scripts import run, run_script, same_key

CHUNK_ORDERS = 100_000
"""Number of orders whose lines are computed at a time: they are passed in one array."""
_NEXT_CHUNK = """
insert into order_chunk (order_id)
select t.order_id
from affected_orders as t
where %(last)s::bigint is null or t.order_id > %(last)s
order by t.order_id
limit %(orders)s"""

_DELETE = """
with gone as (
    delete from {} as f
    using {} as t
    where
        {}
        and {}
        and not exists (select from {} as n where {} and n is not distinct from f)
    returning f.date_key
)

insert into affected_days (fact, date_key)
select distinct {}, g.date_key
from gone as g
on conflict do nothing"""
_INSERT = """
with come as (
    insert into {}
    select n.*
    from {} as n
    where not exists (select from {} as f where {} and {})
    returning date_key
)

insert into affected_days (fact, date_key)
select distinct {}, c.date_key
from come as c
on conflict do nothing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact table, its new rows, and the keys whose rows these replace."""

    table: str
    fresh: str
    affected: str
    key: tuple[str, ...]
    affected_by: tuple[str, ...]
    from_date: bool = False

    @property
    def _is_in_place(self) -> Composable:
        """Return the condition for rows of affected keys, see `load/affected_dates.sql`."""
        if self.from_date:
            return SQL("f.date_key >= t.from_date")
        return SQL("f.date_key = any(etl.affected_dates({}))").format(Literal(self.table))

    def replace(self, connection: psycopg.Connection) -> None:
        """Delete affected rows that are not among the new ones, and insert the missing ones."""
        run(connection, "analyze {}", Identifier(self.fresh))
        table, fresh = Identifier("mart", self.table), Identifier(self.fresh)
        same, name = same_key("n", "f", self.key), Literal(self.table)
        affected = Identifier(self.affected)
        is_affected = same_key("f", "t", self.affected_by)
        run(connection, _DELETE, table, affected, is_affected, self._is_in_place, fresh, same, name)
        is_in_place = SQL("true") if self.from_date else self._is_in_place
        with filled_in_bulk(connection, self.table, self.fresh):
            run(connection, _INSERT, table, fresh, table, same, is_in_place, name)


TRANSACTIONS = Fact(
    table="fact_transactions",
    fresh="new_transactions",
    affected="affected_orders",
    key=("order_line_id", "date_key"),
    affected_by=("order_id",),
)
OTHERS = (
    Fact(
        table="fact_payments",
        fresh="new_payments",
        affected="affected_payments",
        key=("payment_id", "date_key"),
        affected_by=("payment_id",),
    ),
    Fact(
        table="fact_user_interactions",
        fresh="new_interactions",
        affected="affected_interactions",
        key=("interaction_id", "date_key"),
        affected_by=("interaction_id",),
    ),
    Fact(
        table="fact_stocks",
        fresh="new_stocks",
        affected="affected_stocks",
        key=("product_id", "warehouse_code", "date_key"),
        affected_by=("product_id", "warehouse_code"),
        from_date=True,
    ),
)


def load_facts(connection: psycopg.Connection) -> None:
    """Compute and replace the facts of all affected keys."""
    _compute_transactions(connection)
    TRANSACTIONS.replace(connection)
    for fact in OTHERS:
        run_script(connection, f"mart/{fact.table}/load.sql")
        fact.replace(connection)
    run_script(connection, "mart/stock_levels/load.sql")


def _compute_transactions(connection: psycopg.Connection) -> None:
    last = None
    while True:
        connection.execute("truncate order_chunk")
        connection.execute(_NEXT_CHUNK, {"last": last, "orders": CHUNK_ORDERS})
        row = connection.execute("select max(c.order_id) from order_chunk as c").fetchone()
        last = None if row is None else row[0]
        if last is None:
            return
        connection.execute("analyze order_chunk")
        connection.execute("select etl.compute_transactions()")
