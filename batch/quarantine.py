"""Quarantined changes: selection, counts and details."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
import polars as pl

from batch.silver.run import chosen_entities
from lakehouse.choices import refuse_unknown
from lakehouse.cleaning.transforms.validate import former_rule_names, rule_names
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import QUARANTINE
from lakehouse.delta import scan
from lakehouse.errors import StopPipelineError
from lakehouse.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selection of quarantined changes. Empty fields do not restrict it."""

    entities: tuple[str, ...] = ()
    rule: str | None = None
    key: str | None = None

    def of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Filter the rows of quarantine."""
        if self.entities:
            rows = rows.filter(pl.col("entity").is_in(self.entities))
        if self.rule:
            rows = rows.filter(pl.col("all_rules").str.split(",").list.contains(self.rule))
        return rows.filter(pl.col("row_key") == self.key) if self.key else rows

    def checked(self, contracts: Mapping[str, Entity]) -> "Selection":
        """Return the same selection by the shop's table names, if there are such.

        Raises:
            WrongArgumentError: there is no such table, or no contract has such a rule.
        """
        chosen = chosen_entities(self.entities, contracts)
        known = [name for entity in chosen for name in rule_names(entity)]
        former = {name for entity in chosen for name in former_rule_names(entity)}
        if self.rule and self.rule not in former.union(known):
            refuse_unknown("rule", [self.rule], sorted(set(known)))
        return replace(self, entities=tuple(e.table for e in chosen) if self.entities else ())


def summary(lake: Lake, chosen: Selection) -> list[dict[str, object]]:
    """Count changes and keys by the first rule broken, with the oldest and newest timestamp."""
    return counted(chosen.of(quarantined(lake)))


def counted(rows: pl.LazyFrame) -> list[dict[str, object]]:
    """Count like `summary`, for given rows of quarantine."""
    groups = rows.group_by("entity", "rule").agg(
        changes=pl.len(),
        keys=pl.col("row_key").n_unique(),
        oldest_at=pl.col("_timestamp").min(),
        newest_at=pl.col("_timestamp").max(),
    )
    return groups.sort("entity", "rule").collect().to_dicts()


def details(lake: Lake, chosen: Selection, *, limit: int) -> list[dict[str, object]]:
    """Return single changes: coordinate, rules broken, and the row from the shop. Newest first."""
    newest = chosen.of(quarantined(lake)).sort("_timestamp", "_offset", descending=True)
    return [
        {
            "entity": row["entity"],
            "key": row["row_key"],
            "rules": row["all_rules"],
            "topic_id": row["_topic_id"],
            "epoch": row["_epoch"],
            "partition": row["_partition"],
            "offset": row["_offset"],
            "at": row["_timestamp"],
            "row": _image(row["value"]),
        }
        for row in newest.head(limit).collect().iter_rows(named=True)
    ]


def quarantined(lake: Lake) -> pl.LazyFrame:
    """Return all quarantined changes.

    Raises:
        StopPipelineError: nothing was consolidated yet.
        RetryLaterError: the object store does not answer.
    """
    delta = lake.open("silver", QUARANTINE)
    if delta is None:
        problem = "Nothing was consolidated yet, so nothing is quarantined"
        raise StopPipelineError(problem, "Run ./pipeline consolidate")
    return scan(delta)


def _image(value: bytes | None) -> object:
    if value is None:
        return None
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode(errors="replace")
    if not isinstance(record, dict):
        return record
    return record.get("after") or record.get("before") or record
