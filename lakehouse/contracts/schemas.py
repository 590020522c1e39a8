"""Arrow schemas of silver and gold, from the contracts."""

import pyarrow as pa

from lakehouse.contracts.gold import GoldTable
from lakehouse.contracts.model import Entity, Type

TIMESTAMP = pa.timestamp("us", tz="UTC")
_ARROW = {
    Type.TEXT: pa.string(),
    Type.INTEGER: pa.int64(),
    Type.CENTS: pa.int64(),
    Type.RATE: pa.int64(),
    Type.DEGREES: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
    Type.TIMESTAMP: TIMESTAMP,
    Type.DATE: pa.date32(),
}
COORDINATE = ("_topic_id", "_epoch", "_partition", "_offset")
"""Which change wrote a row. Order within a key is (`_epoch`, `_offset`)."""
SILVER_META = pa.schema(
    [
        ("_topic_id", pa.string()),
        ("_epoch", pa.int32()),
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_lsn", pa.int64()),
        ("_tx_id", pa.int64()),
        ("_committed_at", TIMESTAMP),
        ("_deleted_at", TIMESTAMP),
        ("_extra", pa.string()),
    ]
)
"""Of every silver row: its change's coordinate, and the transaction in the shop that made it.

A row with `_deleted_at` stands for a key that is gone: all else but key and coordinate is null,
and readers leave it out. `_extra` holds, as a JSON object, what the contract does not know:
columns, and values that count as unknown in columns that it knows.
"""
VALIDITY = pa.schema([("valid_from_at", TIMESTAMP), ("valid_to_at", TIMESTAMP)])
"""Of a history row: from (inclusive) and to (exclusive; null while it lasts)."""
QUARANTINE = "quarantine"
"""Silver table of changes that no rule could mend. Grain: one row per change."""
QUARANTINE_SCHEMA = pa.schema(
    [
        ("entity", pa.string()),
        ("row_key", pa.string()),
        ("rule", pa.string()),
        ("all_rules", pa.string()),
        ("_topic_id", pa.string()),
        ("_epoch", pa.int32()),
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_timestamp", TIMESTAMP),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)
"""`rule` is the first that it broke, `all_rules` all of them; `key`, `value` as Kafka had them."""
RULE_COUNTS = "rule_counts"
"""Silver table of what the rules did. Grain: one row per run, entity, batch, outcome and rule.

A run applies as many batches as it needs, and in the hourly run each entity is a run of its own:
sum up.
"""
RULE_COUNTS_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("entity", pa.string()),
        ("outcome", pa.string()),
        ("rule", pa.string()),
        ("changes", pa.int64()),
    ]
)
"""`outcome` is seen, cleaned, unknown or quarantined; of `seen`, `rule` is empty."""


def silver_schema(entity: Entity) -> pa.Schema:
    """Of the table with the current rows. Grain: one row per key that ever was."""
    columns = [
        pa.field(column.name, _ARROW[column.type], nullable=column.name != entity.key)
        for column in entity.fields
    ]
    return pa.schema([*columns, *SILVER_META])


def history_schema(entity: Entity) -> pa.Schema:
    """Of the table with all versions. Grain: one row per valid change, deletes included."""
    return pa.schema([*silver_schema(entity), *VALIDITY])


def gold_schema(table: GoldTable) -> pa.Schema:
    """Of a gold table."""
    return pa.schema([
        pa.field(column.name, _ARROW[column.type], nullable=not column.required)
        for column in table.columns
    ])  # fmt: skip
