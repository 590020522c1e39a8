"""The Delta tables of silver: created from the contracts, filled with validated changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import narwhals as nw
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Schema

from batch.silver.bronze import BronzeSource
from batch.silver.commit import Merge, SilverTable, Write
from batch.silver.offsets import OffsetRanges, starting_position
from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.latest import (
    ORDER,
    empty_deleted,
    latest,
    validity,
    versions,
)
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.validator import count_rules
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.keys import TO_CHANGE_KEYS
from lakehouse.contracts.schemas import (
    COORDINATE,
    QUARANTINE,
    QUARANTINE_SCHEMA,
    RULE_COUNTS,
    RULE_COUNTS_SCHEMA,
    VALIDITY,
    history_schema,
    silver_schema,
)
from lakehouse.delta import scan, table_properties
from lakehouse.errors import StopPipelineError
from lakehouse.frames import collected
from lakehouse.lake import Lake

Rows = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Filter of a silver table's rows."""


@dataclass(frozen=True)
class SilverTables:
    """The tables that one entity's changes are written to."""

    lake: Lake
    entity: Entity
    retention_hours: int

    @cached_property
    def current(self) -> SilverTable:
        """Open the table with one row per key."""
        schema = silver_schema(self.entity)
        table = self._open(self.entity.silver, schema, self.entity.partition)
        if not self.entity.is_derived:  # they are rebuilt instead
            _require_key_types(table.delta, schema, self.entity)
        return table

    @cached_property
    def history(self) -> SilverTable | None:
        """Open the table with one row per valid change; None if no history is kept.

        Gold and the warehouse follow histories of contracts written by hand. No table follows that
        of a derived one, whose rows tell all changes; a change feed beside them would take half of
        its merge (docs/BENCHMARKS.md).
        """
        if self.entity.history is None:
            return None
        schema = history_schema(self.entity)
        return self._open(
            self.entity.history, schema, None, has_change_feed=not self.entity.is_derived
        )

    @cached_property
    def quarantine(self) -> SilverTable:
        """Open the table of quarantined changes of all entities."""
        return self._of_all(QUARANTINE, QUARANTINE_SCHEMA, "entity")

    @cached_property
    def counts(self) -> SilverTable:
        """Open the table with one row per run, entity, batch, outcome and rule."""
        return self._of_all(RULE_COUNTS, RULE_COUNTS_SCHEMA, None)

    def open_all(self) -> None:
        """Open all tables at their newest versions, to detect later commits by others."""
        _ = self.current, self.history, self.quarantine, self.counts

    def apply(
        self, validated: pl.DataFrame, records: pl.DataFrame, ranges: OffsetRanges, *, run_id: str
    ) -> int:
        """Commit validated changes to all tables, the current rows last.

        Unusable changes are quarantined first, so that no change is skipped without a trace.
        The other tables are never behind the current rows, and each applies what it lacks.

        Returns:
            How many current rows were inserted or updated.
        """
        valid = validated.filter(pl.col(BROKEN).is_null())
        self.quarantine.apply(
            validated, ranges, lambda new: Write(rows=self.quarantined(new, records))
        )
        self.counts.apply(validated, ranges, lambda new: Write(rows=_arrow(
            count_rules(new, self.entity, run_id), RULE_COUNTS_SCHEMA)))  # fmt: skip
        if self.history is not None:
            self.history.apply(valid, ranges, self.history_merge)
        return self.current.apply(valid, ranges, self.current_merge)

    def quarantined(self, validated: pl.DataFrame, records: pl.DataFrame) -> pa.Table:
        """Return the changes that broke a rule, with their payload."""
        broken = validated.filter(pl.col(BROKEN).is_not_null()).select(
            *COORDINATE,
            entity=pl.lit(self.entity.table),
            row_key=pl.col(self.entity.key).cast(pl.String),
            rule=pl.col(BROKEN).str.split(",").list.first(),
            all_rules=BROKEN,
        )
        return _arrow(broken.join(records, on=COORDINATE, how="left"), QUARANTINE_SCHEMA)

    def current_rows(self, valid: pl.DataFrame) -> pa.Table:
        """Return the latest valid change of each key."""
        newest = latest(nw.from_native(valid.lazy()), self.entity.key)
        return _arrow(self._emptied(newest), silver_schema(self.entity))

    def current_merge(self, valid: pl.DataFrame) -> Write:
        """Return the commit of current rows."""
        rows, key = self.current_rows(valid), self.entity.key
        if _of_keys(self.current.delta, key, valid[key]).select(key).head(1).collect().is_empty():
            return Write(rows=rows, is_alone=True)
        return Merge(
            rows=rows,
            matched_on=(self.entity.key,),
            order=ORDER,
            partition=self.entity.partition,
        )

    def history_rows(self, valid: pl.DataFrame) -> pa.Table:
        """Return all versions of keys whose valid changes are all given."""
        schema = history_schema(self.entity)
        changes = empty_deleted(nw.from_native(valid.lazy()), self.entity)
        rows = versions(changes, self.entity, schema.names)
        return _arrow(collected(rows), schema)

    def history_merge(self, valid: pl.DataFrame) -> Write:
        """Return the commit of versions: a new version ends the previous one.

        A version holds its change, so that of known ones only the validity can change, and only
        that is read and written. Those that stay as they are are left out, of which a key may have
        thousands.
        """
        if self.history is None:
            message = f"{self.entity.table} keeps no history"
            raise AssertionError(message)
        schema, key = history_schema(self.entity), self.entity.key
        of_row = [key, *ORDER]
        begun = list(dict.fromkeys([*of_row, "_deleted_at", self.entity.as_of]))
        found = _of_keys(self.history.delta, key, valid[key])
        known = found.select(*begun, *VALIDITY.names).collect()
        changes = self._emptied(nw.from_native(valid.lazy()))
        new = changes.join(known, on=of_row, how="anti").unique(of_row, keep="first")
        both = nw.from_native(pl.concat([known.select(begun), new.select(begun)]).lazy())
        times = collected(validity(both, self.entity))
        moved = times.join(known, on=[*of_row, *VALIDITY.names], how="anti", nulls_equal=True)
        outdated = moved.join(known, on=of_row, how="semi")
        rows = new.join(times, on=of_row).select(schema.names)
        if outdated.is_empty():
            return Write(rows=_arrow(rows, schema), is_alone=True)
        return Merge(
            rows=_arrow(pl.concat([rows, outdated], how="diagonal"), schema),
            matched_on=tuple(of_row),
            order=(),
            updated=tuple(VALIDITY.names),
        )

    def _emptied(self, changes: Frame) -> pl.DataFrame:
        return collected(empty_deleted(changes, self.entity))

    def _of_all(self, name: str, schema: pa.Schema, partition: str | None) -> SilverTable:
        return replace(self._open(name, schema, partition), reader=self.entity.reader)

    def _open(
        self, name: str, schema: pa.Schema, partition: str | None, *, has_change_feed: bool = True
    ) -> SilverTable:
        delta = self.lake.open_or_create(
            "silver",
            name,
            schema,
            partition_by=[partition] if partition else [],
            properties=table_properties(
                retention_hours=self.retention_hours, has_change_feed=has_change_feed
            ),
        )
        return SilverTable(delta=delta)


