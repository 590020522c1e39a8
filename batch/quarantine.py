"""What the rules put aside: counted, shown, and judged again after a contract was mended."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import orjson
import polars as pl

from batch.silver.replay import SilverReplayer
from batch.silver.run import SilverRules, chosen_entities
from lakehouse.choices import meant
from lakehouse.cleaning.transforms.validate import former_rule_names, rule_names
from lakehouse.contracts import Entity
from lakehouse.contracts.schemas import QUARANTINE
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which changes are meant. What is empty does not narrow it."""

    entities: tuple[str, ...] = ()
    rule: str | None = None
    key: str | None = None

    def of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of quarantine that are meant."""
        if self.entities:
            rows = rows.filter(pl.col("entity").is_in([e.table for e in self._contracts()]))
        if self.rule:
            rows = rows.filter(pl.col("all_rules").str.split(",").list.contains(self.rule))
        return rows.filter(pl.col("row_key") == self.key) if self.key else rows

    def require_sense(self) -> None:
        """Refuse names that nothing has, before anything is begun.

        Raises:
            WrongArgumentError: there is no such table, or no contract has such a rule.
        """
        known = [name for entity in self._contracts() for name in rule_names(entity)]
        former = {name for entity in self._contracts() for name in former_rule_names(entity)}
        if self.rule and self.rule not in former.union(known):
            message = (
                f"There is no rule {self.rule}. {meant([self.rule], known)}"
                f"Rules: {', '.join(sorted(set(known)))}."
            )
            raise WrongArgumentError(message)

    def _contracts(self) -> list[Entity]:
        return chosen_entities(self.entities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What judging again did to one entity's quarantine."""

    entity: str
    keys: int
    mended: int
    left: int


def summary(lake: Lake, chosen: Selection) -> list[dict[str, object]]:
    """How many changes of how many keys broke which rule first, oldest and newest instant."""
    return counted(chosen.of(_rows(lake)))


def counted(rows: pl.LazyFrame) -> list[dict[str, object]]:
    """As `summary`, of these rows of quarantine."""
    groups = rows.group_by("entity", "rule").agg(
        changes=pl.len(),
        keys=pl.col("row_key").n_unique(),
        oldest_at=pl.col("_timestamp").min(),
        newest_at=pl.col("_timestamp").max(),
    )
    return groups.sort("entity", "rule").collect().to_dicts()


def details(lake: Lake, chosen: Selection, *, limit: int) -> list[dict[str, object]]:
    """Single changes: coordinate, rules broken, and the row as the shop sent it. Newest first."""
    newest = chosen.of(_rows(lake)).sort("_timestamp", "_offset", descending=True)
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


def redrive(
    lake: Lake,
    rules: SilverRules,
    chosen: Selection,
    *,
    on_progress: Callable[[str], None] = lambda _what: None,
) -> list[Redriven]:
    """Judge the keys of quarantined changes again, from all their changes in bronze.

    No watermark goes back and no other key is touched. Gold and the warehouse follow with the
    next consolidation.

    Raises:
        StopPipelineError: bronze is not there any more.
        RetryLaterError: the object store does not answer.
    """
    with retry_later(f"silver/{QUARANTINE} cannot be read"):
        rows = chosen.of(_rows(lake)).select("entity", "key").unique().collect()
    done = []
    for entity in _with_rows(rows):
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
            spans={},
            keys=keys,
            folder=Path(folder),
            alone=nullcontext,
        ).run()
    quarantine = next(one for one in found.proofs if one.table.startswith(QUARANTINE))
    mended = quarantine.before.rows - quarantine.after.rows
    return Redriven(entity=entity.table, keys=len(keys), mended=mended, left=found.broken)


def _rows(lake: Lake) -> pl.LazyFrame:
    delta = lake.open("silver", QUARANTINE)
    if delta is None:
        message = (
            "Nothing was consolidated yet, so nothing is in quarantine. ./pipeline consolidate"
        )
        raise StopPipelineError(message)
    return scan(delta)


def _with_rows(rows: pl.DataFrame) -> Iterator[Entity]:
    names: Iterable[str] = rows["entity"].unique().sort()
    for name in names:
        yield from chosen_entities([name])


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
