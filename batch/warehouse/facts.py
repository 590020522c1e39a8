"""Replaces affected rows of facts, and in a rebuild of sums, writing only rows that differ."""

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from batch.warehouse.affected import is_in_place
from batch.warehouse.bulk import filled_in_bulk, has_many
from batch.warehouse.marts import Fact, Sum
from batch.warehouse.scripts import columns_of, run, run_script, same_key, script_into

_ALL_DAYS = """
insert into affected_days (fact, date_key)
select distinct {}, f.date_key
from {} as f
on conflict do nothing"""
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


def load_fact(
    connection: psycopg.Connection, fact: Fact, *, is_first: bool, is_rebuild: bool
) -> bool:
    """Compute the rows of all affected keys into `new_<short>`, and replace the existing ones.

    Existing rows without a new one of the same key are deleted, those that differ from it updated,
    and missing ones inserted.

    Args:
        connection: in the load's transaction.
        fact: the table.
        is_first: whether no fact had rows: nobody misses them while the table is locked, so a large
            one is filled directly. `new_<short>` is a view of it then.
        is_rebuild: whether most rows are right already.

    Returns:
        Whether it was empty, and was filled in bulk.
    """
    table, fresh = Identifier("mart", fact.name), Identifier("pg_temp", fact.new_table)
    sources = {fact.entity, *(part.entity for part in fact.parts)}
    is_large = is_first and any(has_many(connection, Identifier("entity", one)) for one in sources)
    with filled_in_bulk(connection, table, is_worth_it=is_large) as is_in_bulk:
        if is_in_bulk:
            run(connection, "create temporary view {} as select * from {}", fresh, table)
            run_script(connection, fact.file("load.sql"))
            run(connection, "drop view {}", fresh)
            run(connection, _ALL_DAYS, Literal(fact.name), table)
            return True
    run(connection, "create temporary table {} (like {}) on commit drop", fresh, table)
    run_script(connection, fact.file("load.sql"))
    run(connection, "analyze {}", fresh)
    if is_rebuild and not _differs(connection, fact, table, fresh):
        return False
    return _replace(connection, fact, table, fresh)


def _differs(
    connection: psycopg.Connection, fact: Fact, table: Identifier, fresh: Identifier
) -> bool:
    """Return whether any row differs: after a rebuild of what was right, one pass shows it."""
    query = "select exists (select from {} as n full join {} as f on {} where n is distinct from f)"
    row = run(connection, query, fresh, table, same_key("n", "f", fact.key)).fetchone()
    return row is not None and bool(row[0])


def _replace(
    connection: psycopg.Connection, fact: Fact, table: Identifier, fresh: Identifier
) -> bool:
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


def rewrite_sum(connection: psycopg.Connection, table: Sum, *, has_new: bool) -> None:
    """Compute all rows of a sum, and write those that differ.

    Args:
        connection: in the load's transaction.
        table: the sum, computed for all keys.
        has_new: whether its `load.sql` computes them into the existing table `new_<name>`.
    """
    target, fresh = Identifier("mart", table.name), Identifier("pg_temp", f"new_{table.name}")
    file = table.file("load.sql")
    if has_new:
        run_script(connection, file)
    else:
        run(connection, "create temporary table {} (like {}) on commit drop", fresh, target)
        run_script(connection, file, script_into(file, table.name, f"pg_temp.new_{table.name}"))
    run(connection, "analyze {}", fresh)
    same = same_key("n", "f", table.key)
    obsolete = (
        "delete from {} as f where not exists "
        "(select from {} as n where {} and n is not distinct from f)"
    )
    run(connection, obsolete, target, fresh, same)
    missing = (
        "insert into {} select n.* from {} as n where not exists (select from {} as f where {})"
    )
    run(connection, missing, target, fresh, target, same)
