"""Keys of a range, as bytes in Kafka and as values in silver."""

from collections.abc import Iterable

import polars as pl
from deltalake import DeltaTable

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges, is_within
from lakehouse.cleaning.envelope import read_keys
from lakehouse.cleaning.typed import read_key
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import COORDINATE, silver_schema
from lakehouse.delta import scan


def names_of(entity: Entity, keys: pl.Series) -> pl.Series:
    """Convert Kafka's keys to silver's, in order; null for invalid keys."""
    texts = read_keys(keys, entity)
    return texts.select(read_key(entity).alias(entity.key)).to_series()


def names_standing(
    entity: Entity, tables: Iterable[DeltaTable], bronze: BronzeSource, ranges: OffsetRanges
) -> pl.Series:
    """Return the keys of silver's rows that were written by a change in these ranges.

    Bronze's records there may now have other keys, if bronze was damaged when silver read it.
    Rows written by a record without a key are left out.
    """
    kind = pl.Schema(silver_schema(entity))[entity.key]
    found = [pl.Series(entity.key, dtype=kind)]
    if not ranges:
        return found[0]
    keyless = bronze.keyless(ranges).lazy()
    for table in tables:
        rows = scan(table).filter(is_within(ranges)).join(keyless, on=COORDINATE, how="anti")
        found.append(rows.select(pl.col(entity.key).unique()).collect()[entity.key])
    return pl.concat(found).drop_nulls().unique()


def keys_named(entity: Entity, bronze: BronzeSource, names: pl.Series) -> pl.Series:
    """Return Kafka's keys for silver's, without those that bronze lacks. Reads all of bronze."""
    nothing = pl.Series("key", dtype=pl.Binary)
    if names.is_empty():
        return nothing
    wanted = names.implode()
    found = (keys.filter(names_of(entity, keys).is_in(wanted)) for keys in bronze.all_keys())
    return pl.concat([nothing, *found]).unique()
