"""Compares the shop's rows with bronze's latest, value by value. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples, Frame
from batch.reconcile.records import read_images
from batch.reconcile.tables import Column

SHOP = "shop:"
BRONZE = "bronze:"
"""What the two sides' columns begin with: their names are free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFaults:
    """What is wrong with the rows of a table."""

    missing: Fault
    extra: Fault
    different: Fault


def compare_rows(
    latest: Frame, source: Frame, columns: Sequence[Column], examples: Examples
) -> RowFaults:
    """Compare the latest changes of bronze with the rows of the shop.

    Args:
        latest: `key` and `value` of each row that lives by bronze.
        source: `key` and, as canonical values, the columns of each row of the shop.
        columns: which to compare.
        examples: how many keys to name.
    """
    images = canonical(read_images(latest, columns).unnest("after"), columns, prefix=BRONZE)
    bronze = pl.concat([latest.select("key", "value"), images], how="horizontal")
    return RowFaults(
        missing=examples.fault(source.join(bronze, on="key", how="anti")),
        extra=examples.fault(bronze.join(source, on="key", how="anti")),
        different=_different(source.join(bronze, on="key", how="inner"), columns, examples),
    )


def canonical(images: Frame, columns: Sequence[Column], *, prefix: str) -> Frame:
    """One spelling for each value."""
    return images.select(c.kind.canonical(pl.col(c.name)).alias(prefix + c.name) for c in columns)


def _different(both: Frame, columns: Sequence[Column], examples: Examples) -> Fault:
    unequal = {c.name: pl.col(SHOP + c.name).ne_missing(pl.col(BRONZE + c.name)) for c in columns}
    suspects = both.filter(pl.any_horizontal(*unequal.values(), pl.lit(value=False)))
    if suspects.is_empty():
        return Fault()
    # Few rows differ, if any: the dearer question is asked of these only.
    names = [pl.when(is_unequal).then(pl.lit(name)) for name, is_unequal in unequal.items()]
    asked = suspects.select("key", "value", names=pl.concat_list(names).list.drop_nulls())
    labels = [
        f"{key} ({', '.join(told)})"
        for key, value, differing in asked.iter_rows()
        if (told := _told(value, differing))
    ]
    return examples.fault(pl.DataFrame({"key": labels}, schema={"key": pl.String}))


def _told(value: bytes, names: Sequence[str]) -> list[str]:
    """Those that the change tells of: a column that was added later is in no earlier change."""
    after = orjson.loads(value)["after"]
    return [name for name in names if name in after]
