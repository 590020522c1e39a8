"""Types of keys: a key, and each column of its name elsewhere, has the type that its contract says.

Keys are integers or texts. A uuid is a text, in the canonical lower-case form in which Debezium
writes it; texts are ordered by their bytes, in every layer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lakehouse.contracts.model import MOST_KEY_BYTES, Column, Entity, Type

KEY_TYPES = (Type.INTEGER, Type.TEXT)
ALIASES = {"supplier_key": "supplier_id", "similar_product_id": "product_id"}
"""Other names of columns with keys, by which they are known where both stand in one table."""

TO_CHANGE_KEYS = (
    "Undo it: `key` in mapping.yaml. Or begin another lake and warehouse: set MINIO_BUCKET_PREFIX "
    "and WAREHOUSE_DATABASE to new names, then ./pipeline up and ./pipeline extract --full. If "
    "nothing in them is needed: ./pipeline reset, which deletes a shop of this stack, too."
)
"""What to do where tables were made while keys had other types: those of their columns stay."""


def key_types(entities: Iterable[Entity]) -> dict[str, Type]:
    """Return the type of each key, by the name of its column."""
    return {entity.key: field.type for entity in entities for field in entity.fields
            if field.name == entity.key}  # fmt: skip


def with_key_types(entities: Mapping[str, Entity], types: Mapping[str, Type]) -> dict[str, Entity]:
    """Return contracts in which the keys of tables, and what refers to them, have other types.

    Args:
        entities: contracts by table.
        types: of the keys that have another type, by table.
    """
    wanted = key_types(entities.values())
    wanted |= {entities[table].key: kind for table, kind in types.items()}
    return {
        table: replace(entity, columns=tuple(of_key_type(one, wanted) for one in entity.columns))
        for table, entity in entities.items()
    }


def of_key_type(column: Column, types: Mapping[str, Type]) -> Column:
    """Return a column with the type of the key of its name, if there is one."""
    kind = types.get(ALIASES.get(column.name, column.name), column.type)
    if kind is column.type:
        return column
    return replace(column, type=kind, most_bytes=MOST_KEY_BYTES if kind is Type.TEXT else None)
