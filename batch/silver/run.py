"""Applies new changes of bronze to silver, table by table."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges
from batch.silver.sizes import BatchLimits
from batch.silver.tables import SilverTables
from lakehouse.choices import meant
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.cleaning.typed import Calendar
from lakehouse.cleaning.validator import Validator, count_cleaned, unknown_values
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.model import UNKNOWN
from lakehouse.delta import retry_later
from lakehouse.errors import WrongArgumentError
from lakehouse.lake import Lake
from lakehouse.offsets import count_positions
from lakehouse.settings import ConsolidationSettings, ShopSettings

Progress = Callable[[str], None]
_EXAMPLES = 5
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SilverRules:
    """Validation settings that are not in the contracts."""

    time_zone: str
    retention_hours: int
    batch: BatchLimits

    @classmethod
    def of_settings(cls) -> "SilverRules":
        """Read the settings from the environment."""
        settings = ConsolidationSettings()
        return cls(
            time_zone=ShopSettings().time_zone,
            retention_hours=settings.retention_hours,
            batch=BatchLimits(records=settings.chunk_rows),
        )

    def validator(self, entity: Entity) -> Validator:
        """Create a validator for an entity's changes."""
        return Validator(entity=entity, calendar=Calendar(time_zone=self.time_zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownValues:
    """Values of one column that are in no list of its contract. Their rows count nevertheless.

    Attributes:
        table: name in the shop.
        column: name in the shop.
        changes: number of valid changes that had one.
        values: some of these values, shortened, as JSON strings.
        to_list: what to do where they are valid.
    """

    table: str
    column: str
    changes: int
    values: tuple[str, ...]
    to_list: str

    def plus(self, other: "UnknownValues") -> "UnknownValues":
        """Return the values of both, of the same column."""
        values = sorted({*self.values, *other.values})[:_EXAMPLES]
        return replace(self, changes=self.changes + other.changes, values=tuple(values))

    def message(self) -> str:
        """Describe which values, how often, and what to do."""
        return (
            f"{self.table}.{self.column}: {self.changes:,} changes have values in no list "
            f"({', '.join(self.values)}) and count as {UNKNOWN}. If they are valid, "
            f"{self.to_list}, then ./pipeline rebuild --layer silver --entity {self.table}. "
            "All such values: mart.unknown_values"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SilverReport:
    """Result of applying one entity's changes.

    Attributes:
        read: changes read from bronze.
        cleaned: changes with a value that was cleaned.
        quarantined: changes that were quarantined.
        merged: rows of the table that were inserted or updated; in a rebuild, all rows written.
        unknown: values in no list, by column; their changes are neither cleaned nor quarantined.
        rules: quarantined changes, by the rule that they broke; by each, if there are several.
        ranges: offsets of bronze that were applied.
    """

    entity: str
    table: str
    read: int = 0
    cleaned: int = 0
    quarantined: int = 0
    merged: int = 0
    seconds: float = 0.0
    unknown: tuple[UnknownValues, ...] = ()
    ranges: OffsetRanges = field(default_factory=dict)
    rules: Mapping[str, int] = field(default_factory=dict)

    def plus(self, validated: pl.DataFrame, entity: Entity, *, merged: int = 0) -> "SilverReport":
        """Add the counts of one more batch."""
        batch = SilverReport(
            entity=self.entity,
            table=self.table,
            read=validated.height,
            cleaned=count_cleaned(validated, entity),
            quarantined=validated.height - validated[BROKEN].null_count(),
            merged=merged,
            unknown=tuple(_unknown(validated, entity)),
            rules=Counter(validated[BROKEN].drop_nulls().str.split(",").explode().to_list()),
        )
        return self.and_of(batch)

    def and_of(self, other: "SilverReport") -> "SilverReport":
        """Add the counts of another part of the same work."""
        found: dict[str, UnknownValues] = {}
        for one in (*self.unknown, *other.unknown):
            found[one.column] = found[one.column].plus(one) if one.column in found else one
        return replace(
            self,
            read=self.read + other.read,
            cleaned=self.cleaned + other.cleaned,
            quarantined=self.quarantined + other.quarantined,
            merged=self.merged + other.merged,
            unknown=tuple(found[column] for column in sorted(found)),
            rules=Counter(self.rules) + Counter(other.rules),
        )


def _unknown(validated: pl.DataFrame, entity: Entity) -> Iterator[UnknownValues]:
    for column, values in unknown_values(validated, entity):
        shown = values.str.head(_SHOWN_CHARACTERS).unique().sort().head(_EXAMPLES)
        named = {json.dumps(value, ensure_ascii=False) for value in shown}
        yield UnknownValues(
            table=entity.table,
            column=column,
            changes=len(values),
            values=tuple(sorted(named)[:_EXAMPLES]),
            to_list=entity.to_list,
        )


def chosen_entities(
    names: Iterable[str] = (), contracts: Mapping[str, Entity] = ENTITIES
) -> list[Entity]:
    """Return the contracts for names of shop or silver tables; by default all of `contracts`.

    Raises:
        WrongArgumentError: there is no contract for a name.
    """
    # A shop table may be called like the silver table of another.
    by_name = {**{e.silver: e for e in contracts.values()}, **contracts}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        of_schema = "Tables are of the schema public, and named without it. "
        message = (
            f"There is no contract for {', '.join(unknown)}. {meant(unknown, by_name)}"
            f"{of_schema if any('.' in one for one in unknown) else ''}"
            f"Known: {', '.join(contracts)}."
        )
        raise WrongArgumentError(message)
    wanted = {by_name[name].table for name in names}
    return [e for e in contracts.values() if not wanted or e.table in wanted]


def consolidate_silver(
    lake: Lake,
    rules: SilverRules,
    entities: Sequence[Entity],
    *,
    run_id: str | None = None,
    on_progress: Progress = lambda _what: None,
) -> list[SilverReport]:
    """Apply everything that bronze has and silver lacks.

    Args:
        lake: opened as a user that writes silver.
        rules: settings of the validation.
        entities: what to apply, in order.
        run_id: names the run in `rule_counts`; by default a new name.
        on_progress: called with a short description of each batch.

    Raises:
        StopPipelineError: the source's schema changed and a contract says to stop, or silver
            lacks earlier changes.
        RetryLaterError: the object store does not answer. A repeated run resumes.
    """
    run_id = run_id or uuid.uuid4().hex
    # Each entity has commits in the logs of the tables of all.
    lake = lake.keeping()
    done = []
    for entity in entities:
        with retry_later(f"silver/{entity.silver} cannot be brought up to date"):
            tables = SilverTables(lake, entity, rules.retention_hours)
            done.append(_consolidate(tables, rules, run_id, on_progress))
    return done


def _consolidate(
    tables: SilverTables, rules: SilverRules, run_id: str, on_progress: Progress
) -> SilverReport:
    started = time.monotonic()
    entity = tables.entity
    report = SilverReport(entity=entity.table, table=entity.silver)
    delta = tables.lake.open("bronze", entity.bronze)
    if delta is None:
        return report
    bronze = BronzeSource(delta)
    pending = bronze.pending(tables.current.delta)
    total = count_positions(pending.values())
    done = 0
    for ranges in bronze.batches(pending, rules.batch):
        on_progress(f"{entity.silver}: {done:,} of {total:,} offsets")
        validated, merged = _take_in(tables, rules.validator(entity), bronze, ranges, run_id)
        report = report.plus(validated, entity, merged=merged)
        done += count_positions(ranges.values())
    return replace(report, ranges=pending, seconds=time.monotonic() - started)


def _take_in(
    tables: SilverTables,
    validator: Validator,
    bronze: BronzeSource,
    ranges: OffsetRanges,
    run_id: str,
) -> tuple[pl.DataFrame, int]:
    records = bronze.read(ranges)
    ends = {partition: offsets.stop for partition, offsets in ranges.items()}
    validated = validator.validate(records, lambda keys: bronze.of_keys(keys, ends))
    return validated, tables.apply(validated, records, ranges, run_id=run_id)