def _require_key_types(delta: DeltaTable, schema: pa.Schema, entity: Entity) -> None:
    """Refuse a table that was made while keys had other types: gold and the warehouse were, too."""
    keys = {one.key for one in ENTITIES.values()}
    found = {field.name: field.type for field in delta.schema().fields}
    for field in Schema.from_arrow(schema).fields:
        if field.name in keys and found.get(field.name, field.type) != field.type:
            was, is_now = found[field.name].type, field.type.type
            problem = f"silver/{entity.silver}: {field.name} was made as {was}, and is {is_now} now"
            raise StopPipelineError(problem, TO_CHANGE_KEYS)


def _of_keys(delta: DeltaTable, key: str, keys: pl.Series) -> pl.LazyFrame:
    """Return a table's rows of these keys; their bounds let the scan skip files."""
    bounds = pl.col(key).is_between(pl.lit(keys.min()), pl.lit(keys.max()))
    return scan(delta).filter(bounds & pl.col(key).is_in(keys.unique().implode()))


def _arrow(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    table = rows.select(schema.names).to_arrow()
    return table.cast(schema)


def is_outdated(current: DeltaTable, entity: Entity) -> bool:
    """Return whether a contract has other columns or another key than its table of current rows.

    That table is written last, so its columns are the history's, too.
    """
    return bool(current.schema() != Schema.from_arrow(silver_schema(entity)))


def is_of_another(lake: Lake, current: DeltaTable, entity: Entity) -> bool:
    """Return whether a table of current rows was filled by another contract than this one.

    That is a derived contract which has changed, another mapping, or what was in force before the
    table was mapped.
    """
    if entity.is_derived:
        return is_outdated(current, entity)
    if not entity.reader:
        return False
    bronze, quarantine = lake.open("bronze", entity.bronze), lake.open("silver", QUARANTINE)
    return bronze is not None and any(
        # The quarantine is never behind the current rows, unless others have written these.
        starting_position(current, partition)
        > (starting_position(quarantine, partition, entity.reader) if quarantine else 0)
        for partition in BronzeSource(bronze).ends
    )
