"""Checks of watermarks: no layer may be ahead of the layer that it is computed from.

A layer that is ahead was restored from another time or written manually; it would silently skip
changes. Being behind is not a problem; the checks of runs report how old the last update is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from batch.catalogue import LakeTable, TableMetrics, offsets_in
from batch.warehouse.watermarks import loaded_versions
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.contracts.schemas import QUARANTINE, RULE_COUNTS
from lakehouse.offsets import EpochPartition, count_missing
from lakehouse.postgres import explaining
from lakehouse.trouble import Service
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, Verdict, fine, note, wrong

Offsets = Mapping[EpochPartition, int]
"""Last offset applied, by partition of bronze."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedState:
    """Watermarks of the warehouse: offsets by table of the shop, and versions of silver tables."""

    offsets: Mapping[str, Offsets]
    versions: Mapping[str, int]


def _silver(measurements: Measurements) -> Sequence[Said]:
    return _sure(measurements, lambda lower: diagnose_silver(measurements.tables, lower))


def _sure(
    measurements: Measurements, validator: Callable[[Sequence[TableMetrics]], Sequence[Said]]
) -> Sequence[Said]:
    """Diagnose; if something is wrong, repeat it with the lower layer read again."""
    said = validator(measurements.tables)
    if all(one.verdict is not Verdict.WRONG for one in said):
        return said
    return validator(measurements.later_tables)


def diagnose_silver(
    tables: Sequence[TableMetrics],
    lower: Sequence[TableMetrics],
) -> Sequence[Said]:
    """Diagnose whether silver is ahead of bronze, or its current rows ahead of its other tables.

    Args:
        tables: metrics that include silver's tables.
        lower: metrics that include bronze's and silver's tables, read at the same time or later.
    """
    found = {metrics.table: metrics for metrics in tables}
    below = {metrics.table: metrics for metrics in lower}
    if not any(table.layer == "silver" for table in found):
        return [note("no silver yet", "./pipeline consolidate")]
    remedy = "./pipeline rebuild --layer silver"
    said = []
    for entity in ENTITIES.values():
        bronze = _offsets(_of(below, "bronze", entity.bronze))
        current = _offsets(_of(found, "silver", entity.silver))
        said += [wrong(f"{entity.silver} is at {told}", remedy) for told in beyond(current, bronze)]
        for name in _written_first(entity):
            reader = "" if name == entity.history else entity.reader
            other = _offsets(_of(below, "silver", name), reader)
            said += [
                wrong(f"{entity.silver} is at {told}", remedy)
                for told in beyond(current, other, below=name)
            ]
    behind = _behind(f for f in tables if f.table.name in _CURRENT and f.table.layer == "silver")
    return said or [fine(f"in order, {behind:,} offsets behind")]


_CURRENT = {entity.silver for entity in ENTITIES.values()}


def _written_first(entity: Entity) -> list[str]:
    """Return tables that are written before the current rows, which are never ahead of them."""
    return [QUARANTINE, RULE_COUNTS, *([entity.history] if entity.history else [])]


def _behind(tables: Iterable[TableMetrics]) -> int:
    return sum(metrics.behind.count for metrics in tables if metrics.behind)


def _of(found: Mapping[LakeTable, TableMetrics], layer: str, name: str) -> TableMetrics | None:
    return found.get(LakeTable(layer=layer, name=name))


def _offsets(metrics: TableMetrics | None, reader: str = "") -> Offsets:
    if metrics is None:
        return {}
    return metrics.offsets_by_reader.get(reader, {}) if reader else metrics.offsets


def beyond(upper: Offsets, lower: Offsets, *, below: str = "the layer below") -> list[str]:
    """Return positions at which the upper layer is ahead of the lower, as ends of sentences.

    Past epochs are not compared, since the lower layer keeps no watermark of them.
    """
    newest: dict[str, int] = {}
    for partition in lower:
        newest[partition.topic_id] = max(partition.epoch, newest.get(partition.topic_id, 0))
    return [
        f"offset {reached:,} of partition {partition.partition}, {below} has "
        f"{_reached(lower.get(partition))}"
        for partition, reached in sorted(upper.items())
        if partition.epoch >= newest.get(partition.topic_id, 0)
        and reached > lower.get(partition, -1)
    ]


