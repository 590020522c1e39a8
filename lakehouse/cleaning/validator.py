"""Turns bronze records into cleaned, validated changes. Grain: one row per change."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import narwhals as nw
import polars as pl

from lakehouse.cleaning.envelope import Columns, carried, read_envelopes
from lakehouse.cleaning.expressed import LACKING, as_received, expressed, mark_lacking
from lakehouse.cleaning.plan import Plan
from lakehouse.cleaning.spellings import spell
from lakehouse.cleaning.transforms import Frame
from lakehouse.cleaning.transforms.clean import clean, cleaned_columns, raw
from lakehouse.cleaning.transforms.unchanged import fill_unchanged
from lakehouse.cleaning.transforms.validate import BROKEN, SUSPECT, flag_suspects, validate
from lakehouse.cleaning.typed import (
    RETYPED,
    Calendar,
    read_column,
    read_key,
    read_types,
    stop_if_retyped,
)
from lakehouse.contracts import Column, Entity, OnSchemaChange, Type
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.contracts.model import PLACEHOLDER, UNKNOWN, placeholder
from lakehouse.contracts.schemas import COORDINATE
from lakehouse.errors import StopPipelineError
from lakehouse.frames import collected

History = Callable[[pl.Series], pl.DataFrame]
"""Returns all records of the given (Kafka) keys up to the end of the range being validated."""


CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of what writes to the shop may be ahead of the shop's own. Clocks that are
synchronised differ by less; what is further ahead is a wrong value."""
_LARGE = (Type.TEXT, Type.BYTES, Type.OPAQUE, Type.DECIMAL)
_KEY = "key"
_TEXTS = "texts"
_SUSPECTS = "suspects"


@dataclass(frozen=True, kw_only=True)
class Validator:
    """The validator of one table. The result for a change does not depend on its batch."""

    entity: Entity
    calendar: Calendar
    clock_skew: timedelta = CLOCK_SKEW

    def validate(self, records: pl.DataFrame, history: History) -> pl.DataFrame:
        """Read, clean and validate.

        Args:
            records: rows of bronze with the columns `key`, `value` and the coordinate.
            history: called for keys whose update omits large values.

        Returns:
            For each record except tombstones: `COORDINATE`, `_operation`, silver's columns,
            `raw:…` of the cleaned ones, and `BROKEN`. A value that is replaced by `UNKNOWN` is
            kept in `_extra`, under the shop's column name.

        Raises:
            StopPipelineError: the source's schema changed, and the contract says to stop.
        """
        texts = self._texts(records, history)
        found = self._with_verdicts(self._marked.run({_TEXTS: spell(texts, self.entity)}))
        found = _with_retyped_values(found, texts, self.entity)
        found = _with_unknown_values(found, self.entity)
        stop_if_retyped(found, texts, self.entity)
        self._stop_if_removed(found)
        return found

    def _with_verdicts(self, marked: pl.DataFrame) -> pl.DataFrame:
        """Add `BROKEN`, checking only suspects against each rule."""
        is_suspect = marked.drop_in_place(SUSPECT)
        verdicts = pl.Series(BROKEN, dtype=pl.String).extend_constant(None, marked.height)
        if is_suspect.any():
            found = self._validated.run({_SUSPECTS: marked.filter(is_suspect)})
            verdicts = verdicts.scatter(is_suspect.arg_true(), found[BROKEN])
        return marked.insert_column(marked.width, verdicts)

    # Plans are cached: building the expressions takes many times as long as a small batch.

    @cached_property
    def _marked(self) -> Plan:
        def mark(frames: Mapping[str, Frame]) -> Frame:
            texts = frames[_TEXTS].to_native()
            typed = nw.from_native(read_types(texts, self.entity, self.calendar))
            cleaned = clean(typed, self.entity)
            return flag_suspects(cleaned, self.entity, clock_skew=self.clock_skew)

        return Plan(mark)

    @cached_property
    def _validated(self) -> Plan:
        return Plan(
            lambda frames: validate(
                frames[_SUSPECTS], self.entity, clock_skew=self.clock_skew
            ).select(BROKEN)
        )

    def _stop_if_removed(self, validated: pl.DataFrame) -> None:
        if self.entity.on_removed is not OnSchemaChange.STOP:
            return
        broken = validated[BROKEN].drop_nulls()
        for column in self.entity.columns:
            lacking = broken.str.contains(rf"(?:^|,){column.name}_missing\b").sum()
            if lacking:
                problem = f"{self.entity.table} lacks {column.name} in {lacking:,} changes"
                action = f"Was the column removed? {self.entity.to_correct}"
                raise StopPipelineError(problem, action)

    def _stop_if_lacking(self, read: pl.DataFrame) -> None:
        if not isinstance(self.entity, MappedEntity):
            return
        if self.entity.on_lacking is not OnSchemaChange.STOP:
            return
        for name in self.entity.shop_columns:
            lacking = (read[as_received(name)] == LACKING).sum()
            if lacking:
                problem = f"{self.entity.shop_table} lacks {name} in {lacking:,} changes"
                action = "Was the column removed? Correct mapping.yaml, then run it again."
                raise StopPipelineError(problem, action)

    def _texts(self, records: pl.DataFrame, history: History) -> pl.DataFrame:
        return expressed(self._received(records, history), self.entity)

    def _received(self, records: pl.DataFrame, history: History) -> pl.DataFrame:
        texts = self._read(records)
        is_untold = [pl.col(name) == word for name, word in self._large.items()]
        untold_rows = texts.select(
            pl.any_horizontal(pl.lit(value=False), *is_untold).fill_null(value=False).arg_true()
        ).to_series()
        if untold_rows.is_empty():
            return texts
        untold = records.filter(pl.col("value").is_not_null())[untold_rows]
        told = self._read(history(untold["key"].unique()))
        both = pl.concat([told, texts]).unique(subset=COORDINATE, keep="first")
        keyed = both.with_columns(self._key.alias(_KEY))
        filled = fill_unchanged(nw.from_native(keyed.lazy()), _KEY, self._large)
        native = collected(filled)
        return native.drop(_KEY).join(records, on=COORDINATE, how="semi")

    def _read(self, records: pl.DataFrame) -> pl.DataFrame:
        kept = records.filter(pl.col("value").is_not_null())
        read = read_envelopes(kept["value"], Columns.of(self.entity))
        read = mark_lacking(read, kept["value"], self.entity)
        self._stop_if_lacking(read)
        if self.entity.is_derived:
            # From before the table had a key: in any partition, so in no order to later changes.
            is_keyed = kept["key"].is_not_null()
            read = read.with_columns(_operation=pl.when(is_keyed).then("_operation"))
        return pl.concat([kept.select(COORDINATE), read], how="horizontal")

    @cached_property
    def _key(self) -> pl.Expr:
        if isinstance(self.entity, MappedEntity):
            return pl.col(as_received(self.entity.key_columns[0].source))
        return read_key(self.entity)

    @cached_property
    def _large(self) -> dict[str, str]:
        """Return the columns whose values Postgres may store out of line (TOAST).

        With what Debezium writes instead of one that did not change.
        """
        if isinstance(self.entity, MappedEntity):
            return dict.fromkeys(map(as_received, self.entity.shop_columns), PLACEHOLDER)
        columns = [c for c in self.entity.columns if c.is_list or c.type in _LARGE]
        return {column.text: placeholder(column) for column in columns}


