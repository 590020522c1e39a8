"""SQL of the schemas `entity`, `live` and `resolved`, generated from the contracts.

Statements are idempotent: a warehouse gets the tables, columns and indexes that it lacks. A column
that is added to a table with rows is null in them until silver's rows are loaded again.
"""

from collections.abc import Iterable, Mapping, Sequence

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from batch.warehouse.entities import POSTGRES_TYPES, EntityTable, is_required
from lakehouse.contracts import Entity
from lakehouse.contracts.model import UNKNOWN

_COORDINATE_TYPES = {
    "_topic_id": "text",
    "_epoch": "integer",
    "_partition": "integer",
    "_offset": "bigint",
}
_VALIDITY_TYPES = dict.fromkeys(("valid_from_at", "valid_to_at"), "timestamp with time zone")
_LIVE_TYPES = {"_is_deleted": "boolean"}
_LIVE_HISTORY_TYPES = {"_is_first": "boolean"}
"""Whether it is the first version of its key, which is valid from -infinity."""
_ALWAYS = {*_COORDINATE_TYPES, "valid_from_at", *_LIVE_TYPES}
_LINE = ",\n    "


def entity_sql(table: EntityTable) -> bytes:
    """Return the statements that make a table of `entity`, and what live has for it.

    They need `warehouse_sql/entity/functions.sql`.
    """
    statements = [*_entity(table), *(_live(table) if table.is_live else ())]
    return b"\n".join(statement.as_bytes() + b";" for statement in statements) + b"\n"


def counts_as_unknown(entity: Entity) -> Composed:
    """Return the condition that a row counts under `UNKNOWN` in some column."""
    return SQL(" or ").join(
        SQL("{} = {}").format(Identifier(column.name), Literal(UNKNOWN))
        for column in entity.counting_unknown
    )


def _entity(table: EntityTable) -> Iterable[Composable]:
    entity, target = table.entity, Identifier("entity", table.name)
    required = {*table.key, *(f.name for f in entity.fields if is_required(f, entity)), *_ALWAYS}
    yield _table(target, _types(table), required, table.key)
    yield SQL(
        "insert into etl.entity_table (name, entity, key, is_live) values ({}) "
        "on conflict (name) do update set (entity, key, is_live) "
        "= row(excluded.entity, excluded.key, excluded.is_live)"
    ).format(
        SQL(", ").join(map(Literal, (table.name, entity.table, list(table.key), table.is_live)))
    )
    if table.is_history:
        return
    for columns in entity.indexed:
        yield _index(target, table.name, columns)
    if entity.counting_unknown:
        names = [column.name for column in entity.counting_unknown]
        # Whether there are such rows is asked after each load.
        yield SQL("create index if not exists {} on {} ({})\nwhere {}").format(
            Identifier("_".join((table.name, "unknown", *names, "idx"))),
            target,
            Identifier(entity.key),
            counts_as_unknown(entity),
        )


def _live(table: EntityTable) -> Iterable[Composable]:
    target = Identifier("live", table.name)
    # A deleted row has nothing but its key and its coordinate.
    types = _types(table) | _LIVE_TYPES | (_LIVE_HISTORY_TYPES if table.is_history else {})
    yield _table(target, types, {*table.key, *_ALWAYS}, table.key)
    if not table.is_history:
        for columns in (*table.entity.indexed, *table.entity.indexed_live):
            yield _index(target, table.name, columns)
    yield SQL("select etl.make_live_views({})").format(Literal(table.name))
    yield SQL("select etl.make_live_functions({})").format(Literal(table.name))


def _types(table: EntityTable) -> dict[str, str]:
    fields = {field.name: POSTGRES_TYPES[field.type] for field in table.entity.fields}
    return fields | _COORDINATE_TYPES | (_VALIDITY_TYPES if table.is_history else {})


def _table(
    target: Identifier, types: Mapping[str, str], required: set[str], key: Sequence[str]
) -> Composed:
    columns: list[Composable] = [
        SQL("{} {}{}").format(
            Identifier(name), SQL(kind), SQL(" not null" if name in required else "")
        )
        for name, kind in types.items()
    ]
    columns.append(SQL("primary key ({})").format(SQL(", ").join(map(Identifier, key))))
    return SQL("select etl.make_table({}, {})").format(
        Literal(target.as_string()), Literal("\n    " + SQL(_LINE).join(columns).as_string() + "\n")
    )


def _index(target: Identifier, table: str, columns: Sequence[str]) -> Composed:
    return SQL("create index if not exists {} on {} ({})").format(
        Identifier("_".join((table, *columns, "idx"))),
        target,
        SQL(", ").join(map(Identifier, columns)),
    )
