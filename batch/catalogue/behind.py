"""How far each layer is behind the one below it: as of what it is right."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from batch.catalogue.lake import lake_metrics
from batch.catalogue.metrics import LakeTable, TableMetrics, Unit
from batch.catalogue.warehouse import loaded_offsets
from lakehouse.contracts import ENTITIES
from lakehouse.errors import PipelineError
from lakehouse.kafka import Ends, admin_client, captured_ends
from lakehouse.lake import Lake
from lakehouse.offsets import count_missing

_NAMED = 3
_NAMES = {"kafka": "Kafka", "warehouse": "the warehouse"}
_ASK_SECONDS = 3.0
"""For Kafka: who asks has something else to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBehind:
    """What a layer lacks of the one below.

    Attributes:
        tables: those that lack something, and how much: offsets, with the holes between them, or
            versions that changed rows.
        unknown: why nobody can tell, if so.
    """

    layer: str
    below: str
    unit: Unit = Unit.OFFSETS
    tables: Mapping[str, int] = field(default_factory=dict)
    unknown: str | None = None

    @property
    def count(self) -> int | None:
        """Offsets of all tables, or versions of the one that is furthest behind."""
        if self.unknown is not None:
            return None
        counts = self.tables.values()
        return sum(counts) if self.unit is Unit.OFFSETS else max(counts, default=0)

    @override
    def __str__(self) -> str:
        """As a part of a sentence."""
        layer, below = (_NAMES.get(name, name) for name in (self.layer, self.below))
        if self.unknown is not None:
            return f"what {layer} lacks of {below} is not known: {self.unknown}"
        if not self.tables:
            return f"{layer} is level with {below}"
        most = sorted(self.tables, key=lambda name: (-self.tables[name], name))
        named = ", ".join(f"{name} {self.tables[name]:,}" for name in most[:_NAMED])
        more = f" and {len(most) - _NAMED} more" if len(most) > _NAMED else ""
        return f"{layer} lacks {self.count:,} {self.unit} of {below} ({named}{more})"

    def to_json(self) -> dict[str, object]:
        """All of it, by name."""
        return {
            "layer": self.layer,
            "below": self.below,
            "unit": str(self.unit),
            "count": self.count,
            "tables": dict(self.tables),
            "unknown": self.unknown,
        }


def in_a_sentence(layers: Sequence[LayerBehind]) -> str:
    """What all of them lack; one sentence where none lacks anything."""
    told = [str(one) for one in layers if one.count != 0]
    text = "; ".join(told) if told else "each layer is level with the one below"
    return f"{text[:1].upper()}{text[1:]}."


def bronze_behind(
    lake: Lake, bootstrap_servers: str, topic_prefix: str, *, seconds: float = _ASK_SECONDS
) -> LayerBehind:
    """What Kafka has that has not landed.

    Args:
        lake: as a user who may read bronze.
        bootstrap_servers: of Kafka.
        topic_prefix: of the topics with the shop's changes.
        seconds: for how long Kafka may take to answer; then it is not known.
    """
    try:
        # Before the lake: asked the other way round, what lands in between would be ahead of Kafka.
        ends = captured_ends(admin_client(bootstrap_servers), topic_prefix, timeout_seconds=seconds)
        lacking = landed_behind(ends, lake_metrics(lake, ["bronze"]))
    except PipelineError as error:
        return LayerBehind(layer="bronze", below="kafka", unknown=str(error))
    return LayerBehind(layer="bronze", below="kafka", tables=_some(lacking))


def landed_behind(ends: Ends, metrics: Iterable[TableMetrics]) -> dict[str, int]:
    """How many offsets each bronze table lacks. Of earlier epochs nothing counts."""
    landed: dict[str, dict[tuple[str, int | None], int]] = {
        one.table.name: {(p.topic_id, p.partition): last for p, last in one.offsets.items()}
        for one in metrics
        if one.table.layer == "bronze"
    }
    return {
        table: count_missing(
            {p: end - 1 for p, end in ends_of_table.items()}, landed.get(table, {})
        )
        for table, ends_of_table in ends.items()
    }


def layers_behind(lake: Lake, dsn: str) -> list[LayerBehind]:
    """What silver lacks of bronze, and the warehouse and gold of silver, as of now.

    Args:
        lake: as a user who may read all of it.
        dsn: of the warehouse, as its role `batch`.

    Raises:
        RetryLaterError: warehouse or object store do not answer.
        StopPipelineError: they refuse.
    """
    loaded = loaded_offsets(dsn)
    metrics = {one.table: one for one in lake_metrics(lake)}
    silver, warehouse = {}, {}
    for entity in ENTITIES.values():
        bronze = metrics.get(LakeTable(layer="bronze", name=entity.bronze))
        current = metrics.get(LakeTable(layer="silver", name=entity.silver))
        if current is not None:
            silver[entity.silver] = current.behind.count if current.behind else 0
            warehouse[entity.table] = count_missing(current.offsets, loaded.get(entity.table, {}))
        elif bronze is not None:
            silver[entity.silver] = bronze.position or 0
    gold = {
        table.name: one.behind.count
        for table, one in metrics.items()
        if table.layer == "gold" and one.behind
    }
    return [
        LayerBehind(layer="silver", below="bronze", tables=_some(silver)),
        LayerBehind(layer="warehouse", below="silver", tables=_some(warehouse)),
        LayerBehind(layer="gold", below="silver", unit=Unit.VERSIONS, tables=_some(gold)),
    ]


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
