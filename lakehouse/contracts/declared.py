"""Contracts in YAML: one file per table of the shop, named after it.

A file has the fields of `Entity`, and two keys besides: `has_row_times` stands for the columns
`row_times()`, `day` for `day_and_month()`. A limit may be given by its name in
`lakehouse.contracts.model`.
"""

import ast
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, TypeAdapter

from lakehouse.contracts import model
from lakehouse.contracts.model import Entity, day_and_month, row_times
from lakehouse.declarations import read_declaration

FOLDER = Path(__file__).resolve().with_name("shop")
_LIMITS = ("MOST_CENTS", "MOST_FOREIGN_CENTS", "MOST_KEY_BYTES")
_LIMITED = ("minimum", "maximum", "maximum_in_base", "most_bytes")


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """Return a declaration with what its additional keys stand for."""
    columns = [_limited(column) for column in given.get("columns", ())]
    times = row_times() if given.pop("has_row_times", False) else ()
    day = given.pop("day", None)
    days = day_and_month(day["of"].removesuffix("_at"), day["description"]) if day else ()
    return {**given, "columns": (*columns, *times), "derived": (*days, *given.get("derived", ()))}


def _limited(column: dict[str, Any]) -> dict[str, Any]:
    return {
        key: getattr(model, value) if key in _LIMITED and value in _LIMITS else value
        for key, value in column.items()
    }


def _checked(entity: Entity) -> Entity:
    for rule in entity.rules:
        named = {node.id for node in ast.walk(rule.parsed()) if isinstance(node, ast.Name)}
        if unknown := sorted(named.difference(entity.names)):
            message = f"rule {rule.name}: {entity.table} has no column {', '.join(unknown)}"
            raise ValueError(message)
    return entity


CONTRACT: TypeAdapter[Entity] = TypeAdapter(
    Annotated[Entity, BeforeValidator(_whole), AfterValidator(_checked)]
)


def read_contracts(folder: Path = FOLDER) -> dict[str, Entity]:
    """Read the contracts of a folder, by table, in alphabetical order.

    Raises:
        StopPipelineError: a file declares no contract; names file and line.
    """
    files = sorted(folder.glob("*.yaml"))
    return {file.stem: read_declaration(file, CONTRACT, table=file.stem) for file in files}
