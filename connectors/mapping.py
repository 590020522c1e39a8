"""A mapping against the catalog of the shop that it is about.

Nothing starts with a mapping that does not fit: errors name file, line, and the shop's own types.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import LiteralString

import psycopg

from connectors.shop_catalog import READABLE, CatalogRow, is_text, read_catalog
from lakehouse.choices import meant
from lakehouse.contracts import DECLARED
from lakehouse.contracts.described import accepted
from lakehouse.contracts.expressions import Expression, Op, misplaced_at
from lakehouse.contracts.keys import ALIASES
from lakehouse.contracts.mapping import MappedEntity, MappingFile, read_mapping_file
from lakehouse.contracts.model import Cleaning, Column, Type
from lakehouse.declarations import MisplacedError
from lakehouse.postgres import explaining
from lakehouse.trouble import Service

Catalog = Mapping[str, Sequence[CatalogRow]]
Values = Mapping[tuple[str, str], Sequence[str]]
"""All values that a column can have, by table and column, where the catalog tells them."""
_WHOLE = READABLE[Type.INTEGER]
_AS_TEXT = {*READABLE[Type.CENTS], "bool", "json", "jsonb"}
_VALUES: LiteralString = """
select
    c.relname::text as table_name,
    a.attname::text as column_name,
    array(select e.enumlabel::text from pg_enum as e where e.enumtypid = a.atttypid) as labels,
    pg_get_constraintdef(k.oid) as condition
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0
left join pg_constraint as k
    on c.oid = k.conrelid and k.contype = 'c' and k.conkey = array[a.attnum]
where c.relnamespace = 'public'::regnamespace and c.relname = any(%s)
order by 1, 2"""
_LITERAL = r"\(?(?:'(?:[^']|'')*'|-?\d+)(?:::[\w ]+)?(?:\)::[\w ]+)?"
_LISTED = re.compile(
    rf"CHECK \(\(\S+ = ANY \(\(?ARRAY\[({_LITERAL}(?:, {_LITERAL})*)\](?:\)::[\w ]+\[\])?\)\)\)"
)
"""A single comparison with a list. Of anything else, such as of two, the values are not known."""
_ITEM = re.compile(r"'((?:[^']|'')*)'|(-?\d+)")


def require_mapping_fits(dsn: str) -> Sequence[str]:
    """Refuse a mapping that does not fit the shop's catalog; without one, the shop is not asked.

    Args:
        dsn: any role of the shop's database.

    Returns:
        What the catalog cannot tell, and the shop has to.

    Raises:
        StopPipelineError: it does not fit; names file and line.
        RetryLaterError: the database does not answer.
    """
    found = read_mapping_file(DECLARED)
    if found is None:
        return []
    with (
        explaining(Service.SHOP, "The mapping cannot be checked against the shop's catalog"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        values = read_values(connection, found)
        faults = [*faults_of(found, read_catalog(connection), values)]
    if faults:
        raise found.refused(faults)
    return [*unknown_values(found, values)]


def read_values(connection: psycopg.Connection, found: MappingFile) -> Values:
    """Return what enumerations and checks say about the columns of the mapped tables."""
    values: dict[tuple[str, str], Sequence[str]] = {}
    tables = [entity.shop_table for entity in found.mapped]
    for table, column, labels, condition in connection.execute(_VALUES, [tables]):
        known = labels or values_of(condition or "")
        # Of several checks, none tells all.
        values[table, column] = [] if (table, column) in values and not labels else known
    return {place: known for place, known in values.items() if known}


def values_of(condition: str) -> Sequence[str]:
    """Return the values that a check admits, as Postgres writes it; none if that is not clear."""
    listed = _LISTED.fullmatch(condition)
    items = _ITEM.findall(re.sub(r"::[\w ]+", "", listed[1])) if listed else ()
    return [text.replace("''", "'") or number for text, number in items]


def unknown_values(found: MappingFile, values: Values) -> Iterator[str]:
    """Yield the columns with values of the contract's of which the catalog does not tell all."""
    for entity in found.mapped:
        for column, expression in zip(entity.columns, entity.expressions, strict=True):
            if column.cleaning is not Cleaning.CHOICE:
                continue
            for leaf in _undecided(expression):
                if (entity.shop_table, leaf.text) not in values:
                    fate = "counted as unknown" if column.counts_unknown else "quarantined"
                    yield (
                        f"The catalog does not tell all values of {entity.shop_table}.{leaf.text}: "
                        f"those without a result for {entity.table}.{column.name} are {fate}."
                    )


def _undecided(expression: Expression) -> Iterator[Expression]:
    """Yield the columns whose values have to be listed."""
    if expression.op is Op.CASE and expression.has_otherwise:
        yield from _undecided(expression.args[1])
    elif expression.op is Op.COLUMN:
        yield expression
    else:
        for one in expression.args:
            yield from _undecided(one)