def _reached(offset: int | None) -> str:
    return "none" if offset is None else f"{offset:,}"


def _gold(measurements: Measurements) -> Sequence[Said]:
    return _sure(measurements, lambda lower: diagnose_gold(measurements.tables, lower))


def diagnose_gold(tables: Sequence[TableMetrics], lower: Sequence[TableMetrics]) -> Sequence[Said]:
    """Diagnose whether gold was computed from existing versions of silver. Arguments as above."""
    gold = [metrics for metrics in tables if metrics.table.layer == "gold"]
    if not gold:
        return [note("no gold yet", "./pipeline consolidate")]
    silver = {f.table.name: f.version for f in lower if f.table.layer == "silver"}
    said = []
    for metrics in gold:
        made_from = metrics.versions
        contract = GOLD_TABLES.get(metrics.table.name)
        for name in contract.inputs if contract else ():
            told = _other_version(made_from.get(name), silver.get(name))
            if told:
                words = f"{metrics.table.name} was computed from {told} of {name}"
                said.append(wrong(words, "./pipeline rebuild --layer gold"))
    return said or [fine(f"in order, {_behind(gold):,} versions behind")]


def _other_version(made_from: int | None, version: int | None) -> str | None:
    """Return the recorded version in words if it cannot be right; None otherwise."""
    if version is None or made_from is None:
        return None if version is None else "another incarnation"
    return None if made_from <= version else f"version {made_from:,} (the newest is {version:,})"


def _star(measurements: Measurements) -> Sequence[Said]:
    silver = ((t.name, d) for t, d in measurements.deltas.items() if t.layer == "silver")
    ids = {name: str(delta.metadata().id) for name, delta in silver}
    warehouse = read_loaded_state(measurements.warehouse("batch"), ids)
    return _sure(measurements, lambda lower: diagnose_warehouse(warehouse, lower))


def read_loaded_state(dsn: str, ids: Mapping[str, str]) -> LoadedState:
    """Return the watermarks of the warehouse.

    Args:
        dsn: connection to the warehouse as role `batch`.
        ids: Delta ids of silver's tables; versions of recreated tables are ignored.
    """
    with (
        explaining(Service.WAREHOUSE, "Its watermarks cannot be read"),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        offsets, loaded = offsets_in(connection), loaded_versions(connection)
    versions = {name: at for name, (table_id, at) in loaded.items() if ids.get(name) == table_id}
    return LoadedState(offsets=offsets, versions=versions)


def diagnose_warehouse(warehouse: LoadedState, tables: Sequence[TableMetrics]) -> Sequence[Said]:
    """Diagnose whether the warehouse is ahead of silver."""
    if not warehouse.offsets:
        return [note("nothing loaded yet", "./pipeline consolidate")]
    found = {metrics.table: metrics for metrics in tables}
    remedy = "./pipeline rebuild --layer warehouse"
    said = []
    for name, watermarks in warehouse.offsets.items():
        silver = _offsets(_of(found, "silver", ENTITIES[name].silver))
        said += [
            wrong(f"{name} of the warehouse is at {told}", remedy)
            for told in beyond(watermarks, silver)
        ]
    behind = 0
    for entity in ENTITIES.values():
        table = _of(found, "silver", entity.silver)
        told = _other_version(
            warehouse.versions.get(entity.silver), table.version if table else None
        )
        if told:
            said.append(wrong(f"{entity.table} was loaded from {told}", remedy))
        silver, loaded = _offsets(table), warehouse.offsets.get(entity.table, {})
        behind += count_missing(silver, loaded)
    return said or [fine(f"in order, {behind:,} offsets behind")]


CHECKS: Sequence[Check] = [
    Check(
        area="watermarks",
        title="silver and bronze",
        by_contracts=True,
        needs=("minio",),
        run=_silver,
    ),
    Check(
        area="watermarks", title="gold and silver", by_contracts=True, needs=("minio",), run=_gold
    ),
    Check(
        area="watermarks",
        title="warehouse and silver",
        by_contracts=True,
        needs=("minio", "warehouse"),
        run=_star,
    ),
]
