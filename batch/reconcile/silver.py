"""Silver must be the contract applied to bronze, as far as it has read it; nothing else."""

from collections.abc import Iterator, Mapping
from time import monotonic

import narwhals as nw
import polars as pl
from deltalake import DeltaTable

from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerFindings, LayerReport, compare_frames
from batch.silver.bronze import BronzeSource
from batch.silver.places import Place, Spans, is_within, starting_position
from batch.silver.rebuild import groups
from batch.silver.run import SilverRules
from batch.silver.tables import SilverTables
from lakehouse.cleaning.transforms.latest import ORDER, latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.schemas import COORDINATE, QUARANTINE, history_schema
from lakehouse.delta import scan
from lakehouse.lake import Lake


def compare_silver(lake: Lake, rules: SilverRules, examples: Examples) -> Iterator[LayerReport]:
    """Judge all that silver has read of bronze again, and compare table by table.

    A table that was not consolidated yet is left out.
    """
    for entity in ENTITIES.values():
        bronze, silver = lake.open("bronze", entity.bronze), lake.open("silver", entity.silver)
        if bronze is None or silver is None:
            continue
        started = monotonic()
        comparison = _Comparison(lake, rules, entity, silver, BronzeSource(bronze), examples)
        for table, found in comparison.findings().items():
            took, started = monotonic() - started, monotonic()
            yield LayerReport(layer="silver", table=table, findings=found, seconds=took)


class _Comparison:
    def __init__(
        self,
        lake: Lake,
        rules: SilverRules,
        entity: Entity,
        silver: DeltaTable,
        bronze: BronzeSource,
        examples: Examples,
    ) -> None:  # fmt: skip
        self.lake = lake
        self.rules = rules
        self.entity = entity
        self.silver = silver
        self.quarantine = lake.open("silver", QUARANTINE)
        self.bronze = bronze
        self.examples = examples
        self.tables = SilverTables(lake, entity, rules.retention_hours)
        self.ends: Mapping[Place, int] = {
            place: starting_position(silver, place) for place in bronze.ends
        }

    def findings(self) -> dict[str, LayerFindings]:
        """By table: the current rows, and the history where one is kept."""
        names = [name for name in (self.entity.silver, self.entity.history) if name]
        found = dict.fromkeys(names, LayerFindings())
        for spans in groups(self.ends):
            for name, of_group in zip(names, self._group(spans), strict=True):
                found[name] += of_group
        return found

    def _group(self, spans: Spans) -> list[LayerFindings]:
        """The keys of one partition."""
        newest: pl.DataFrame | None = None
        versions: list[pl.DataFrame] = []
        found = LayerFindings()
        for piece in self.bronze.chunks(spans, rows=self.rules.chunk_rows):
            judged, accounted = self._judge(piece)
            valid = judged.filter(pl.col(BROKEN).is_null())
            both = valid if newest is None else pl.concat([newest, valid])
            rows = latest(nw.from_native(both.lazy()), self.entity.key)
            newest = pl.DataFrame(rows.collect().to_native())
            versions += [valid] if self.entity.history else []
            found += accounted
        if newest is None:
            return [found, *([LayerFindings()] if self.entity.history else [])]
        expected = pl.DataFrame(self.tables.current_rows(newest))
        key = self.entity.key
        current = found + self._compare(self.silver, expected, spans, (key,))
        if not self.entity.history:
            return [current]
        schema = pl.Schema(history_schema(self.entity))
        nothing = pl.DataFrame(schema=schema).lazy()
        rows_of_time = pl.DataFrame(self.tables.history_rows(pl.concat(versions), nothing))
        kept = self.lake.open("silver", self.entity.history)
        return [current, self._compare(kept, rows_of_time, spans, (key, *ORDER))]

    def _compare(
        self, table: DeltaTable | None, expected: pl.DataFrame, spans: Spans, key: tuple[str, ...]
    ) -> LayerFindings:
        if table is None:
            stored = expected.clear()
        else:
            stored = scan(table).filter(is_within(spans)).select(expected.columns).collect()
        return compare_frames(expected, stored, key, self.examples)

    def _judge(self, spans: Spans) -> tuple[pl.DataFrame, LayerFindings]:
        """Changes, judged; each of them is either used or put aside, and put aside once."""
        records = self.bronze.read(spans)
        ends = {place: span.stop for place, span in spans.items()}
        judged = self.rules.judge(self.entity).judge(
            records, lambda keys: self.bronze.of_keys(keys, ends)
        )
        aside = self._put_aside(spans)
        broken = judged.filter(pl.col(BROKEN).is_not_null()).select(COORDINATE)
        odd = pl.concat([
            broken.join(aside, on=COORDINATE, how="anti"),
            aside.join(broken, on=COORDINATE, how="anti"),
            aside.filter(aside.is_duplicated()),
        ])  # fmt: skip
        named = odd.with_columns(key=pl.format("{}@{}", "_partition", "_offset"))
        accounted = LayerFindings(
            changes=judged.height,
            quarantined=aside.height,
            unaccounted=self.examples.fault(named) if odd.height else Fault(),
        )
        return judged, accounted

    def _put_aside(self, spans: Spans) -> pl.DataFrame:
        if self.quarantine is None:
            return self.bronze.read({}).select(COORDINATE)
        of_entity = pl.col("entity") == self.entity.table
        rows = scan(self.quarantine).filter(of_entity, is_within(spans))
        return rows.select(COORDINATE).collect()