def faults_of(found: MappingFile, catalog: Catalog, values: Values) -> Iterator[MisplacedError]:
    """Yield all that does not fit, but not what follows from another of these faults."""
    wrong_keys: set[str] = set()
    for entity in found.mapped:
        rows = catalog.get(entity.shop_table)
        if rows is None:
            name = entity.shop_table
            action = f"{meant([name], catalog)}Tables: {', '.join(catalog) or 'none'}."
            yield misplaced_at((entity.table, "table"), f"the shop has no table {name}", action)
            continue
        if fault := _key_fault(entity, rows):
            wrong_keys.add(entity.key)
            yield fault
    for entity in found.mapped:
        by_name = {row.column_name: row for row in catalog.get(entity.shop_table, ())}
        if not by_name:
            continue
        for column, expression in zip(entity.columns, entity.expressions, strict=True):
            # Of a key of the wrong type, columns that refer to it have the wrong type, too.
            if ALIASES.get(column.name, column.name) in wrong_keys:
                lacking = (leaf for leaf in expression.leaves() if leaf.text not in by_name)
                yield from (_lacks(leaf, entity.shop_table, by_name) for leaf in lacking)
            else:
                yield from faults_in(expression, entity.shop_table, by_name, values)


def _key_fault(entity: MappedEntity, rows: Sequence[CatalogRow]) -> MisplacedError | None:
    given = entity.key_columns[0]
    key = [row.column_name for row in rows if row.key_position is not None]
    row = {row.column_name: row for row in rows}.get(given.source)
    place = (entity.table, "columns", given.name)
    if row is None:
        return None
    if key != [given.source]:
        problem = f"rows of {entity.shop_table} are identified by {', '.join(key) or 'nothing'}"
        action = f"Write `{given.name}: {key[0]}`."
        if not key:
            action = f"Give {entity.shop_table} a primary key of one column."
        elif len(key) > 1:
            action = (
                f"An entity's key is one column: give {entity.shop_table} one that is a primary "
                "key, or make the entity absent (docs/MAPPING.md)."
            )
        return misplaced_at(place, f"{problem}, not by {given.source} alone", action)
    if given.type is Type.INTEGER and is_text(row):
        problem = f"{entity.shop_table}.{given.source} is {row.declared}, no whole number"
        return misplaced_at(place, problem, f"Write `key: text` beside `table` of {entity.table}.")
    return None


def faults_in(
    expression: Expression, table: str, rows: Mapping[str, CatalogRow],
    values: Values | None = None, parent: Op | None = None,
) -> Iterator[MisplacedError]:  # fmt: skip
    """Yield what does not fit of an expression over these columns of a table."""
    values = values or {}
    if expression.op is Op.COLUMN:
        name = expression.text
        if name not in rows:
            yield _lacks(expression, table, rows)
            return
        action = _hindrance(expression, rows[name], parent)
        if action:
            problem = f"{table}.{name} is {rows[name].declared}; {_needed(expression)}"
            yield misplaced_at(expression.place, problem, action)
            return
        yield from _unlisted(expression, (), values.get((table, name), ()))
    if expression.op is Op.CASE and expression.args[0].op is Op.COLUMN:
        of_column = values.get((table, expression.args[0].text), ())
        if expression.has_otherwise:
            of_column = ()
        yield from _unlisted(expression, [value for value, _ in expression.values], of_column)
    for one in expression.args:
        yield from faults_in(one, table, rows, values, expression.op)


def _lacks(leaf: Expression, table: str, rows: Mapping[str, CatalogRow]) -> MisplacedError:
    action = f"{meant([leaf.text], rows)}Columns: {', '.join(rows)}."
    return misplaced_at(leaf.place, f"{table} has no column {leaf.text!r}", action)


def _unlisted(
    expression: Expression, listed: Sequence[str], known: Sequence[str]
) -> Iterator[MisplacedError]:
    """Yield the values that the catalog knows, and that are none of the contract's."""
    target = expression.target
    if target.cleaning is not Cleaning.CHOICE:
        return
    valid = {value.casefold() for value in target.allowed_values}
    told = [value.rstrip(" ") for value in known]
    if left := [v for v in told if v not in listed and v.casefold() not in valid]:
        problem = (
            f"no {target.name} for {', '.join(map(repr, left))}, which the shop's column can be"
        )
        action = f"List them in `values` of a case, each with one of {_listed(target)}."
        yield misplaced_at(expression.place, problem, action)


def _listed(target: Column) -> str:
    return ", ".join(target.allowed_values)


def _needed(leaf: Expression) -> str:
    return f"{leaf.target.name} needs {accepted(leaf.target)}"


def _hindrance(leaf: Expression, row: CatalogRow, parent: Op | None) -> str:
    """Return what to do where a column cannot be read as its place in the mapping asks; else ""."""
    target, name = leaf.target, row.column_name
    is_readable = row.type_name in READABLE.get(target.type, ())
    if target.type is Type.TEXT:
        is_readable = is_text(row) or row.type_name in _AS_TEXT
    if target.type is Type.CENTS and row.type_name in _WHOLE and parent is not Op.MAJOR:
        return f"Write {{minor: {name}}} for hundredths, or {{major: {name}}} for whole units."
    if is_readable and not row.is_array:
        return ""
    types = sorted(READABLE.get(target.type, ()))
    return {
        (Type.TIMESTAMP, "timestamp"): f"Write {{local_time: {name}}}.",
        (Type.WALL_CLOCK, "timestamptz"): f"Write {name} without local_time.",
    }.get(
        (target.type, row.type_name),
        f"Name a column of type {' or '.join(types or ['text'])}, or write another expression.",
    )
