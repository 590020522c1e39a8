"""Replaces affected rows of the facts by new ones, writing only rows that differ."""

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from batch.warehouse.affected import is_in_place
from batch.warehouse.bulk import filled_in_bulk, has_many
from batch.warehouse.marts import Fact
from batch.warehouse.scripts import columns_of, run, run_script, same_key

_DELETE = """
with gone as (
    delete from {} as f
    using {} as t
    where
        {}
        and {}
        and not exists (select from {} as n where {})
    returning f.date_key
)

insert into affected_days (fact, date_key)
select distinct {}, g.date_key
from gone as g
on conflict do nothing"""
# Not deleted and inserted: a row that keeps the columns of an index needs no new entry in it, if
# its page has room.
_UPDATE = """
with changed as (
    update {} as f
    set ({}) = row({})
    from {} as n
    where {} and {} and n is distinct from f
    returning f.date_key
)

insert into affected_days (fact, date_key)
select distinct {}, c.date_key
from changed as c
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


def load_fact(connection: psycopg.Connection, fact: Fact) -> bool:
    """Compute the rows of all affected keys, and replace the existing ones.

    Existing rows without a new one of the same key are deleted, those that differ from it updated,
    and missing ones inserted.

    Returns:
        Whether it was empty, and was filled in bulk.
    """
    run_script(connection, fact.file("load.sql"))
    run(connection, "analyze {}", Identifier(fact.new_table))
    table, fresh = Identifier("mart", fact.name), Identifier(fact.new_table)
    same, name, in_place = same_key("n", "f", fact.key), Literal(fact.name), is_in_place(fact)
    affected = Identifier(fact.affected_table)
    is_affected = same_key("f", "t", fact.affected)
    run(connection, _DELETE, table, affected, is_affected, in_place, fresh, same, name)
    searched = SQL("true") if fact.is_cumulative else in_place
    described = run(connection, "select * from {} limit 0", fresh).description or ()
    values = [column.name for column in described if column.name not in fact.key]
    run(
        connection,
        _UPDATE,
        table,
        SQL(", ").join(map(Identifier, values)),
        columns_of("n", values),
        fresh,
        same,
        searched,
        name,
    )
    is_worth_it = has_many(connection, fresh)
    with filled_in_bulk(connection, table, is_worth_it=is_worth_it) as is_in_bulk:
        run(connection, _INSERT, table, fresh, table, same, searched, name)
    return is_in_bulk
