"""Keys and days that a load recomputes, as SQL made from the declarations of the tables.

Everything is in temporary tables of the load's transaction:

- `affected_<entity>`: keys of a dimension's or a fact's entity; `affected_<short>` if a fact
  declares other columns, with `from_date` if it is cumulative; `affected_<sum>` for sums with keys
  of their own. Grain: one row per key.
- `fact_dates`: days of the rows of affected keys, before and after. Facts are only searched on
  these days, so that a load reads only the months and days that it changes. Grain: one row per fact
  and day.
- `affected_days`: days with a changed fact, whose sums are recomputed. Grain: as `fact_dates`.
- `rekeyed_<entity>`: versions whose facts need a new lookup of their version, from an instant on.
  Grain: one row per version.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from batch.warehouse.marts import Dimension, Fact, Mart, Part, Sum
from batch.warehouse.scripts import columns_of, same_key
from lakehouse.contracts import ENTITIES

CHOSEN_DAYS = SQL(
    "insert into affected_days (fact, date_key) select p.fact, p.date_key from fact_dates as p "
    "on conflict do nothing"
)
"""By which sums of the days of chosen facts are recomputed, even if the facts do not change."""
_ALWAYS = SQL("date '-infinity'")
_TRUE = SQL("true")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """A temporary table of affected keys."""

    table: str
    columns: tuple[str, ...]
    is_cumulative: bool = False

    def of(
        self, alias: str, since: Composable = _ALWAYS, *, columns: Iterable[str] | None = None
    ) -> Composed:
        """Return the select list of its columns, by default from columns of the same names."""
        pairs = zip(columns or self.columns, self.columns, strict=True)
        each = [SQL("{} as {}").format(Identifier(alias, own), Identifier(k)) for own, k in pairs]
        also = [SQL("{} as from_date").format(since)] if self.is_cumulative else []
        return SQL(", ").join([*each, *also])

    def make(self, rows: Iterable[Composable]) -> Composed:
        """Return statements that create the table with the results of queries.

        Its key is created afterwards: kept row by row, it costs several times as much.
        """
        names, keys = columns_of("s", self.columns), SQL(", ").join(map(Identifier, self.columns))
        since = SQL(", min(s.from_date) as from_date" if self.is_cumulative else "")
        return SQL(
            "create temporary table {0} on commit drop as select {1}{2} from ({3}) as s "
            "group by {1}; alter table {0} add primary key ({4})"
        ).format(Identifier(self.table), names, since, SQL(" union all ").join(rows), keys)

    def add(self, rows: Iterable[Composable]) -> Composed:
        """Return a statement that adds the results of queries."""
        add: LiteralString = "insert into {0} ({1}) select {2} from ({3}) as s group by {2} "
        names, keys = columns_of("s", self.columns), SQL(", ").join(map(Identifier, self.columns))
        if self.is_cumulative:
            add = (
                "insert into {0} ({1}, from_date) select {2}, min(s.from_date) from ({3}) as s "
                "group by {2} on conflict ({1}) do update "
                "set from_date = least({0}.from_date, excluded.from_date)"
            )
        else:
            add += "on conflict do nothing"
        return SQL(add).format(Identifier(self.table), keys, names, SQL(" union all ").join(rows))


def partitions(mart: Mart, new: Mart) -> Iterator[Composed]:
    """Yield statements that create the partitions of the changed rows' months.

    For new facts, create those of all rows.

    They run before the load, in a transaction of their own: creating a partition locks readers out
    until its transaction ends, and waits for running readers. An empty partition is invisible.
    """
    changed = [(fact, _changed(fact.entity)) for fact in mart.facts]
    for fact, source in (*changed, *((fact, _entity(fact.entity)) for fact in new.facts)):
        yield SQL(
            "select etl.ensure_partitions(k.oid, (select array_agg(distinct c.{}) from {} as c)) "
            "from pg_class as k where k.oid = {}::regclass and k.relkind = 'p'"
        ).format(Identifier(fact.date), source, Literal(f"mart.{fact.name}"))


def create(mart: Mart) -> Iterator[Composed]:
    """Yield statements that create the empty temporary tables, dropped with the transaction.

    Those of keys are created with their rows, see `before`, `everything` and `summed_keys`.
    """
    for table in ("fact_dates", "affected_days"):
        yield SQL(
            "create temporary table {} (fact text, date_key date, primary key (fact, date_key)) "
            "on commit drop"
        ).format(Identifier(table))
    for dimension in mart.dimensions:
        if dimension.is_versioned:
            yield SQL(
                "create temporary table {} ({} bigint primary key, from_at timestamptz) "
                "on commit drop"
            ).format(_rekeyed(dimension), Identifier(dimension.key))


def before(mart: Mart) -> Iterator[Composed]:
    """Yield statements that create the keys of rows that are about to change, and of old ones."""
    found: dict[_Keys, list[Composable]] = {}
    for dimension in _of_entities(mart):
        keys = _of_dimension(dimension)
        found[keys] = [
            SQL("select {} from {} as c").format(keys.of("c"), _changed(_history(dimension)))
        ]
    for fact in mart.facts:
        keys = _of_fact(fact)
        own = SQL("select {} from {} as c").format(keys.of("c"), _changed(fact.entity))
        rows = found.setdefault(keys, [])
        rows += [] if fact.by else [own]
        rows += (row for part in fact.parts for row in _changes(fact, part))
        yield _add_dates(fact, _changed_dates(fact))
    yield from (keys.make(rows) for keys, rows in found.items())


def chosen(mart: Mart) -> Iterator[Composed]:
    """Yield statements for keys in `chosen_<entity>`, recomputed even if no row has changed."""
    for dimension in _of_entities(mart):
        keys = _of_dimension(dimension)
        yield keys.add([_chosen(keys, str(dimension.entity))])
    for fact in mart.facts:
        keys = _of_fact(fact)
        rows = [] if fact.by else [_chosen(keys, fact.entity)]
        yield keys.add([*rows, *(row for part in fact.parts for row in _chosen_rows(fact, part))])
    # A fact may be stored under a wrong day.
    for fact in _by_days(mart):
        yield _add_dates(fact, [_days_of_facts(fact, affected=True)])


def everything(mart: Mart, *, is_rebuild: bool = True) -> Iterator[Composed]:
    """Yield statements for all keys: those of the entities, and those that only the mart has.

    Args:
        mart: the tables.
        is_rebuild: they create the tables of keys. Otherwise they add to those of `before`.
    """
    found: dict[_Keys, list[Composable]] = {}
    for dimension in _of_entities(mart):
        keys, member = _of_dimension(dimension), Identifier("d", dimension.member)
        is_real = "{} is not null" if dimension.is_versioned else "{} <> '-1'"
        found[keys] = [
            SQL("select {} from {} as e").format(keys.of("e"), _entity(_history(dimension))),
            SQL("select {} from {} as d where {}").format(
                keys.of("d", columns=[dimension.member]),
                _mart(dimension),
                SQL(is_real).format(member),
            ),
        ]
    for fact in mart.facts:
        keys = _of_fact(fact)
        sources = [] if fact.by else [Part(entity=fact.entity, columns=keys.columns)]
        rows = found.setdefault(keys, [])
        rows += (_all_rows(keys, part) for part in (*sources, *fact.parts))
        rows.append(SQL("select {} from {} as f").format(keys.of("f"), _mart(fact)))
        dates = SQL("select distinct e.{} as date_key from {} as e").format(
            Identifier(fact.date), _entity(fact.entity)
        )
        yield _add_dates(fact, [dates, _days_of_facts(fact), *_unknown_day(fact)])
    for keys, rows in found.items():
        yield keys.make(rows) if is_rebuild else keys.add(rows)


def after(mart: Mart, *, is_rebuild: bool = False) -> Iterator[Composed]:
    """Yield statements for rows that facts refer to, once entities and dimensions are updated.

    In a rebuild, all keys are affected already.
    """
    for fact in mart.facts:
        looked_up = (row for one in mart.versions(fact) for row in _looked_up(fact, one))
        rows = [*_referring(fact), *looked_up]
        if rows and not is_rebuild:
            yield _of_fact(fact).add(rows)
        yield SQL("analyze {}").format(Identifier(fact.affected_table))
    for fact in _by_days(mart):
        yield _add_dates(fact, [_dates_of_entities(fact)])
        yield _set_dates(fact)
    # Sums by day depend on attributes of a version, even if the facts do not change.
    for table in mart.sums:
        for fact in _facts_of(mart, table) if table.is_by_day else ():
            for dimension in mart.versions(table):
                yield _add_days(
                    SQL(
                        "select distinct {} as fact, f.date_key from {} as f inner join {} as m "
                        "on {} where f.date_key >= m.from_at::date - 2"
                    ).format(
                        Literal(fact.name),
                        _mart(fact),
                        _rekeyed(dimension),
                        same_key("f", "m", [dimension.key]),
                    )
                )


def summed_before(mart: Mart) -> Iterator[Composed]:
    """Yield statements that note keys of sums before the facts are replaced; see `summed_keys`."""
    for table in mart.sums:
        if table.has_own_keys:
            yield SQL("create temporary table {} on commit drop as {}").format(
                _summed_before(table), SQL(" union all ").join(_summed(mart, table))
            )


def summed_keys(mart: Mart, whole: Mart, *, is_rebuild: bool) -> Iterator[Composed]:
    """Yield statements for keys of sums that are not by day, once the facts are replaced.

    A row may have counted for another key before that. For tables that are recomputed in full,
    existing keys are affected, too.
    """
    for table in mart.sums:
        if not table.has_own_keys:
            continue
        keys = _keys_of(mart, table)
        before = [] if is_rebuild else [_summed_before(table)]
        others = [*before, *([_mart(table)] if table in whole.sums else [])]
        old = (SQL("select {} from {} as s").format(keys.of("s"), one) for one in others)
        yield keys.make([*_summed(mart, table), *old])


def _summed(mart: Mart, table: Sum) -> Iterator[Composed]:
    """Yield queries of the keys that rows of affected facts count for."""
    query = table.reconcile
    for fact in _facts_of(mart, table):
        yield SQL(
            "select distinct {names} from {source} inner join {affected} as t on {same} "
            "where {in_place} and {where}"
        ).format(
            names=SQL(", ").join(
                SQL("{} as {}").format(SQL(expression), Identifier(name))
                for name, expression in query.keys.items()
            ),
            source=SQL(query.source),
            affected=Identifier(fact.affected_table),
            same=same_key("f", "t", fact.affected),
            in_place=is_in_place(fact),
            where=SQL(query.where),
        )


def _summed_before(table: Sum) -> Identifier:
    return Identifier(f"before_{table.name}")


def all_sums(mart: Mart) -> Iterator[Composed]:
    """Yield statements for all sums: those of facts, now replaced, and existing ones."""
    by_day = [(f.name, s.name) for s in mart.sums if s.is_by_day for f in _facts_of(mart, s)]
    for fact, source in sorted({*by_day, *((fact, fact) for fact, _ in by_day)}):
        yield _add_days(
            SQL("select distinct {} as fact, d.date_key from {} as d").format(
                Literal(fact), Identifier("mart", source)
            )
        )
    for table in mart.sums:
        name = _mart(table)
        if table.by_difference:
            yield SQL("delete from {}").format(name)
        elif table.affected_as is not None:
            # Every key is affected by now: any other was never one.
            affected = _keys_of(mart, table)
            shared = [column for column in table.key if column in affected.columns]
            yield SQL("delete from {} as s where not exists (select from {} as t where {})").format(
                name, Identifier(affected.table), same_key("s", "t", shared)
            )


def obsolete_sums(mart: Mart, *, is_rebuild: bool) -> Iterator[Composed]:
    """Yield statements that delete the sums of affected days and keys, which are recomputed.

    A rebuild deletes those that differ, once it has computed them.
    """
    yield SQL("analyze affected_days").format()
    for table in mart.sums:
        if table.has_own_keys:
            yield SQL("analyze {}").format(Identifier(_keys_of(mart, table).table))
        if table.by_difference or is_rebuild:
            continue
        if table.is_by_day:
            keys = _Keys(table="affected_days", columns=("date_key",))
            where: Composable = SQL("t.fact = any({})").format(Literal(list(table.of)))
            yield _delete(mart, table, keys, where)
            continue
        yield _delete(mart, table, _keys_of(mart, table))
        for dimension in mart.versions(table):
            yield _delete(mart, table, _of_dimension(dimension))


def _delete(mart: Mart, table: Sum, keys: _Keys, where: Composable = _TRUE) -> Composed:
    shared = [column for column in table.key if column in keys.columns]
    delete = SQL("delete from {} as s using {} as t where {} and {}").format(
        _mart(table), Identifier(keys.table), same_key("s", "t", shared), where
    )
    if not mart.is_summed_up(table):
        return delete
    return SQL("with gone as ({} returning s.*) insert into {} select * from gone").format(
        delete, Identifier(f"gone_{table.name}")
    )


def is_in_place(fact: Fact) -> Composable:
    """Return the condition for rows `f` of affected keys `t` of a fact."""
    if fact.is_cumulative:
        return SQL("f.date_key >= t.from_date")
    return SQL("f.date_key = any(etl.affected_dates({}))").format(Literal(fact.name))


def _keys_of(mart: Mart, table: Sum) -> _Keys:
    """Return the affected keys of a sum that is not by day, its own or those of another table."""
    source = mart.described[table.affected_as or table.name]
    if isinstance(source, Fact):
        return _of_fact(source)
    columns = source.key if isinstance(source, Sum) else table.key
    return _Keys(table=f"affected_{source.name}", columns=columns)


def _of_entities(mart: Mart) -> Iterator[Dimension]:
    return (one for one in mart.dimensions if one.entity is not None)


def _by_days(mart: Mart) -> Iterator[Fact]:
    """Yield the facts whose rows are searched on the days of `fact_dates`."""
    return (fact for fact in mart.facts if not fact.is_cumulative)


def _facts_of(mart: Mart, table: Sum) -> Iterator[Fact]:
    return (fact for fact in mart.facts if fact.name in table.of)


def _of_dimension(dimension: Dimension) -> _Keys:
    entity = str(dimension.entity)
    return _Keys(table=f"affected_{entity}", columns=(ENTITIES[entity].key,))


def _of_fact(fact: Fact) -> _Keys:
    return _Keys(table=fact.affected_table, columns=fact.affected, is_cumulative=fact.is_cumulative)


def _changed(entity: str) -> Identifier:
    return Identifier("pg_temp", f"changed_{entity}")


def _mart(table: Dimension | Fact | Sum) -> Identifier:
    return Identifier("mart", table.name)


def _entity(name: str) -> Identifier:
    return Identifier("entity", name)


def _history(dimension: Dimension) -> str:
    """Return the table of `entity` with the dimension's rows."""
    return f"{dimension.entity}_history" if dimension.is_versioned else str(dimension.entity)