def _with_unknown_values(validated: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """Keep unknown values in `_extra`. Most batches have none, so nothing is built for them."""
    columns = [c for c in entity.counting_unknown if (validated[c.name] == UNKNOWN).any()]
    if not columns:
        return validated
    values = {c.source: pl.when(_is_unknown(c)).then(pl.col(raw(c.name))) for c in columns}
    return validated.with_columns(_extra=_and_extra(carried(values)))


def _with_retyped_values(
    validated: pl.DataFrame, texts: pl.DataFrame, entity: Entity
) -> pl.DataFrame:
    """Keep retyped values that count as absent in `_extra`, as received. `texts` are its rows."""
    if RETYPED not in validated.columns:
        return validated
    is_retyped = validated.drop_in_place(RETYPED)
    if not is_retyped.any():
        return validated
    lost = {c.source: pl.when(read_column(c).is_null()).then(c.text) for c in entity.columns}
    kept = texts.filter(is_retyped).select(_extra=_and_extra(carried(lost)))["_extra"]
    return validated.with_columns(validated["_extra"].scatter(is_retyped.arg_true(), kept))


def _and_extra(kept: pl.Expr) -> pl.Expr:
    extra = pl.col("_extra")
    both = pl.format("{},{}", extra.str.head(-1), kept.str.slice(1))
    return pl.coalesce(both, kept, extra)


def _is_unknown(column: Column) -> pl.Expr:
    return (pl.col(column.name) == UNKNOWN).fill_null(value=False)


def unknown_values(validated: pl.DataFrame, entity: Entity) -> Iterator[tuple[str, pl.Series]]:
    """Yield the unknown values in valid changes, as received, by the shop's column name.

    Columns without such values are left out.
    """
    valid = validated.filter(pl.col(BROKEN).is_null())
    for column in entity.counting_unknown:
        values = valid.filter(_is_unknown(column))[raw(column.name)]
        if len(values):
            yield column.source, values


def _is_cleaned(name: str, entity: Entity) -> pl.Expr:
    differs = pl.col(name).ne_missing(pl.col(raw(name)))
    column = entity.column(name)
    return differs & ~_is_unknown(column) if column.counts_unknown else differs


def count_cleaned(validated: pl.DataFrame, entity: Entity) -> int:
    """Count the valid changes with at least one cleaned value."""
    cleaned = [_is_cleaned(name, entity) for name in cleaned_columns(entity)]
    if not cleaned:
        return 0
    return validated.filter(pl.col(BROKEN).is_null() & pl.any_horizontal(cleaned)).height


def count_rules(validated: pl.DataFrame, entity: Entity, run_id: str) -> pl.DataFrame:
    """Return the counts of each rule in the columns of `RULE_COUNTS_SCHEMA`."""
    cleaned = (
        validated.filter(pl.col(BROKEN).is_null())
        .select(
            _is_cleaned(name, entity).sum().alias(f"{name}_cleaned")
            for name in cleaned_columns(entity)
        )
        .unpivot(variable_name="rule", value_name="changes")
    )
    broken = validated.select(pl.col(BROKEN).str.split(",").list.first().alias("rule")).drop_nulls()
    quarantined = broken.group_by("rule").agg(changes=pl.len())
    seen = pl.DataFrame({"rule": [""], "changes": [validated.height]})
    counted = [(f"{name}_unknown", len(v)) for name, v in unknown_values(validated, entity)]
    unknown = pl.DataFrame(counted, {"rule": pl.String, "changes": pl.Int64}, orient="row")
    parts = {"seen": seen, "cleaned": cleaned, "unknown": unknown, "quarantined": quarantined}
    return pl.concat(
        frame.select(
            run_id=pl.lit(run_id),
            entity=pl.lit(entity.table),
            outcome=pl.lit(outcome),
            rule="rule",
            changes=pl.col("changes").cast(pl.Int64),
        )
        for outcome, frame in parts.items()
    ).filter(pl.col("changes") > 0)
