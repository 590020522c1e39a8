"""How far each layer is behind the one below: the state that it reflects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from batch.catalogue.lake import lake_metrics
from batch.catalogue.metrics import LakeTable, TableMetrics, Unit
from batch.catalogue.warehouse import loaded_offsets
from batch.contracts.stored import contracts_of
from lakehouse.errors import PipelineError
from lakehouse.kafka import Ends, admin_client, captured_ends
from lakehouse.lake import Lake
from lakehouse.offsets import count_missing

_NAMED = 3
_NAMES = {"kafka": "Kafka", "warehouse": "the warehouse"}
_ASK_SECONDS = 3.0
"""For Kafka: a caller of this has other work to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBehind:
    """How far a layer is behind the one below.

    Attributes:
        tables: tables that are behind, and by how much: offsets, including holes, or versions that
            changed rows.
        unknown: why it cannot be determined, if so.
    """

    layer: str
    below: str
    unit: Unit = Unit.OFFSETS
    tables: Mapping[str, int] = field(default_factory=dict)
    unknown: str | None = None

    @property
    def count(self) -> int | None:
        """Return the offsets of all tables, or the versions of the table furthest behind."""
        if self.unknown is not None:
            return None
        counts = self.tables.values()
        return sum(counts) if self.unit is Unit.OFFSETS else max(counts, default=0)

    @override
    def __str__(self) -> str:
        """Format as part of a sentence."""
        layer, below = (_NAMES.get(name, name) for name in (self.layer, self.below))
        if self.unknown is not None:
            return f"how far {layer} is behind {below} is unknown: {self.unknown}"
        if not self.tables:
            return f"{layer} is up to date with {below}"
        most = sorted(self.tables, key=lambda name: (-self.tables[name], name))
        named = ", ".join(f"{name} {self.tables[name]:,}" for name in most[:_NAMED])
        more = f" and {len(most) - _NAMED} more" if len(most) > _NAMED else ""
        return f"{layer} is {self.count:,} {self.unit} behind {below} ({named}{more})"

    def to_json(self) -> dict[str, object]:
        """Return all fields by name."""
        return {
            "layer": self.layer,
            "below": self.below,
            "unit": str(self.unit),
            "count": self.count,
            "tables": dict(self.tables),
            "unknown": self.unknown,
        }


def in_a_sentence(layers: Sequence[LayerBehind]) -> str:
    """Describe how far all layers are behind; one sentence if none is."""
    told = [str(one) for one in layers if one.count != 0]
    text = "; ".join(told) if told else "each layer is up to date with the one below"
    return f"{text[:1].upper()}{text[1:]}."


def bronze_behind(
    lake: Lake, kafka: Mapping[str, str], topic_prefix: str, *, seconds: float = _ASK_SECONDS
) -> LayerBehind:
    """Return how far bronze is behind Kafka.

    Args:
        lake: opened as a user that may read bronze.
        kafka: Kafka's, of its clients.
        topic_prefix: prefix of the topics with shop changes.
        seconds: timeout for Kafka; after that the result is unknown.
    """
    try:
        # Before the lake: in the other order, what lands in between would be ahead of Kafka.
        ends = captured_ends(admin_client(kafka), topic_prefix, timeout_seconds=seconds)
        lacking = landed_behind(ends, lake_metrics(lake, ["bronze"]))
    except PipelineError as error:
        return LayerBehind(layer="bronze", below="kafka", unknown=str(error))
    return LayerBehind(layer="bronze", below="kafka", tables=_some(lacking))


def landed_behind(ends: Ends, metrics: Iterable[TableMetrics]) -> dict[str, int]:
    """Return how many offsets each bronze table is behind, counting only the current epoch."""
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
    """Return how far silver is behind bronze, and the warehouse and gold behind silver.

    Args:
        lake: opened as a user that may read all of it.
        dsn: connection to the warehouse as its role `batch`.

    Raises:
        RetryLaterError: the warehouse or the object store does not answer.
        StopPipelineError: one of them rejects this user.
    """
    loaded = loaded_offsets(dsn)
    metrics = {one.table: one for one in lake_metrics(lake)}
    silver, warehouse = {}, {}
    for entity in contracts_of(lake).values():
        bronze = metrics.get(LakeTable(layer="bronze", name=entity.bronze))
        current = metrics.get(LakeTable(layer="silver", name=entity.silver))
        if current is not None:
            silver[entity.silver] = current.behind.count if current.behind else 0
            if not entity.is_derived:
                loads = loaded.get(entity.table, {})
                warehouse[entity.table] = count_missing(current.offsets, loads)
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
