"""Sums that a load changes by a difference, as SQL made from their declarations.

What the affected rows of their source count for is summed up before and after these change. The
cost follows the affected rows, where recomputing a sum would read all rows that it is made of.
"""

from collections.abc import Iterator

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from batch.warehouse import affected
from batch.warehouse.marts import Mart, Sum
from batch.warehouse.scripts import columns_of, same_key, script

_SUMMED = """
select {expressions}
from {source} inner join {members} as t on {of_member}
where {where}
group by {ordinals}"""
# A sum without rows is computed from all: so it is for a rebuild, which empties it.
_ALL = """
insert into {members} ({by})
select distinct {by_f} from {source}
where {where} and not exists (select from {table})
on conflict do nothing;
delete from {before} where not exists (select from {table});
analyze {members}"""
_MERGE = """
merge into {table} as s
using (
    select {keys}, {sums}
    from ({after} union all select {keys}, {negated} from {before}) as c
    group by {keys}
    having ({bare_sums}) <> ({zeros})
) as c
on {same}
when matched and ({added}) = ({zeros}) then delete
when matched then update set ({values}) = row({added})
when not matched then insert ({keys}, {values}) values ({keys_c}, {values_c})"""


def before(mart: Mart) -> Iterator[Composed]:
    """Yield statements that sum up what the affected rows count for until now."""
    for table in mart.sums:
        if not table.difference_by:
            continue
        names = _names(table)
        yield SQL(
            "create temporary table {members} on commit drop as "
            "select {by_f} from {source} limit 0; alter table {members} add primary key ({by})"
        ).format(**names)
        for keys in affected.members(mart, table):
            yield SQL(
                "insert into {members} ({by}) select distinct {by} from {keys} "
                "on conflict do nothing"
            ).format(keys=Identifier(keys), **names)
        if table.has("members.sql"):
            yield SQL(script(table.file("members.sql")).decode()).format()
        yield SQL("analyze {members}").format(**names)
        yield SQL("create temporary table {before} on commit drop as {summed}").format(
            summed=_summed(table), **names
        )


def add(table: Sum) -> Iterator[Composed]:
    """Yield statements that add the difference between then and now."""
    keys, values = table.key, tuple(table.reconcile.values)
    names = _names(table)
    yield SQL(_ALL).format(**names)
    yield SQL(_MERGE).format(
        keys=_each("{}", keys),
        keys_c=_each("c.{}", keys),
        values=_each("{}", values),
        values_c=_each("c.{}", values),
        sums=_each("sum(c.{0}) as {0}", values),
        bare_sums=_each("sum(c.{})", values),
        negated=_each("-{}", values),
        added=_each("s.{0} + c.{0}", values),
        zeros=_each("0", values),
        same=_each("s.{0} = c.{0}", keys, between=" and "),
        after=_summed(table),
        **names,
    )


def _summed(table: Sum) -> Composed:
    query = table.reconcile
    expressions = {**query.keys, **query.values}
    return SQL(_SUMMED).format(
        expressions=SQL(", ").join(
            SQL("{} as {}").format(SQL(expression), Identifier(name))
            for name, expression in expressions.items()
        ),
        ordinals=SQL(", ").join(Literal(n + 1) for n in range(len(query.keys))),
        **_names(table),
    )


def _names(table: Sum) -> dict[str, Composable]:
    return {
        "table": Identifier("mart", table.name),
        "members": Identifier(f"members_{table.name}"),
        "before": Identifier(f"before_{table.name}"),
        "by": SQL(", ").join(map(Identifier, table.difference_by)),
        "by_f": columns_of("f", table.difference_by),
        "of_member": same_key("f", "t", table.difference_by),
        "source": SQL(table.reconcile.source),
        "where": SQL(table.reconcile.where),
    }


def _each(template: str, names: tuple[str, ...], between: str = ", ") -> Composed:
    return SQL(between).join(SQL(template).format(Identifier(name)) for name in names)