def _rekeyed(dimension: Dimension) -> Identifier:
    return Identifier(f"rekeyed_{dimension.entity}")


def _holds(alias: str, columns: Iterable[str], when: Mapping[str, str]) -> Composable:
    """Return the condition that columns are given, and that others have a value."""
    given = [SQL("{} is not null").format(Identifier(alias, name)) for name in columns]
    equal = [
        SQL("{} = {}").format(Identifier(alias, name), Literal(value))
        for name, value in when.items()
    ]
    return SQL(" and ").join([*given, *equal])


def _changes(fact: Fact, part: Part) -> Iterator[Composed]:
    """Yield queries of the keys in changed rows of a part: of the new versions, and of the old."""
    keys, day = _of_fact(fact), fact.date
    yield SQL("select {} from {} as c where {}").format(
        keys.of("c", Identifier("c", day), columns=part.columns),
        _changed(part.entity),
        _holds("c", part.columns, part.when),
    )
    yield SQL("select {} from {} as e inner join {} as c on {} where {}").format(
        keys.of("e", Identifier("e", day), columns=part.columns),
        _entity(part.entity),
        _changed(part.entity),
        same_key("e", "c", [ENTITIES[part.entity].key]),
        _holds("e", part.columns, part.when),
    )


def _changed_dates(fact: Fact) -> Iterator[Composable]:
    """Yield queries of the days of changed rows, before and after; see `_add_dates`."""
    yield SQL("select c.{} as date_key from {} as c").format(
        Identifier(fact.date), _changed(fact.entity)
    )
    yield SQL("select e.{} as date_key from {} as e inner join {} as c on {}").format(
        Identifier(fact.date),
        _entity(fact.entity),
        _changed(fact.entity),
        same_key("e", "c", [ENTITIES[fact.entity].key]),
    )
    yield from _unknown_day(fact)


