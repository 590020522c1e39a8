"""Names of bronze tables."""

from lakehouse.contracts import ENTITIES
from lakehouse.errors import StopPipelineError

RAW_NAMES = {entity.table: entity.bronze for entity in ENTITIES.values()}
"""Bronze tables of tables with a contract, by the shop's table.

A shop table named like one of these values without `raw_`, such as `users`, is stored as
`raw_public.users`, which is unique because no captured table has a dot in its name.
"""


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
    plain = f"raw_{table}"
    is_taken = table not in RAW_NAMES and plain in RAW_NAMES.values()
    return RAW_NAMES.get(table, f"raw_public.{table}" if is_taken else plain)
