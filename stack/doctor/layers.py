"""Watermarks: no layer can have come further than the one that it is made from.

One that has, was restored from another time, or written by hand: what lies between would be passed
over without a word. How far a layer is behind is no fault; when it was last brought up to date is
told by the runs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from batch.catalogue import LakeTable, TableFigures, loaded_offsets
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.contracts.schemas import QUARANTINE, RULE_COUNTS
from lakehouse.offsets import EpochPartition, count_missing
from stack.doctor.model import Check, Said, Verdict, fine, note, wrong
from stack.doctor.readings import Readings

_VERSIONS: LiteralString = "select silver_table, table_id, version from etl.silver_version"
Offsets = Mapping[EpochPartition, int]
"""Last offset taken in, by partition of bronze."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    """How far the star has come: offsets by table of the shop, and versions of silver's tables."""

    offsets: Mapping[str, Offsets]
    versions: Mapping[str, int]


def checks() -> Sequence[Check]:
    """Of this area."""
    area, lake = "watermarks", ("minio",)
    return [
        Check(area=area, title="silver and bronze", needs=lake, look=_silver),
        Check(area=area, title="gold and silver", needs=lake, look=_gold),
        Check(area=area, title="star and silver", needs=("minio", "warehouse"), look=_star),
    ]


def _silver(readings: Readings) -> Sequence[Said]:
    return _sure(readings, lambda lower: judge_silver(readings.tables, lower))


def _sure(
    readings: Readings, judge: Callable[[Sequence[TableFigures]], Sequence[Said]]
) -> Sequence[Said]:
    """A judgement of the lower layer; where something is wrong, of the lower layer as it is now."""
    said = judge(readings.tables)
    if all(one.verdict is not Verdict.WRONG for one in said):
        return said
    return judge(readings.later_tables)


def judge_silver(
    tables: Sequence[TableFigures],
    lower: Sequence[TableFigures],
) -> Sequence[Said]:
    """Whether silver is within bronze, and no table of silver is behind the current rows.

    Args:
        tables: silver's among them.
        lower: bronze's among them, and silver's, read at the same time or later.
    """
    found = {figures.table: figures for figures in tables}
    below = {figures.table: figures for figures in lower}
    if not any(table.layer == "silver" for table in found):
        return [note("no silver yet", "./pipeline consolidate")]
    remedy = "./pipeline rebuild --layer silver"
    said = []
    for entity in ENTITIES.values():
        bronze = _offsets(_of(below, "bronze", entity.bronze))
        current = _offsets(_of(found, "silver", entity.silver))
        said += [wrong(f"{entity.silver} is at {told}", remedy) for told in beyond(current, bronze)]
        for name in _written_first(entity):
            other = _offsets(_of(below, "silver", name))
            said += [
                wrong(f"{entity.silver} is at {told}", remedy)
                for told in beyond(current, other, below=name)
            ]
    behind = _behind(f for f in tables if f.table.name in _CURRENT and f.table.layer == "silver")
    return said or [fine(f"in order, {behind:,} offsets behind")]


_CURRENT = {entity.silver for entity in ENTITIES.values()}


def _written_first(entity: Entity) -> list[str]:
    """Tables that are written before the current rows, so that these are never ahead of them."""
    return [QUARANTINE, RULE_COUNTS, *([entity.history] if entity.history else [])]


def _behind(tables: Iterable[TableFigures]) -> int:
    return sum(figures.behind.count for figures in tables if figures.behind)


def _of(found: Mapping[LakeTable, TableFigures], layer: str, name: str) -> TableFigures | None:
    return found.get(LakeTable(layer=layer, name=name))


def _offsets(figures: TableFigures | None) -> Offsets:
    return figures.offsets if figures else {}


def beyond(upper: Offsets, lower: Offsets, *, below: str = "the layer below") -> list[str]:
    """Where the upper layer has come further than the lower, as the end of a sentence.

    Of an epoch that is over the lower layer keeps no watermark: there is nothing to compare.
    """
    newest: dict[str, int] = {}
    for place in lower:
        newest[place.topic_id] = max(place.epoch, newest.get(place.topic_id, 0))
    return [
        f"offset {reached:,} of partition {place.partition}, {below} has "
        f"{_reached(lower.get(place))}"
        for place, reached in sorted(upper.items())
        if place.epoch >= newest.get(place.topic_id, 0) and reached > lower.get(place, -1)
    ]


def _reached(offset: int | None) -> str:
    return "none" if offset is None else f"{offset:,}"


def _gold(readings: Readings) -> Sequence[Said]:
    return _sure(readings, lambda lower: judge_gold(readings.tables, lower))


def judge_gold(tables: Sequence[TableFigures], lower: Sequence[TableFigures]) -> Sequence[Said]:
    """Whether gold was made from versions of silver that there are. Arguments as above."""
    gold = [figures for figures in tables if figures.table.layer == "gold"]
    if not gold:
        return [note("no gold yet", "./pipeline consolidate")]
    silver = {f.table.name: f.version for f in lower if f.table.layer == "silver"}
    said = []
    for figures in gold:
        made_from = figures.versions
        contract = GOLD_TABLES.get(figures.table.name)
        for name in contract.inputs if contract else ():
            told = _other_version(made_from.get(name), silver.get(name))
            if told:
                words = f"{figures.table.name} was made from {told} of {name}"
                said.append(wrong(words, "./pipeline rebuild --layer gold"))
    return said or [fine(f"in order, {_behind(gold):,} versions behind")]


def _other_version(made_from: int | None, version: int | None) -> str | None:
    """Which version something claims to be made from, where that cannot be."""
    if version is None or made_from is None:
        return None if version is None else "another table, and not this one,"
    return None if made_from <= version else f"version {made_from:,}, but there are {version:,},"


def _star(readings: Readings) -> Sequence[Said]:
    silver = ((t.name, d) for t, d in readings.deltas.items() if t.layer == "silver")
    ids = {name: str(delta.metadata().id) for name, delta in silver}
    star = read_star(readings.warehouse("batch"), ids)
    return _sure(readings, lambda lower: judge_star(star, lower))


def read_star(dsn: str, ids: Mapping[str, str]) -> Star:
    """How far the star has come.

    Args:
        dsn: of the warehouse, as its role `batch`.
        ids: of silver's tables; a version of another table of the same name does not count.
    """
    offsets = loaded_offsets(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(_VERSIONS).fetchall()
    versions = {name: version for name, table_id, version in rows if ids.get(name) == table_id}
    return Star(offsets=offsets, versions=versions)


def judge_star(star: Star, tables: Sequence[TableFigures]) -> Sequence[Said]:
    """Whether the star was made from what silver has."""
    if not star.offsets:
        return [note("nothing loaded yet", "./pipeline consolidate")]
    found = {figures.table: figures for figures in tables}
    remedy = "./pipeline rebuild --layer warehouse"
    said = []
    for name, marks in star.offsets.items():
        silver = _offsets(_of(found, "silver", ENTITIES[name].silver))
        said += [
            wrong(f"{name} of the star is at {told}", remedy) for told in beyond(marks, silver)
        ]
    behind = 0
    for entity in ENTITIES.values():
        table = _of(found, "silver", entity.silver)
        told = _other_version(star.versions.get(entity.silver), table.version if table else None)
        if told:
            said.append(wrong(f"{entity.table} was loaded from {told}", remedy))
        silver, loaded = _offsets(table), star.offsets.get(entity.table, {})
        behind += count_missing(silver, loaded)
    return said or [fine(f"in order, {behind:,} offsets behind")]
