"""Sums of sums that a load changes by a difference, as SQL made from their declarations.

A sum that others are made of keeps the rows that a load deletes of it in the temporary table
`gone_<name>`; its `load.sql` computes those that come into `new_<name>`. What the one count for is
subtracted, what the others count for is added. So the cost follows the affected rows, where
recomputing a sum would read all rows that it is made of.
"""

from collections.abc import Iterator, Mapping

from psycopg.sql import SQL, Composable, Composed, Identifier

from batch.warehouse.marts import Mart, Sum

_SUMMED = "select {expressions} from {source} where {where} group by {ordinals}"
# One without rows is computed from all: so it is in a rebuild, which empties it.
_CHANGES = """
create temporary table {changes} on commit drop as
select {keys}, {sums}
from (
    select * from ({came}) as c where exists (select from {table})
    union all
    select {keys}, {negated} from ({went}) as c where exists (select from {table})
    union all
    select * from ({everything}) as c where not exists (select from {table})
) as c
group by {keys}
having ({bare_sums}) <> ({zeros})"""
_MERGE = """
merge into {table} as s
using {changes} as c on {same}
when matched and ({added}) = ({zeros}) then delete
when matched then update set ({values}) = row({added})
when not matched then insert ({keys}, {values}) values ({keys_c}, {values_c})"""


def create(mart: Mart) -> Iterator[Composed]:
    """Yield statements that create the empty tables of rows that go and come."""
    for table in mart.sums:
        if mart.is_summed_up(table):
            for kind in ("gone", "new"):
                yield SQL("create temporary table {} (like {}) on commit drop").format(
                    Identifier(f"{kind}_{table.name}"), Identifier("mart", table.name)
                )


def insert_new(table: Sum) -> Composed:
    """Return the statement that inserts the rows that `load.sql` has computed."""
    return SQL("insert into {} select n.* from {} as n").format(
        Identifier("mart", table.name), Identifier(f"new_{table.name}")
    )


def add(table: Sum) -> Iterator[Composed]:
    """Yield statements that add the difference that the rows which went and came make."""
    keys, values = table.key, tuple(table.reconcile.values)
    names = {
        "table": Identifier("mart", table.name),
        "changes": Identifier(f"changes_of_{table.name}"),
        "keys": _each("{}", keys),
        "zeros": _each("0", values),
    }
    yield SQL(_CHANGES).format(
        sums=_each("sum(c.{0}) as {0}", values),
        bare_sums=_each("sum(c.{})", values),
        negated=_each("-{}", values),
        came=_summed(table, "new"),
        went=_summed(table, "gone"),
        everything=_summed(table),
        **names,
    )
    yield SQL(_MERGE).format(
        keys_c=_each("c.{}", keys),
        values=_each("{}", values),
        values_c=_each("c.{}", values),
        added=_each("s.{0} + c.{0}", values),
        same=_each("s.{0} = c.{0}", keys, between=" and "),
        **names,
    )


def _summed(table: Sum, kind: str = "") -> Composed:
    """Return the query of a sum, from its tables, or from the rows of them that came or went."""
    query = table.reconcile
    source = query.source
    for name in table.of if kind else ():
        source = source.replace(f"mart.{name} ", f"{kind}_{name} ")
    expressions: Mapping[str, str] = {**query.keys, **query.values}
    return SQL(_SUMMED).format(
        expressions=SQL(", ").join(
            SQL("{} as {}").format(SQL(expression), Identifier(name))
            for name, expression in expressions.items()
        ),
        source=SQL(source),
        where=SQL(query.where),
        ordinals=SQL(", ").join(SQL(str(number + 1)) for number in range(len(query.keys))),
    )


def _each(template: str, names: tuple[str, ...], between: str = ", ") -> Composable:
    return SQL(between).join(SQL(template).format(Identifier(name)) for name in names)
