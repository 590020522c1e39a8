"""Redrive: validates quarantined changes again after a contract or a row was corrected."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from batch.contracts.stored import contracts_of
from batch.quarantine import Selection, quarantined
from batch.silver.run import SilverRules, chosen_entities
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import QUARANTINE
from lakehouse.delta import retry_later
from lakehouse.lake import Lake
from replay.silver import SilverReplayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """Result of revalidating one entity's quarantine."""

    entity: str
    keys: int
    accepted: int
    left: int


def redrive(
    lake: Lake,
    rules: SilverRules,
    chosen: Selection,
    *,
    on_progress: Callable[[str], None] = lambda _what: None,
) -> list[Redriven]:
    """Validate the keys of quarantined changes again, from all their changes in bronze.

    Watermarks do not move, and no other key is affected. Gold and the warehouse follow with the
    next consolidation.

    Raises:
        StopPipelineError: bronze no longer exists.
        RetryLaterError: the object store does not answer.
    """
    with retry_later(f"silver/{QUARANTINE} cannot be read"):
        rows = chosen.of(quarantined(lake)).select("entity", "key").unique().collect()
    done = []
    for entity in _with_rows(rows, contracts_of(lake)):
        keys = rows.filter(pl.col("entity") == entity.table)["key"]
        on_progress(f"{entity.table}: {len(keys):,} keys")
        done.append(_redriven(lake, rules, entity, keys))
    return done


def _redriven(lake: Lake, rules: SilverRules, entity: Entity, keys: pl.Series) -> Redriven:
    with tempfile.TemporaryDirectory(prefix="redrive-") as folder:
        found = SilverReplayer(
            lake=lake,
            rules=rules,
            entity=entity,
            ranges={},
            keys=keys,
            folder=Path(folder),
            alone=nullcontext,
        ).run()
    quarantine = next(one for one in found.diffs if one.table.startswith(QUARANTINE))
    accepted = quarantine.before.rows - quarantine.after.rows
    return Redriven(entity=entity.table, keys=len(keys), accepted=accepted, left=found.broken)


def _with_rows(rows: pl.DataFrame, contracts: Mapping[str, Entity]) -> Iterator[Entity]:
    names: Iterable[str] = rows["entity"].unique().sort()
    for name in names:
        yield from chosen_entities([name], contracts)
