"""Fills in large values (TOAST) that an update did not change, and therefore omits. Pure.

Only tables that cannot have `replica identity full` have such updates: those with virtual columns.
Debezium writes a placeholder; the value is in the key's previous change.
"""

from collections.abc import Iterable
from typing import Any

import orjson
import polars as pl

_TEXT = "__debezium_unavailable_value"
_BYTES = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
_PLACEHOLDERS: tuple[object, ...] = (_TEXT, _BYTES, [_TEXT], [_BYTES])


def fill_unchanged(latest: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Replace placeholders in `value` of the latest changes.

    Args:
        latest: the last change of each key.
        changes: all changes of these keys, in order.
    """
    has_any = pl.any_horizontal(
        pl.col("value").bin.contains(word.encode()) for word in (_TEXT, _BYTES)
    )
    lacking = latest.filter(has_any.fill_null(value=False), pl.col("op") == "u").select("key")
    if lacking.is_empty():
        return latest
    told = changes.join(lacking, on="key", how="semi", maintain_order="left")
    filled = [
        (key, _filled(values)) for key, values in told.group_by("key").agg("value").iter_rows()
    ]
    news = pl.DataFrame(filled, schema={"key": pl.String, "filled": pl.Binary}, orient="row")
    joined = latest.join(news, on="key", how="left", maintain_order="left")
    return joined.with_columns(value=pl.coalesce("filled", "value")).drop("filled")


def _filled(values: Iterable[bytes]) -> bytes:
    known: dict[str, Any] = {}
    change: dict[str, Any] = {}
    for value in values:
        change = orjson.loads(value)
        after = change["after"] or {}
        if change["op"] == "u":
            after = {
                name: known.get(name, now) if now in _PLACEHOLDERS else now
                for name, now in after.items()
            }
        known = after
    return orjson.dumps({**change, "after": known})
