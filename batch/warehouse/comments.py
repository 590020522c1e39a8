"""Comments on the warehouse's tables and columns, from the contracts and the metric dictionary.

Tables of the mart, and their columns without a description there or with another one, are described
by the `schema.yaml` of their folder; those of `etl` and `live` by one of the schema.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

import psycopg
from psycopg import sql
from pydantic import StringConstraints, TypeAdapter

from batch.warehouse import scripts
from batch.warehouse.entities import LIVE_COLUMNS, TABLES, EntityTable
from batch.warehouse.marts import Table, View, mart
from lakehouse.contracts import ENTITIES, Column, Derived
from lakehouse.contracts.metrics import BY_NAME
from lakehouse.declarations import Declaration, read_declaration

_COORDINATE = {
    "_topic_id": "Kafka topic of the change that wrote the row, by id.",
    "_epoch": "Epoch of that topic: a new one begins when it is recreated or repartitioned.",
    "_partition": "Partition of that topic.",
    "_offset": "Offset in that partition.",
    "valid_from_at": "Start of validity, inclusive.",
    "valid_to_at": "End of validity, exclusive; null for the current version.",
    "_is_deleted": "Whether the row was deleted: then only key and coordinate are set.",
    "_is_first": "Whether it is the first version of its key, which is valid from -infinity.",
}
_SALES = "live_sales"
"""The view of the mart whose columns the table `live.sales` has."""
_BY_NAME = {table.name: table for table in TABLES}
_KINDS = {kind: sql.SQL(kind) for kind in ("table", "view", "materialized view")}
_COLUMNS = """
select
    c.relnamespace::regnamespace::text,
    c.relname,
    a.attname
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid
where
    c.relnamespace in ('mart'::regnamespace, 'live'::regnamespace, 'resolved'::regnamespace)
    and c.relkind in ('r', 'p', 'm', 'v')
    and not c.relispartition
    and a.attnum > 0
    and not a.attisdropped
order by c.relnamespace, c.relname, a.attnum"""


def comments(connection: psycopg.Connection) -> bytes:
    """Build comments on all existing tables and columns. Equal tables result in equal text.

    Raises:
        StopPipelineError: a `schema.yaml` is wrong.
    """
    columns = connection.execute(_COLUMNS).fetchall()
    statements = [
        *(one for table in TABLES for one in table_comments(table)),
        *(one for column in columns for one in _column_comment(*column)),
        *(one for table in mart().described.values() for one in _mart_comments(table, columns)),
        *_own_comments(),
    ]
    return b"\n".join(statement.as_bytes(connection) for statement in statements)


def table_comments(table: EntityTable) -> Iterator[sql.Composed]:
    """Yield the comments on a table of `entity` and its columns, and on what live has for it."""
    yield from _entity_comments(table)
    yield from _live_comments(table)


def describe(table: str, column: str) -> str | None:
    """Return the description of a mart's column: its own, a metric's or a contract's, if any."""
    declared = mart().described.get(table)
    if declared is not None and column in declared.columns:
        return declared.columns[column].comment
    metric = BY_NAME.get(column)
    if metric is not None:
        return f"{metric.title}: {metric.formula}. In {metric.unit}."
    for source in (declared and declared.described_by) or ENTITIES:
        for field in ENTITIES[source].fields:
            if field.name == column:
                return _words(field)
    return _COORDINATE.get(column)


def entity_comment(table: EntityTable, column: str) -> str:
    """Return the comment on a column of the schema `entity`."""
    for field in table.entity.fields:
        if field.name == column:
            return _words(field)
    return _COORDINATE[column]


def table_comment(table: EntityTable) -> str:
    """Return the comment on a table of the schema `entity`."""
    versions = " and version of it" if table.is_history else ""
    return f"{table.entity.grain.capitalize()}{versions}; from silver's {table.silver}."


def _words(field: Column | Derived) -> str:
    unit = field.unit if isinstance(field, Column) else None
    return f"{field.description} In {unit}." if unit else field.description


def _entity_comments(table: EntityTable) -> Iterator[sql.Composed]:
    yield _relation("table", "entity", table.name, table_comment(table))
    for column in table.columns:
        yield _column("entity", table.name, column, entity_comment(table, column))


def _live_comments(table: EntityTable) -> Iterator[sql.Composed]:
    if not table.is_live:
        return
    name = table.name
    counts = f"As entity.{name}, for recent changes. A row counts until the warehouse has applied"
    beyond = f"Rows of live.{name} that the warehouse has not applied yet."
    yield _relation("table", "live", name, f"{counts} its change.")
    yield _relation("view", "live", f"beyond_{name}", beyond)
    if not table.is_history:
        now = f"As entity.{name}, as of now: rows of live take precedence over the warehouse."
        yield _relation("view", "resolved", name, now)


def _mart_comments(
    table: Table | View, columns: Iterable[tuple[str, ...]]
) -> Iterator[sql.Composed]:
    kind = table.kind if isinstance(table, View) else "table"
    yield _relation(kind, "mart", table.name, table.grain)
    existing = {column for schema, of, column in columns if (schema, of) == ("mart", table.name)}
    for column, meaning in table.columns.items():
        if column not in existing:
            # Postgres refuses it and names both, unless this very migration creates the column.
            yield _column("mart", table.name, column, meaning.comment)


class _Own(Declaration):
    grain: str
    columns: Mapping[str, str] = {}


_OWN = TypeAdapter(
    Mapping[Annotated[str, StringConstraints(pattern=r"^[a-z]+\.[a-z0-9_]+$")], _Own]
)


def _own_comments() -> Iterator[sql.Composed]:
    """Yield the comments on tables that are neither of the mart nor made from a contract."""
    for file in sorted(scripts.FOLDER.glob("*/schema.yaml")):
        for name, table in read_declaration(file, _OWN).items():
            schema, _, bare = name.partition(".")
            yield _relation("table", schema, bare, table.grain)
            for column, text in table.columns.items():
                yield _column(schema, bare, column, text)


def _column_comment(schema: str, table: str, column: str) -> Iterator[sql.Composed]:
    own = _BY_NAME.get(table.removeprefix("beyond_")) if schema != "mart" else None
    if own is not None and column in own.columns + LIVE_COLUMNS:
        yield _column(schema, table, column, entity_comment(own, column))
        return
    text = describe(_SALES if table == "sales" else table, column)
    if text is not None:
        yield _column(schema, table, column, text)


def _column(schema: str, table: str, column: str, text: str) -> sql.Composed:
    statement = sql.SQL("comment on column {} is {};")
    return statement.format(sql.Identifier(schema, table, column), sql.Literal(text))


def _relation(kind: str, schema: str, name: str, text: str) -> sql.Composed:
    statement = sql.SQL("comment on {} {} is {};")
    return statement.format(_KINDS[kind], sql.Identifier(schema, name), sql.Literal(text))
