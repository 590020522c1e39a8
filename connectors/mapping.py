"""A mapping against the catalog of the shop that it is about.

Nothing starts with a mapping that does not fit: errors name file, line, and the shop's own types.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import LiteralString

import phonenumbers
import psycopg

from connectors.shop_catalog import READABLE, CatalogRow, is_text, read_catalog
from lakehouse.choices import meant
from lakehouse.cleaning import spelling
from lakehouse.contracts import DECLARED
from lakehouse.contracts.described import accepted
from lakehouse.contracts.expressions import Expression, Op, Place, is_number_of, misplaced_at
from lakehouse.contracts.keys import ALIASES
from lakehouse.contracts.mapping import MappedEntity, MappingFile, read_mapping_file
from lakehouse.contracts.model import UNKNOWN, Cleaning, Column, Type
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
    case
        when a.atttypid = 'bool'::regtype then array['true', 'false']
        else array(select e.enumlabel::text from pg_enum as e where e.enumtypid = a.atttypid)
    end as labels,
    pg_get_constraintdef(k.oid) as condition
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0
left join pg_constraint as k
    on c.oid = k.conrelid and k.contype = 'c' and k.conkey = array[a.attnum]
where c.relnamespace = 'public'::regnamespace and c.relname = any(%s)
order by 1, 2"""
_LITERAL = r"\(?(?:'(?:[^']|'')*'|-?\d+)(?:::[\w ]+)?(?:\)::[\w ]+)?"
_NAMED = r"(\w+|\"(?:[^\"]|\"\")+\")"
_LISTED = re.compile(
    rf"CHECK \(\((?:{_NAMED}|\({_NAMED}\)::text) = ANY "
    rf"\(\(?ARRAY\[({_LITERAL}(?:, {_LITERAL})*)\](?:\)::[\w ]+\[\])?\)\)\)"
)
"""A single comparison with a list. Of anything else, such as of two, the values are not known."""
_BOUND = r"(?:(\d+)|'(-?\d+)'::(?:smallint|integer|bigint))"
"""As a whole number is compared: one of another type is cast, too, but has no cast to these."""
_BETWEEN = re.compile(rf"CHECK \(\(\({_NAMED} (>=?) {_BOUND}\) AND \(\1 (<=?) {_BOUND}\)\)\)")
_MOST_BETWEEN = 100
"""Most whole numbers of a range that somebody would list."""
_ITEM = re.compile(r"'((?:[^']|'')*)'|(-?\d+)")