def _unknown_day(fact: Fact) -> Iterator[Composable]:
    """Yield a query of it if rows of a part may have arrived before the entity."""
    if fact.parts and not fact.is_cumulative:
        yield SQL("select date '0001-01-01' as date_key")


def _add_dates(fact: Fact, rows: Iterable[Composable]) -> Composed:
    return SQL(
        "insert into fact_dates (fact, date_key) select distinct {}, s.date_key from ({}) as s "
        "where s.date_key is not null on conflict do nothing"
    ).format(Literal(fact.name), SQL(" union all ").join(rows))


def _add_days(rows: Composable) -> Composed:
    return SQL("insert into affected_days (fact, date_key) {} on conflict do nothing").format(rows)


def _chosen(keys: _Keys, entity: str) -> Composed:
    return SQL("select c.row_key as {} from {} as c").format(
        Identifier(keys.columns[0]), Identifier("pg_temp", f"chosen_{entity}")
    )


def _chosen_rows(fact: Fact, part: Part) -> Iterator[Composed]:
    """Yield queries of the keys of a part's chosen rows, also of those that are only a fact."""
    keys, key = _of_fact(fact), ENTITIES[part.entity].key
    chosen_rows = Identifier("pg_temp", f"chosen_{part.entity}")
    yield SQL("select {} from {} as e inner join {} as c on e.{} = c.row_key where {}").format(
        keys.of("e", columns=part.columns),
        _entity(part.entity),
        chosen_rows,
        Identifier(key),
        _holds("e", part.columns, part.when),
    )
    if key in fact.key:
        yield SQL("select {} from {} as f inner join {} as c on f.{} = c.row_key").format(
            keys.of("f"), _mart(fact), chosen_rows, Identifier(key)
        )


