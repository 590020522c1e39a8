"""Arrow schemas of silver and gold, from the contracts."""

import pyarrow as pa

from lakehouse.contracts.gold import GoldTable
from lakehouse.contracts.model import Column, Derived, Entity, Type

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
    Type.FLOAT: pa.float64(),
    Type.WALL_CLOCK: pa.timestamp("us"),
    Type.TIME: pa.string(),
    Type.BYTES: pa.binary(),
    Type.OPAQUE: pa.string(),
}
COORDINATE = ("_topic_id", "_epoch", "_partition", "_offset")
"""The coordinate of the change that wrote a row. Order within a key is (`_epoch`, `_offset`)."""
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
"""Columns of every silver row: coordinate and shop transaction of its change.

A row with `_deleted_at` is a tombstone of a deleted key: all columns but key and coordinate are
null, and readers skip it. `_extra` is a JSON object with what the contract does not know: columns,
and values that were replaced by `UNKNOWN`.
"""
VALIDITY = pa.schema([("valid_from_at", TIMESTAMP), ("valid_to_at", TIMESTAMP)])
"""Validity of a history row: from (inclusive), to (exclusive; null for the current version)."""
QUARANTINE = "quarantine"
"""Silver table of quarantined changes. Grain: one row per change."""
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
"""`rule` is the first broken rule, `all_rules` has all; `key`, `value` are as in Kafka."""
CONTRACTS = "contracts"
"""Silver table of derived contracts. Grain: one row per shop table without one of its own."""
CONTRACTS_SCHEMA = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        ("silver", pa.string()),
        ("contract", pa.string()),
        ("note", pa.string()),
    ]
)
"""`contract` is JSON; null for a table that silver leaves out, with the reason in `note`."""
RULE_COUNTS = "rule_counts"
"""Silver table of rule counts. Grain: one row per run, entity, batch, outcome and rule.

A run applies as many batches as it needs, and in the hourly run each entity has a run of its own:
add up the rows.
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
"""`outcome` is seen, cleaned, unknown or quarantined; for `seen`, `rule` is empty."""


def arrow_type(column: Column | Derived) -> pa.DataType:
    """Return the type of a column of silver."""
    if not isinstance(column, Column):
        return _ARROW[column.type]
    is_decimal = column.type is Type.DECIMAL
    kind = pa.decimal128(column.precision, column.scale) if is_decimal else _ARROW[column.type]
    return pa.list_(kind) if column.is_list else kind


def silver_schema(entity: Entity) -> pa.Schema:
    """Return the schema of the table with current rows. Grain: one row per key ever seen."""
    columns = [
        pa.field(column.name, arrow_type(column), nullable=column.name != entity.key)
        for column in entity.fields
    ]
    return pa.schema([*columns, *SILVER_META])


def history_schema(entity: Entity) -> pa.Schema:
    """Return the schema of the history. Grain: one row per valid change, including deletes."""
    return pa.schema([*silver_schema(entity), *VALIDITY])


def gold_schema(table: GoldTable) -> pa.Schema:
    """Return the schema of a gold table."""
    return pa.schema([
        pa.field(column.name, arrow_type(column), nullable=not column.required)
        for column in table.columns
    ])  # fmt: skip
