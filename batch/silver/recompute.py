"""Recomputes single keys from all of their changes, in each table as far as that has come.

For changes that the rules judged otherwise before: no watermark goes back, and no other key is
touched. Done twice is done once, so whatever fails is simply done again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from deltalake import DeltaTable

from batch.merge import replace_rows
from batch.silver.bronze import BronzeSource
from batch.silver.commit import partitions_with
from batch.silver.places import Place, is_within, starting_position
from batch.silver.tables import SilverTables
from lakehouse.cleaning.judge import Judge
from lakehouse.cleaning.transforms.latest import ORDER
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts.schemas import COORDINATE
from lakehouse.coordinates import Span
from lakehouse.delta import retry_later

_IS_READ = "_is_read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """What became of keys. `mended` and `broken` count changes that were in quarantine before."""

    keys: int
    mended: int
    broken: int


def recompute_keys(
    tables: SilverTables, judge: Judge, bronze: BronzeSource, keys: pl.Series
) -> Recomputed:
    """Replace the rows of these keys in all tables of an entity, each in one commit.

    Args:
        tables: of the entity.
        judge: by the rules of today.
        bronze: at a version that holds what silver has taken in.
        keys: as Kafka has them.

    Raises:
        RetryLaterError: a table could not be replaced; what was done before is right, and is
            done again.
    """
    what = f"Keys of {tables.entity.table} could not be replaced"
    with retry_later(what, then="Run it again."):
        records = bronze.of_keys(keys, _furthest(tables, bronze))
        judged = judge.judge(records, lambda _keys: records)
        names = judged[judge.entity.key].drop_nulls().unique()
        _replace_current(tables, judged, names)
        _replace_history(tables, judged, names)
        before, after = _replace_quarantined(tables, judged, records, names)
    return Recomputed(keys=len(names), mended=before - after, broken=after)


def _furthest(tables: SilverTables, bronze: BronzeSource) -> dict[Place, int]:
    """How far the table that is ahead of the others has come."""
    read = [table.delta for table in (tables.current, tables.history, tables.quarantine) if table]
    return {place: max(starting_position(d, place) for d in read) for place in bronze.ends}


def _taken_in(delta: DeltaTable, judged: pl.DataFrame) -> pl.DataFrame:
    """The changes that a table has passed.

    A run that died has left the tables at different places, and each goes on from its own: what it
    has passed has to be there, and what it has not passed is still to come.
    """
    places = judged.select("_epoch", "_topic_id", "_partition").unique().iter_rows()
    spans = {
        place: Span(start=0, stop=starting_position(delta, place))
        for place in (Place(epoch=e, topic_id=t, partition=p) for e, t, p in places)
    }
    return judged.filter(is_within(spans))


def _valid(delta: DeltaTable, judged: pl.DataFrame) -> pl.DataFrame:
    return _taken_in(delta, judged).filter(pl.col(BROKEN).is_null())


def _replace_current(tables: SilverTables, judged: pl.DataFrame, names: pl.Series) -> None:
    key, delta = tables.entity.key, tables.current.delta
    rows = pl.DataFrame(tables.current_rows(_valid(delta, judged)))
    gone = pl.DataFrame({key: names}).join(rows, on=key, how="anti")
    where = _is_same((key,))
    if tables.entity.partition is not None and len(names):
        keys = pl.DataFrame({key: names}).to_arrow()
        places = partitions_with(delta, tables.entity.partition, key, keys)
        where = f"{where} and {places}"
    replace_rows(delta, rows, gone, where=where)


def _replace_history(tables: SilverTables, judged: pl.DataFrame, names: pl.Series) -> None:
    if tables.history is None:
        return
    delta = tables.history.delta
    nothing = pl.DataFrame(schema=pl.Schema(delta.schema().to_arrow())).lazy()
    rows = pl.DataFrame(tables.history_rows(_valid(delta, judged), nothing))
    key = tables.entity.key
    scope = f"t.{key} in ({_listed(names)})"
    where = _is_same((key, *ORDER))
    replace_rows(delta, rows, rows.head(0), where=where, scope=scope)


def _replace_quarantined(
    tables: SilverTables, judged: pl.DataFrame, records: pl.DataFrame, names: pl.Series
) -> tuple[int, int]:
    """How many changes of these keys were in quarantine, and how many are now.

    A change whose key could not be read stands there without one: it is found by its coordinate.
    """
    delta = tables.quarantine.delta
    broken = pl.DataFrame(tables.quarantined(_taken_in(delta, judged), records))
    gone = (
        records.select(COORDINATE)
        .join(broken, on=COORDINATE, how="anti")
        .with_columns(pl.lit(tables.entity.table).alias("entity"))
    )
    is_named = pl.col("row_key").is_in(names.cast(pl.String).implode())
    before = (
        pl.scan_delta(delta)
        .filter(pl.col("entity") == tables.entity.table)
        .join(records.select(*COORDINATE, pl.lit(value=True).alias(_IS_READ)).lazy(),
              on=COORDINATE, how="left")
        .filter(is_named | pl.col(_IS_READ))
        .select(pl.len())
        .collect()
        .item()
    )  # fmt: skip
    listed = _listed(names, quote="'")
    scope = f"t.entity = '{tables.entity.table}' and t.row_key in ({listed})"
    where = _is_same(("entity", *COORDINATE))
    replace_rows(delta, broken, gone, where=where, scope=scope)
    return before, broken.height


def _is_same(key: Sequence[str]) -> str:
    return " and ".join(f"t.{name} = s.{name}" for name in key)


def _listed(names: pl.Series, *, quote: str = "") -> str:
    return ", ".join(f"{quote}{name}{quote}" for name in names) or "null"