def _all_rows(keys: _Keys, part: Part) -> Composed:
    return SQL("select {} from {} as e where {}").format(
        keys.of("e", columns=part.columns),
        _entity(part.entity),
        _holds("e", part.columns, part.when),
    )


def _days_of_facts(fact: Fact, *, affected: bool = False) -> Composed:
    joined = SQL(" inner join {} as t on {}").format(
        Identifier(fact.affected_table), same_key("f", "t", fact.affected)
    )
    return SQL("select distinct f.date_key from {} as f{}").format(
        _mart(fact), joined if affected else SQL("")
    )


def _referring(fact: Fact) -> Iterator[Composed]:
    """Yield queries of the keys of rows that refer to a changed row of another entity."""
    for other in fact.affected_by:
        if not other.is_part:
            yield SQL("select {} from {} as e inner join {} as c on e.{} = c.{} where {}").format(
                _of_fact(fact).of("e", Identifier("e", fact.date)),
                _entity(fact.entity),
                _changed(other.entity),
                Identifier(other.column),
                Identifier(ENTITIES[other.entity].key),
                _holds("c", [ENTITIES[other.entity].key], other.when),
            )


def _looked_up(fact: Fact, dimension: Dimension) -> Iterator[Composed]:
    """Yield queries of the keys of rows that need a new lookup of their version."""
    keys, at = _of_fact(fact), Identifier("f", fact.versions[dimension.name])
    selected = keys.of("f", Identifier("f", "date_key"))
    table = _mart(fact)
    yield SQL(
        "select {} from {} as f inner join {} as m on {} "
        "where f.date_key >= m.from_at::date - 2 and {} >= m.from_at"
    ).format(selected, table, _rekeyed(dimension), same_key("f", "m", [dimension.key]), at)
    yield SQL(
        "select {} from {} as f inner join {} as t on {} where {} = -1 and {} is not null"
    ).format(
        selected,
        table,
        Identifier(_of_dimension(dimension).table),
        same_key("f", "t", [dimension.member]),
        Identifier("f", dimension.key),
        at,
    )


def _dates_of_entities(fact: Fact) -> Composed:
    return SQL("select distinct e.{} as date_key from {} as t inner join {} as e on {}").format(
        Identifier(fact.date),
        Identifier(fact.affected_table),
        _entity(fact.entity),
        same_key("t", "e", fact.affected),
    )


def _set_dates(fact: Fact) -> Composed:
    """Store the days in a setting, which etl.affected_dates() reads when a statement is planned."""
    return SQL(
        "select set_config({}, coalesce(array_agg(p.date_key), '{{}}')::text, true) "
        "from fact_dates as p where p.fact = {}"
    ).format(Literal(f"etl.affected_dates_{fact.name}"), Literal(fact.name))