def require_mapping_fits(dsn: str) -> Sequence[str]:
    """Refuse a mapping that does not fit the shop's catalog; without one, the shop is not asked.

    Args:
        dsn: any role of the shop's database.

    Returns:
        What the catalog cannot tell, and the shop has to; and what is probably not meant.

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
    return [*unknown_values(found, values), *doubtful_rates(found)]


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
    if between := _BETWEEN.fullmatch(condition):
        _, above, *least, below, plain, quoted = between.groups()
        first = int(least[0] or least[1]) + (above == ">")
        end = int(plain or quoted) + (below == "<=")
        return [str(one) for one in range(first, end)] if end - first <= _MOST_BETWEEN else []
    listed = _LISTED.fullmatch(condition)
    items = _ITEM.findall(re.sub(r"::[\w ]+", "", listed[3])) if listed else ()
    return [text.replace("''", "'") or number for text, number in items]


def unknown_values(found: MappingFile, values: Values) -> Iterator[str]:
    """Yield the columns whose values need a result, and of which the catalog does not tell all."""
    for entity in found.mapped:
        for column, expression in zip(entity.columns, entity.expressions, strict=True):
            fate = "counted as unknown" if column.counts_unknown else "quarantined"
            if column.cleaning is not Cleaning.CHOICE:
                fate = "read as they are, or quarantined"
            for name in dict.fromkeys(leaf.text for leaf in _undecided(expression)):
                if (entity.shop_table, name) not in values:
                    yield (
                        f"The catalog does not tell all values of {entity.shop_table}.{name}: "
                        f"those without a result for {entity.table}.{column.name} are {fate}."
                    )


def _undecided(expression: Expression) -> Iterator[Expression]:
    """Yield the columns whose values have to be listed, wherever they stand in an expression."""
    target = expression.target
    is_choice = target.cleaning is Cleaning.CHOICE
    if is_choice or (expression.op is Op.CASE and target.type is not Type.TEXT):
        yield from _passing(expression)
        return
    for one in expression.args:
        yield from _undecided(one)


def _passing(expression: Expression) -> Iterator[Expression]:
    """Yield the columns of which a text may stay as it is."""
    if expression.op is Op.COLUMN:
        if expression.target.type is Type.TEXT:
            yield expression
    elif expression.op is Op.CASE and expression.has_otherwise:
        yield from _passing(expression.args[1])
    else:
        for one in expression.args:
            yield from _passing(one)


def doubtful_rates(found: MappingFile) -> Iterator[str]:
    """Yield tax rates in percent that look like fractions."""
    for entity in found.mapped:
        for column, expression in zip(entity.columns, entity.expressions, strict=True):
            for rate in _percents(expression):
                if 0 < Decimal(rate) < 1:
                    yield (
                        f"{entity.table}.{column.name}: tax_percent {rate} is {rate} percent. Of a "
                        "fraction, write tax_rate."
                    )


def _percents(expression: Expression) -> Iterator[str]:
    """Yield the constants among the tax rates in percent of an expression."""
    if expression.target.name == "tax_percent":
        yield from (result for _, result in expression.values)
        if expression.op is Op.CONSTANT:
            yield expression.text
    for one in expression.args:
        yield from _percents(one)


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
        yield from _column_faults(expression, table, rows, values, parent)
        return
    known = _known(expression.args[0], table, values) if expression.op is Op.CASE else ()
    yield from _result_faults(expression, known)
    for one in expression.args:
        yield from faults_in(one, table, rows, values, expression.op)


def _lacks(leaf: Expression, table: str, rows: Mapping[str, CatalogRow]) -> MisplacedError:
    action = f"{meant([leaf.text], rows)}Columns: {', '.join(rows)}."
    return misplaced_at(leaf.place, f"{table} has no column {leaf.text!r}", action)


def _column_faults(
    leaf: Expression, table: str, rows: Mapping[str, CatalogRow], values: Values, parent: Op | None
) -> Iterator[MisplacedError]:
    name = leaf.text
    if name not in rows:
        yield _lacks(leaf, table, rows)
    elif action := _hindrance(leaf, rows[name], parent):
        problem = f"{table}.{name} is {rows[name].declared}; {_needed(leaf)}"
        yield misplaced_at(leaf.place, problem, action)
    elif leaf.target.type is Type.TEXT:
        # A number beyond the contract's limits is a matter of rows, not of words.
        yield from _unlisted(leaf, values.get((table, name), ()))


def _result_faults(expression: Expression, known: Sequence[str]) -> Iterator[MisplacedError]:
    """Yield what is wrong with constants, and with the values that a case can be asked for."""
    if expression.op is Op.CONSTANT:
        yield from _invalid(expression.text, expression, (*expression.place, expression.op.value))
    for value, result in expression.values:
        yield from _invalid(result, expression, (*expression.place, "values", value))
    if not expression.has_otherwise:
        listed = dict(expression.values)
        yield from _unlisted(expression, [value for value in known if value not in listed])


def _known(expression: Expression, table: str, values: Values) -> Sequence[str]:
    """Return the texts that an expression can be, as far as the catalog tells."""
    if expression.op is Op.COLUMN:
        # Spaces at the end do not count.
        return [one.rstrip(" ") for one in values.get((table, expression.text), ())]
    if expression.op is Op.CONSTANT:
        return [expression.text]
    if expression.op not in (Op.CASE, Op.COALESCE):
        return ()
    of_args = [_known(one, table, values) for one in expression.args]
    if expression.op is Op.CASE:
        results = dict(expression.values)
        of_args[0] = [
            results.get(one, one)
            for one in of_args[0]
            if one in results or not expression.has_otherwise
        ]
    return list(dict.fromkeys(one for known in of_args for one in known))


def _unlisted(expression: Expression, known: Sequence[str]) -> Iterator[MisplacedError]:
    """Yield the values that the catalog knows, and that are none of the contract's."""
    target = expression.target
    if left := [one for one in known if not _can_be(one.rstrip(" "), target)]:
        shown = ", ".join(repr(one.rstrip(" ")) for one in left)
        problem = f"no {target.name} for {shown}, which the shop's column can be"
        action = f"List them in `values` of a case, each with {accepted(target)}."
        yield misplaced_at(expression.place, problem, action)


def _invalid(text: str, expression: Expression, place: Place) -> Iterator[MisplacedError]:
    """Yield that cleaning does not accept a constant."""
    target = expression.target
    if target.type is Type.DATE:
        day = date(1970, 1, 1) + timedelta(days=int(text))
        # Where the shop is, it may be tomorrow already.
        is_valid = not target.not_in_future or day <= datetime.now(UTC).date() + timedelta(days=1)
        text = str(day)
    else:
        is_valid = _can_be(text, target)
    if not is_valid:
        problem = f"{text!r} cannot be the {target.name}"
        yield misplaced_at(place, problem, f"{_needed(expression)}.")


def _can_be(text: str, target: Column) -> bool:
    """Return whether cleaning accepts a text as a value of a column."""
    if target.type is Type.BOOLEAN:
        return text in ("true", "false")
    if target.type is not Type.TEXT:
        return is_number_of(text, target)
    if target.cleaning is Cleaning.CHOICE:
        return spelling.choice(text, target.allowed_values) is not None
    clean = _CLEANED.get(target.cleaning)
    # Of what counts as unknown, that word alone is meant so.
    is_unknown = target.counts_unknown and text == UNKNOWN
    return clean is None or is_unknown or clean(text) is not None


def _phone(text: str) -> str | None:
    """Return a number that is one of any country's: the row's is not known."""
    regions = (None, *sorted(phonenumbers.SUPPORTED_REGIONS))
    return next(filter(None, (spelling.phone(text, one) for one in regions)), None)


_CLEANED: Mapping[Cleaning, Callable[[str], str | None]] = {
    Cleaning.COUNTRY: spelling.country,
    Cleaning.CURRENCY: spelling.currency,
    Cleaning.EMAIL: spelling.email,
    Cleaning.PHONE: _phone,
}


def _needed(leaf: Expression) -> str:
    return f"{leaf.target.name} needs {accepted(leaf.target)}"


def _hindrance(leaf: Expression, row: CatalogRow, parent: Op | None) -> str:
    """Return what to do where a column cannot be read as its place in the mapping asks; else ""."""
    target, name = leaf.target, row.column_name
    is_readable = row.type_name in READABLE.get(target.type, ())
    if target.type is Type.TEXT:
        if target.cleaning in _CLEANED:
            is_phone = target.cleaning is Cleaning.PHONE and row.type_name in _WHOLE
            is_readable = (is_text(row) and row.type_name != "uuid") or is_phone
        else:
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
