"""Replaces affected rows of the facts by new ones, writing only rows that differ."""

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from batch.warehouse.affected import is_in_place
from batch.warehouse.bulk import filled_in_bulk
from batch.warehouse.marts import Fact
from batch.warehouse.scripts import run, run_script, same_key

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


def load_fact(connection: psycopg.Connection, fact: Fact) -> None:
    """Compute the rows of all affected keys, and replace the existing ones.

    Existing rows that are not among the new ones are deleted, and missing ones inserted.
    """
    run_script(connection, fact.file("load.sql"))
    run(connection, "analyze {}", Identifier(fact.new_table))
    table, fresh = Identifier("mart", fact.name), Identifier(fact.new_table)
    same, name, in_place = same_key("n", "f", fact.key), Literal(fact.name), is_in_place(fact)
    affected = Identifier(fact.affected_table)
    is_affected = same_key("f", "t", fact.affected)
    run(connection, _DELETE, table, affected, is_affected, in_place, fresh, same, name)
    searched = SQL("true") if fact.is_cumulative else in_place
    with filled_in_bulk(connection, fact.name, fact.new_table):
        run(connection, _INSERT, table, fresh, table, same, searched, name)
