"""The keys of a range: as Kafka has them, bytes, and as silver has them."""

from collections.abc import Iterable

import polars as pl
from deltalake import DeltaTable

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges, is_within
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import COORDINATE, silver_schema
from lakehouse.delta import scan


def names_of(entity: Entity, keys: pl.Series) -> pl.Series:
    """What silver calls Kafka's keys, in their order; null for what is no key."""
    source = entity.column(entity.key).source
    kind = pl.Schema(silver_schema(entity))[entity.key]
    text = pl.col("key").str.json_path_match(f"$.{source}")
    named = _texts(keys).to_frame("key").select(text.cast(kind, strict=False).alias(entity.key))
    return named[entity.key]


def names_standing(
    entity: Entity, tables: Iterable[DeltaTable], bronze: BronzeSource, ranges: OffsetRanges
) -> pl.Series:
    """Keys of the rows that say to be of a change in these ranges.

    What bronze says there now may be of another key: it may have been damaged when silver read it.
    What a record without a key has made is left out.
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
    """Kafka's keys of these; what bronze has no key of is left out. It reads all keys of bronze."""
    nothing = pl.Series("key", dtype=pl.Binary)
    if names.is_empty():
        return nothing
    wanted = names.implode()
    found = (keys.filter(names_of(entity, keys).is_in(wanted)) for keys in bronze.all_keys())
    return pl.concat([nothing, *found]).unique()


def _texts(keys: pl.Series) -> pl.Series:
    try:
        return keys.cast(pl.String)
    except pl.exceptions.PolarsError:
        # Some are no text, so no key either: rare, and only the different ones are looked at.
        readable = [key.decode(errors="replace") for key in keys]
        return pl.Series(readable, dtype=pl.String)
