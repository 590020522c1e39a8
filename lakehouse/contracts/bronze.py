"""Names of bronze tables, and of the entities whose changes they have."""

from lakehouse.contracts import DECLARED, ENTITIES
from lakehouse.contracts.mapping import bronze_of
from lakehouse.errors import StopPipelineError

RAW_NAMES = {one.shop_table: one.bronze for one in ENTITIES.values() if not one.is_absent}
"""Bronze tables of tables with a contract, by the shop's table.

A shop table named like the bronze of one of ours without `raw_`, such as `users`, is stored as
`raw_public.users`, which is unique because no captured table has a dot in its name.
"""

_ENTITY_NAMES = {one.shop_table: one.table for one in ENTITIES.values() if not one.is_absent}


def entity_name(shop_table: str) -> str:
    """Return the name of a shop table's entity: of one without a contract, that of the table.

    A mapping may leave out a table that is named like an entity, whose changes it has not.
    """
    other = f"public.{shop_table}" if shop_table in ENTITIES else shop_table
    return _ENTITY_NAMES.get(shop_table, other)


def bronze_table(topic: str) -> str:
    """Return the name of the bronze table for a topic `<prefix>.<schema>.<table>`.

    Raises:
        StopPipelineError: the topic's name has another form.
    """
    parts = topic.rsplit(".", 2)
    if len(parts) != 3 or not all(parts):
        problem = f"topic {topic!r} is not named <prefix>.<schema>.<table>"
        raise StopPipelineError(problem, "Land only topics that the Debezium connector writes.")
    return bronze_name(parts[2])


def bronze_name(table: str) -> str:
    """Return the name of the bronze table for a shop table."""
    return bronze_of(table, DECLARED)
