"""The SQL that makes, loads and describes one table of the warehouse, to be read by people."""

from batch.warehouse.comments import table_comments
from batch.warehouse.entities import TABLES
from batch.warehouse.entity_schema import entity_sql
from batch.warehouse.scripts import FOLDER, scripts
from lakehouse.choices import refuse_unknown

_FOLDERS = ("mart", "views")


def sql_of(name: str) -> str:
    """Return the SQL of a table.

    Args:
        name: of a table of the shop or of `entity`, for what is generated from its contract; or of
            a table or view of `mart`, for its files.

    Raises:
        StopPipelineError: there is no such table.
    """
    schema, _, bare = name.rpartition(".")
    parts = []
    if schema in {"", "public", "entity", "live", "resolved"}:
        for table in TABLES:
            if bare in {table.name, table.entity.table}:
                parts += [f"-- {table.entity.grain}", entity_sql(table).decode()]
                parts += [statement.as_string() for statement in table_comments(table)]
    if schema in {"", "mart"}:
        for folder in _FOLDERS:
            for file, text in scripts(f"{folder}/{bare}/*.sql"):
                parts += [f"-- warehouse_sql/{file}", text.decode()]
    if not parts:
        refuse_unknown("table", [name], _names())
    return "\n".join(parts)


def _names() -> list[str]:
    marts = {path.name for folder in _FOLDERS for path in (FOLDER / folder).iterdir()}
    return sorted({table.entity.table for table in TABLES} | {f"mart.{name}" for name in marts})
