"""Reads bronze's records: Debezium's JSON into columns, no more of it than a question needs."""

import io
from collections.abc import Mapping, Sequence

import orjson
import polars as pl

from batch.reconcile.tables import Column, SourceTable, key_text
from batch.reconcile.visibility import Visibility
from lakehouse.errors import StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA

READ_COLUMNS = ("key", "value", "_topic_id", "_epoch", "_partition", "_offset", "_headers")
"""What is read of a bronze table."""
COORDINATE = ("_topic_id", "_epoch", "_partition", "_offset")
# Debezium marks the two halves of a changed key: a delete of the old, an insert of the new.
_OLD_KEY_HEADER = "__debezium.oldkey"

_SOURCE = pl.Struct({"table": pl.String, "lsn": pl.Int64, "txId": pl.Int64, "ts_us": pl.Int64})


def read_changes(rows: pl.DataFrame, table: SourceTable, visibility: Visibility) -> pl.DataFrame:
    """Changes of a table, from rows of its bronze table.

    Returns:
        `COORDINATE`, `value`, and for each change: `key` (text), `op` (c, u, d or r), `lsn`,
        `tx_id`, `is_visible` (by its transaction; null for an `r`), `version` and
        `before_version` (null without), `is_moved` (inserted by a change of its key).

    Raises:
        StopPipelineError: a record is not one of Debezium's.
    """
    before_or_after = pl.Struct({"version": pl.String} if table.is_versioned else {})
    envelope: dict[str, pl.DataType] = {
        "op": pl.String(),
        "before": before_or_after,
        "after": before_or_after,
        "source": _SOURCE,
    }
    key = pl.Struct({c.name: pl.String for c in table.key})
    parsed = _parse_lines(rows, {"key": key, "value": pl.Struct(envelope)})
    value = pl.col("value").struct
    source = value.field("source").struct
    facts = parsed.select(
        key=key_text(table.key, pl.col("key")) if table.key else pl.lit(None, pl.String),
        table=source.field("table"),
        op=value.field("op"),
        lsn=source.field("lsn"),
        tx_id=source.field("txId"),
        is_visible=pl.when(value.field("op") != "r").then(
            visibility.sees(source.field("txId"), source.field("ts_us"))
        ),
        version=_version("after", table),
        before_version=_version("before", table),
    )
    changes = pl.concat([rows.select(*COORDINATE, "value", _is_moved()), facts], how="horizontal")
    return changes.filter(facts["table"] == table.name).drop("table")


def no_records() -> pl.DataFrame:
    """No row, with `READ_COLUMNS`."""
    return pl.DataFrame(schema=pl.Schema(BRONZE_SCHEMA)).select(READ_COLUMNS)


def read_images(
    values: pl.DataFrame, columns: Sequence[Column], images: Sequence[str] = ("after",)
) -> pl.DataFrame:
    """Row images out of the JSON in `value`: a struct per image, a text per column."""
    image = pl.Struct({c.name: c.kind.json_type for c in columns})
    rows = values.select(pl.lit(b"null").alias("key"), *COORDINATE, "value")
    schema: dict[str, pl.DataType] = {"value": pl.Struct(dict.fromkeys(images, image))}
    return _parse_lines(rows, schema).select(pl.col("value").struct.unnest())


def _parse_lines(rows: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """One parse for keys and values of many records: far faster than one by one."""
    text = [_json(name) for name in schema]
    names = [f'{"," if i else "{"}"{name}":' for i, name in enumerate(schema)]
    pieces = [piece for pair in zip(map(pl.lit, names), text, strict=True) for piece in pair]
    lines = rows.select(pl.concat_str(*pieces, pl.lit("}\n")).str.join()).item()
    try:
        parsed = pl.read_ndjson(io.BytesIO(lines.encode()), schema=schema)
    except pl.exceptions.PolarsError:
        parsed = None
    if parsed is None or parsed.height != rows.height:
        raise _unreadable(rows)
    return parsed


def _json(column: str) -> pl.Expr:
    return pl.col(column).fill_null(b"null").cast(pl.String)


def _version(image: str, table: SourceTable) -> pl.Expr:
    if not table.is_versioned:
        return pl.lit(None, pl.Int64)
    version = pl.col("value").struct.field(image).struct.field("version")
    return version.cast(pl.Int64, strict=False)


def _is_moved() -> pl.Expr:
    is_old_key = pl.element().struct.field("key") == _OLD_KEY_HEADER
    is_moved = pl.col("_headers").list.eval(is_old_key).list.any()
    return is_moved.fill_null(value=False).alias("is_moved")


def _unreadable(rows: pl.DataFrame) -> StopPipelineError:
    for row in rows.iter_rows(named=True):
        try:
            key, value = (orjson.loads(row[side] or b"null") for side in ("key", "value"))
            is_readable = isinstance(key, dict | None) and isinstance(value, dict | None)
        except orjson.JSONDecodeError:
            is_readable = False
        if not is_readable:
            place = f"topic {row['_topic_id']} [{row['_partition']}] offset {row['_offset']}"
            return StopPipelineError(
                f"Bronze holds a record that is not Debezium's, from {place}: "
                f"{(row['value'] or b'')[:200]!r}. Somebody else writes to the connector's topics."
            )
    return StopPipelineError(
        "Bronze holds records that are not Debezium's: JSON on several lines, or other fields. "
        "Somebody else writes to the connector's topics."
    )
