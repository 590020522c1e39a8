"""Reads bronze's records: Debezium's JSON into columns, only the fields that are needed."""

import io
from collections.abc import Iterable, Mapping, Sequence

import orjson
import polars as pl

from batch.reconcile.tables import Column, SourceTable, key_text
from batch.reconcile.visibility import Visibility
from lakehouse.errors import StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA

READ_COLUMNS = ("value", "_topic_id", "_epoch", "_partition", "_offset", "_timestamp", "_headers")
"""Columns that are read of a bronze table."""
COORDINATE = ("_topic_id", "_epoch", "_partition", "_offset")
# Debezium marks the two events of a changed key: a delete of the old, an insert of the new.
_OLD_KEY_HEADER = "__debezium.oldkey"

PolarsType = pl.DataType | type[pl.DataType]
_SOURCE = pl.Struct(
    {
        "table": pl.String,
        "lsn": pl.Int64,
        "txId": pl.Int64,
        "ts_us": pl.Int64,
        "synthetic": pl.String,
    }
)


def read_changes(rows: pl.DataFrame, table: SourceTable, visibility: Visibility) -> pl.DataFrame:
    """Read a table's changes from rows of its bronze table.

    Returns:
        `COORDINATE`, `value`, `_timestamp`, and for each change: `key` (text), `op` (c, u, d or r),
        `lsn`, `tx_id`, `committed_us` (of a snapshot's row: when it began to read the table),
        `is_visible` (by its transaction; null for an `r`), `version` and `before_version` (null
        without), `is_rekeyed` (inserted by a change of its key), `is_synthetic` (written by an
        extraction).

    Raises:
        StopPipelineError: a record was not written by Debezium.
    """
    version = {"version": pl.String} if table.is_versioned else {}
    image = pl.Struct({c.name: pl.String for c in table.key} | version)
    envelope: dict[str, PolarsType] = {
        "op": pl.String,
        "before": image,
        "after": image,
        "source": _SOURCE,
    }
    parsed = _parse(rows, envelope)
    source = pl.col("source").struct
    facts = parsed.select(
        key=_key(table),
        table=source.field("table"),
        op="op",
        lsn=source.field("lsn"),
        tx_id=source.field("txId"),
        committed_us=source.field("ts_us"),
        is_visible=pl.when(pl.col("op") != "r").then(
            visibility.sees(source.field("txId"), source.field("ts_us"))
        ),
        version=_version("after", table),
        before_version=_version("before", table),
        is_synthetic=source.field("synthetic").is_not_null(),
    )
    received = rows.select(*COORDINATE, "value", "_timestamp", _is_rekeyed())
    changes = pl.concat([received, facts], how="horizontal")
    return changes.filter(facts["table"] == table.name).drop("table")


def no_records() -> pl.DataFrame:
    """Return no rows, with `READ_COLUMNS`."""
    return pl.DataFrame(schema=pl.Schema(BRONZE_SCHEMA)).select(READ_COLUMNS)


def read_images(
    values: pl.DataFrame, columns: Sequence[Column], images: Sequence[str] = ("after",)
) -> pl.DataFrame:
    """Parse row images from the JSON in `value`: a struct per image, a text per column."""
    image = pl.Struct({c.name: c.kind.json_type for c in columns})
    return _parse(values, dict.fromkeys(images, image))


def _parse(rows: pl.DataFrame, fields: Mapping[str, PolarsType]) -> pl.DataFrame:
    """Parse fields of `value`, all records at once, which is far faster than one by one."""
    # A tombstone has no value, and contains no change.
    values = rows["value"].fill_null(b"{}")
    lines = b"\n".join(values)
    try:
        parsed = pl.read_ndjson(io.BytesIO(lines), schema=fields) if lines else None
    except pl.exceptions.SchemaError:
        parsed = _parse_loosely(values, fields)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(rows) from error
    if parsed is None:
        parsed = pl.DataFrame(schema=fields)
    if parsed.height != rows.height:
        raise _unreadable(rows)
    return parsed


def _parse_loosely(values: Iterable[bytes], fields: Mapping[str, PolarsType]) -> pl.DataFrame:
    """Parse records of a table with a column that became an array: it is missing in old rows."""
    lists = {
        image: [one.name for one in kind.fields if isinstance(one.dtype, pl.List)]
        for image, kind in fields.items()
        if isinstance(kind, pl.Struct)
    }
    changes = [orjson.loads(value) for value in values]
    for change in changes:
        for image, names in lists.items():
            row = change.get(image) or {}
            row.update({n: None for n in names if not isinstance(row.get(n), list)})
    lines = b"\n".join(orjson.dumps(change) for change in changes)
    return pl.read_ndjson(io.BytesIO(lines), schema=fields)


def _key(table: SourceTable) -> pl.Expr:
    # From the row, not from Kafka's key, which is missing for changes before the table had a key.
    if not table.key:
        return pl.lit(None, pl.String)
    has_after = pl.col("after").is_not_null()
    fields = {*(column.name for column in table.key), *(["version"] * table.is_versioned)}
    numbered = [str(index) for index in range(len(fields))]
    of_after, of_before = (
        key_text(table.key, pl.col(image).struct.rename_fields(numbered))
        for image in ("after", "before")
    )
    return pl.when(has_after).then(of_after).otherwise(of_before)


def _version(image: str, table: SourceTable) -> pl.Expr:
    if not table.is_versioned:
        return pl.lit(None, pl.Int64)
    return pl.col(image).struct.field("version").cast(pl.Int64, strict=False)


def _is_rekeyed() -> pl.Expr:
    is_old_key = pl.element().struct.field("key") == _OLD_KEY_HEADER
    is_rekeyed = pl.col("_headers").list.eval(is_old_key).list.any()
    return is_rekeyed.fill_null(value=False).alias("is_rekeyed")


def _unreadable(rows: pl.DataFrame) -> StopPipelineError:
    for row in rows.iter_rows(named=True):
        try:
            is_readable = row["value"] is None or isinstance(orjson.loads(row["value"]), dict)
        except orjson.JSONDecodeError:
            is_readable = False
        if not is_readable:
            partition = f"topic {row['_topic_id']} [{row['_partition']}] offset {row['_offset']}"
            return StopPipelineError(
                f"Bronze holds a record that is not Debezium's, from {partition}: "
                f"{row['value'][:200]!r}. Another program writes to the connector's topics."
            )
    return StopPipelineError(
        "Bronze holds records that cannot be read as Debezium's, such as JSON on several lines. "
        "Extract the table again: ./pipeline connect resnapshot."
    )
