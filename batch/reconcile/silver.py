"""Comparison of silver with the contract applied to bronze, as far as silver has read it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import monotonic

import narwhals as nw
import polars as pl
from deltalake import DeltaTable

from batch.contracts.stored import contracts_of
from batch.delta_log import DeltaLog
from batch.reconcile.findings import Fault
from batch.reconcile.history import Examples
from batch.reconcile.layers import LayerFindings, LayerReport, compare_frames
from batch.silver.bronze import BronzeSource
from batch.silver.offsets import OffsetRanges, is_within, starting_position
from batch.silver.run import SilverRules
from batch.silver.tables import SilverTables, is_outdated
from batch.spark.cluster import Cluster
from batch.spark.job import Part, as_found, for_caller
from lakehouse.cleaning.transforms.latest import ORDER, latest
from lakehouse.cleaning.transforms.validate import BROKEN
from lakehouse.contracts import Entity
from lakehouse.contracts.model import UNKNOWN
from lakehouse.contracts.schemas import COORDINATE, QUARANTINE
from lakehouse.delta import retry_later, scan
from lakehouse.frames import collected
from lakehouse.lake import Lake
from lakehouse.offsets import (
    EpochPartition,
    OffsetRange,
    count_positions,
    next_position,
    up_to,
)

_Ends = Mapping[EpochPartition, int]


def compare_silver(
    lake: Lake, rules: SilverRules, examples: Examples, *, cluster: Cluster | None = None
) -> Iterator[LayerReport]:
    """Validate all that silver has read of bronze again, and compare table by table.

    A table that was not consolidated yet, or whose bronze table no longer exists, is reported as
    not compared. If neither exists, there is no report.

    Args:
        lake: opened as a user that reads bronze and silver.
        rules: settings of the validation.
        examples: how many keys to report.
        cluster: of Spark, whose workers compare large tables; None for this process.
    """
    quarantine = _Quarantine(lake)
    for entity in contracts_of(lake).values():
        started = monotonic()
        tables = _Tables.open(lake, entity, quarantine)
        names = [name for name in (entity.silver, entity.history) if name]
        if (why := tables.lacking(entity)) is not None:
            yield from (LayerReport.not_compared("silver", name, why) for name in names)
            continue
        if tables.bronze is not None:
            comparison = _Comparison(lake, rules, entity, tables, tables.bronze, examples)
            found = comparison.findings(cluster)
        else:
            found = dict.fromkeys(names, LayerFindings())
        for table, findings in found.items():
            took, started = monotonic() - started, monotonic()
            yield LayerReport(layer="silver", table=table, findings=findings, seconds=took)


class _Quarantine:
    """The quarantine, which is opened once and then followed: each entity has commits in its log.

    `delta` is None as long as there is none.
    """

    def __init__(self, lake: Lake, delta: DeltaTable | None = None) -> None:
        self.delta = delta
        self._lake = lake
        self._transactions: tuple[int, dict[str, int]] | None = None

    def refresh(self) -> None:
        """Go to the newest version."""
        if self.delta is None:
            self.delta = self._lake.open("silver", QUARANTINE)
        else:
            with retry_later(f"silver/{QUARANTINE} does not open"):
                self.delta.update_incremental()

    def furthest(self, ends: "_Ends", reader: str) -> "_Ends":
        """Return how far this reader's changes are in it, but at least `ends`."""
        if self.delta is None:
            return ends
        version = self.delta.version()
        if self._transactions is None or self._transactions[0] != version:
            found = DeltaLog(self.delta).transactions()
            self._transactions = version, found
        known = self._transactions[1]
        return {p: max(end, next_position(known.get(p.app_id(reader)))) for p, end in ends.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """An entity's tables, each at a version that is not behind the tables opened before it."""

    current: DeltaTable | None
    history: DeltaTable | None
    quarantine: _Quarantine
    bronze: BronzeSource | None

    @classmethod
    def open(cls, lake: Lake, entity: Entity, quarantine: _Quarantine) -> "_Tables":
        """Open each table before its source, so that concurrent commits do no harm."""
        current = lake.open("silver", entity.silver)
        history = lake.open("silver", entity.history) if entity.history else None
        quarantine.refresh()
        bronze = lake.open("bronze", entity.bronze)
        return cls(
            current=current,
            history=history,
            quarantine=quarantine,
            bronze=None if bronze is None else BronzeSource(bronze),
        )

    def lacking(self, entity: Entity) -> str | None:
        """Return why there is nothing to compare with; None if nothing lacks, or both do."""
        if self.current is None:
            return None if self.bronze is None else "not consolidated yet"
        if entity.is_derived and is_outdated(self.current, entity):
            return "its contract has changed: ./pipeline consolidate"
        return None if self.bronze is not None else f"bronze no longer has {entity.bronze}"


class _Comparison:
    def __init__(
        self,
        lake: Lake,
        rules: SilverRules,
        entity: Entity,
        tables: _Tables,
        bronze: BronzeSource,
        examples: Examples,
    ) -> None:  # fmt: skip
        self.rules = rules
        self.entity = entity
        self.stored = tables
        self.bronze = bronze
        self.examples = examples
        self.tables = SilverTables(lake, entity, rules.retention_hours)
        nothing = dict.fromkeys(bronze.ends, 0)
        # The current rows are committed last: none of the other tables may be behind them.
        self.current_ends = _furthest(tables.current, nothing)
        self.history_ends = _furthest(tables.history, self.current_ends)
        self.quarantine_ends = tables.quarantine.furthest(self.current_ends, entity.reader)
        self.ends = {p: max(end, self.history_ends[p]) for p, end in self.quarantine_ends.items()}

    def findings(self, cluster: Cluster | None) -> dict[str, LayerFindings]:
        """Return findings by table: the current rows, and the history if one is kept."""
        key = self.entity.key
        found = {self.entity.silver: self._beyond_quarantine()}
        found[self.entity.silver] += self._beyond(self.stored.current, self.current_ends, (key,))
        if self.entity.history:
            found[self.entity.history] = self._beyond(
                self.stored.history, self.history_ends, (key, *ORDER)
            )
        groups = _groups(self.ends, positions=self.rules.batch.records)
        compared: Iterable[list[LayerFindings]]
        if cluster is None or len(groups) == 1:
            compared = map(self.group, groups)
        else:
            compared = self.on(cluster, groups)
        for of_group in compared:
            for name, one in zip(found, of_group, strict=True):
                found[name] += one
        return found

    def on(self, cluster: Cluster, groups: Sequence[OffsetRanges]) -> list[list[LayerFindings]]:
        """Compare groups on a cluster."""
        stored = self.stored
        tables = {
            ("silver", self.entity.silver): stored.current,
            ("silver", self.entity.history): stored.history,
            ("silver", QUARANTINE): stored.quarantine.delta,
            ("bronze", self.entity.bronze): self.bronze.delta,
        }
        job = _Groups(
            lake=self.tables.lake.afresh(),
            rules=self.rules,
            entity=self.entity,
            examples=self.examples,
            versions={
                (layer, name): delta.version()
                for (layer, name), delta in tables.items()
                if name is not None and delta is not None
            },
            ends=self.bronze.ends,
            groups=tuple(groups),
        )
        found = dict(one for part in cluster.run(job) for one in part)
        return [found[number] for number in range(len(groups))]

    def group(self, ranges: OffsetRanges) -> list[LayerFindings]:
        """Compare the keys of some partitions."""
        newest: pl.DataFrame | None = None
        versions: list[pl.DataFrame] = []
        found = LayerFindings()
        for batch in self.bronze.batches(ranges, self.rules.batch):
            validated, accounted = self._validate(batch)
            valid = validated.filter(pl.col(BROKEN).is_null())
            taken = valid.filter(is_within(_until(batch, self.current_ends)))
            both = taken if newest is None else pl.concat([newest, taken])
            rows = latest(nw.from_native(both.lazy()), self.entity.key)
            newest = collected(rows)
            if self.entity.history:
                versions.append(valid.filter(is_within(_until(batch, self.history_ends))))
            found += accounted
        if newest is None:
            return [found, *([LayerFindings()] if self.entity.history else [])]
        expected = pl.DataFrame(self.tables.current_rows(newest))
        key = self.entity.key
        within = _until(ranges, self.current_ends)
        found += LayerFindings(unknown=_unknown_rows(expected, self.entity))
        current = found + self._compare(self.stored.current, expected, within, (key,))
        if not self.entity.history:
            return [current]
        rows_of_time = pl.DataFrame(self.tables.history_rows(pl.concat(versions)))
        within = _until(ranges, self.history_ends)
        return [current, self._compare(self.stored.history, rows_of_time, within, (key, *ORDER))]

    def _compare(
        self,
        table: DeltaTable | None,
        expected: pl.DataFrame,
        ranges: OffsetRanges,
        key: tuple[str, ...],
    ) -> LayerFindings:
        if table is None:
            stored = expected.clear()
        else:
            stored = scan(table).filter(is_within(ranges)).select(expected.columns).collect()
        return compare_frames(expected, stored, key, self.examples)

    def _beyond(
        self, table: DeltaTable | None, ends: _Ends, key: tuple[str, ...]
    ) -> LayerFindings:  # fmt: skip
        """Find rows of changes that the table has not applied; there must be none."""
        if table is None:
            return LayerFindings()
        rows = scan(table).filter(_is_beyond(ends)).select(key).collect()
        return compare_frames(rows.clear(), rows, key, self.examples)

    def _beyond_quarantine(self) -> LayerFindings:
        rows = self._quarantined(_is_beyond(self.quarantine_ends))
        return LayerFindings(quarantined=rows.height, unaccounted=self._unaccounted(rows))

    def _validate(self, ranges: OffsetRanges) -> tuple[pl.DataFrame, LayerFindings]:
        """Validate changes; each must be either used or quarantined, and quarantined once."""
        records = self.bronze.read(ranges)
        ends = {partition: offsets.stop for partition, offsets in ranges.items()}
        validated = self.rules.validator(self.entity).validate(
            records, lambda keys: self.bronze.of_keys(keys, ends)
        )
        is_due = is_within(_until(ranges, self.quarantine_ends))
        quarantined = self._quarantined(is_due)
        broken = validated.filter(pl.col(BROKEN).is_not_null() & is_due).select(COORDINATE)
        odd = pl.concat([
            broken.join(quarantined, on=COORDINATE, how="anti"),
            quarantined.join(broken, on=COORDINATE, how="anti"),
            quarantined.filter(quarantined.is_duplicated()),
        ])  # fmt: skip
        accounted = LayerFindings(
            changes=validated.height,
            quarantined=quarantined.height,
            unaccounted=self._unaccounted(odd),
        )
        return validated, accounted

    def _unaccounted(self, odd: pl.DataFrame) -> Fault:
        named = odd.with_columns(key=pl.format("{}@{}", "_partition", "_offset"))
        return self.examples.fault(named) if odd.height else Fault()

    def _quarantined(self, chosen: pl.Expr) -> pl.DataFrame:
        delta = self.stored.quarantine.delta
        if delta is None:
            return self.bronze.read({}).select(COORDINATE)
        of_entity = pl.col("entity") == self.entity.table
        rows = scan(delta).filter(of_entity, chosen)
        return rows.select(COORDINATE).collect()


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """The comparison of one entity as a job for several machines: each task takes a group of keys.

    Attributes:
        versions: of the tables that there are, by layer and name.
        ends: of bronze.
    """

    lake: Lake
    rules: SilverRules
    entity: Entity
    examples: Examples
    versions: Mapping[tuple[str, str], int]
    ends: _Ends
    groups: Sequence[OffsetRanges]
    shards: int = 1

    @property
    def tasks(self) -> int:
        """Return the number of groups."""
        return len(self.groups)

    def map(self, task: int) -> Iterator[Part]:
        """Compare a group."""
        yield for_caller((task, self._comparison.group(self.groups[task])))

    def reduce(self, _shard: int, parts: Iterable[Part]) -> bytes:
        """Return all findings."""
        return as_found(parts)

    @cached_property
    def _comparison(self) -> _Comparison:
        tables = {
            table: self.lake.existing(*table, version=version)
            for table, version in self.versions.items()
        }
        source = BronzeSource(tables["bronze", self.entity.bronze], self.ends)
        stored = _Tables(
            current=tables.get(("silver", self.entity.silver)),
            history=tables.get(("silver", self.entity.history or "")),
            quarantine=_Quarantine(self.lake, tables.get(("silver", QUARANTINE))),
            bronze=source,
        )
        return _Comparison(self.lake, self.rules, self.entity, stored, source, self.examples)


def _unknown_rows(rows: pl.DataFrame, entity: Entity) -> int:
    names = [column.name for column in entity.counting_unknown]
    return rows.filter(pl.any_horizontal(pl.col(names) == UNKNOWN)).height if names else 0


def _furthest(table: DeltaTable | None, ends: _Ends) -> _Ends:
    """Return how far a table has read, but at least `ends`."""
    if table is None:
        return ends
    return {
        partition: max(end, starting_position(table, partition)) for partition, end in ends.items()
    }


def _until(ranges: OffsetRanges, ends: _Ends) -> dict[EpochPartition, OffsetRange]:
    """Cut ranges at `ends`."""
    return {
        partition: OffsetRange(start=offsets.start, stop=min(offsets.stop, ends[partition]))
        for partition, offsets in ranges.items()
        if offsets.start < ends[partition]
    }


def _is_beyond(ends: _Ends) -> pl.Expr:
    return ~is_within(up_to(ends)).fill_null(value=False)


def _groups(ends: _Ends, *, positions: int) -> list[dict[EpochPartition, OffsetRange]]:
    """Group ranges so that no key is in two groups: by partition, if their number never changed.

    Small partitions are combined, up to so many positions, because each batch has a fixed cost.
    """
    ranges = up_to(ends)
    counts = {sum(q.epoch == p.epoch for q in ends) for p in ends}
    if len(counts) > 1:
        return [ranges]
    groups: list[dict[EpochPartition, OffsetRange]] = []
    for number in sorted({coordinate.partition for coordinate in ranges}):
        added = {p: s for p, s in ranges.items() if p.partition == number}
        if groups and count_positions([*groups[-1].values(), *added.values()]) <= positions:
            groups[-1] |= added
        else:
            groups.append(added)
    return groups
