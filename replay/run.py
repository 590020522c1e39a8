"""One replay through all requested layers; joins batch code and readers of Kafka."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from batch.contracts.stored import known_contracts
from batch.lock import first_of
from batch.processes import Processes
from batch.runs import Kind, Run, recorded
from batch.silver.run import SilverRules, chosen_entities
from batch.spark.cluster import Cluster
from batch.table_diff import TableDiff
from batch.warehouse.validated import QuarantineLimit
from lakehouse.connections import secrets, warehouse, writing_lake
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.layers import Layer
from lakehouse.selection import Selection
from lakehouse.settings import StackSettings
from lakehouse.version import code_version, contracts_version
from replay.chosen import ChosenRange, choose, months
from replay.from_kafka import FromKafka, TableRecords, went_on
from replay.gold import affected_days
from replay.layers import Replay
from replay.workspace import workspace

if TYPE_CHECKING:
    from batch.silver.tables import Rows

Progress = Callable[[str, int, int], None]
_FROM_KAFKA = (Layer.BRONZE, Layer.LIVE)


@dataclass(frozen=True, kw_only=True)
class Described:
    """Description of what a replay would do.

    Attributes:
        ranges: one row per partition of each table.
        chosen: ranges of bronze.
        parts: ranges of Kafka.
        notes: further messages.
    """

    ranges: list[dict[str, object]]
    chosen: list[ChosenRange] = field(default_factory=list)
    parts: list[TableRecords] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Return what `./pipeline replay --format json` prints."""
        return {"ranges": self.ranges, "notes": self.notes}


@dataclass(kw_only=True)
class Outcome:
    """Result of a replay."""

    diffs: list[TableDiff] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    read: int = 0
    seconds: float = 0.0

    @property
    def differing(self) -> list[TableDiff]:
        """Return the diffs of tables that changed."""
        return [diff for diff in self.diffs if not diff.is_equal]

    def verdict(self) -> str:
        """Summarize the result in a sentence."""
        took = f"{self.read:,} changes read, {self.seconds:.1f} s"
        if not self.diffs:
            return f"Nothing to replay ({took})."
        if not self.differing:
            return f"Equal digests: no table changed ({took})."
        names = ", ".join(f"{one.layer}/{one.table}" for one in self.differing)
        rows = sum(one.differences.count for one in self.differing)
        return f"{rows:,} rows changed, in {names} ({took})."

    def digests(self) -> dict[str, object]:
        """Return the digests by table, before and after."""
        return {
            f"{one.layer}/{one.table}": {"before": str(one.before), "after": str(one.after)}
            for one in self.diffs
        }

    def to_json(self) -> dict[str, object]:
        """Return what `./pipeline replay --format json` prints."""
        tables = [
            {
                "layer": one.layer,
                "table": one.table,
                "before": str(one.before),
                "after": str(one.after),
                "is_equal": one.is_equal,
                **asdict(one.differences),
                "more": one.differences.more,
            }
            for one in self.diffs
        ]
        return {
            "tables": tables,
            "notes": self.notes,
            "changes_read": self.read,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, kw_only=True)
class Replaying:
    """A replay, configured by the environment.

    Attributes:
        into: the first layer to replay into.
        entities: the shop's tables; all if empty.
        selection: the range of their changes.
        only: do not replay the layers above.
        on_progress: called with the current step, the amount done, and the total.
        cluster: of Spark, for silver; None for this process.
    """

    into: Layer
    entities: Sequence[str]
    selection: Selection
    only: bool
    on_progress: Progress
    cluster: Cluster | None = None

    @classmethod
    def of_settings(
        cls,
        *,
        into: Layer,
        entities: Sequence[str],
        selection: Selection,
        only: bool,
        on_progress: Progress,
        cluster: Cluster | None = None,
    ) -> "Replaying":
        """Check names before anything starts.

        Raises:
            StopPipelineError: a table is unknown.
        """
        replaying = cls(
            into=into, entities=tuple(entities), selection=selection, only=only,
            on_progress=on_progress, cluster=cluster,
        )  # fmt: skip
        if into is not Layer.BRONZE:
            chosen_entities(entities, replaying._contracts)
        return replaying

    def described(self) -> Described:
        """Resolve the range, and describe what would be read.

        Raises:
            StopPipelineError: part of the range no longer exists.
            RetryLaterError: a service does not answer.
        """
        self.on_progress("resolving the range", 0, 0)
        if self.into in _FROM_KAFKA:
            topics = self._kafka.topics(self.into, self.entities)
            parts = [self._kafka.part(topic, self.selection) for topic in topics]
            rows = [row for part in parts for row in part.described()]
            notes = [note for part in parts for note in part.notes()]
            meant = [part for part in parts if part.range.ranges]
            return Described(ranges=rows, parts=meant, notes=notes)
        chosen = [
            choose(self._replay.kept, one, self.selection)
            for one in chosen_entities(self.entities, self._contracts)
        ]
        chosen = [one for one in chosen if one.ranges]
        rows = [
            {"entity": one.entity.table, **row}
            for one in chosen
            for row in one.described().iter_rows(named=True)
        ]
        return Described(ranges=rows, chosen=chosen)

    def run(self, described: Described) -> Outcome:
        """Run the replay, keep a record, and return the result.

        Raises:
            StopPipelineError: it needs manual action; completed layers are correct.
            RetryLaterError: a service does not answer. The same replay resumes where it stopped.
        """
        began = monotonic()
        outcome = Outcome(notes=list(described.notes))
        scope = {**self._request(), "ranges": described.ranges}
        with (
            self._alone(),
            recorded(warehouse("batch"), kind=Kind.REPLAY, scope=scope) as run,
        ):
            self._run(described, outcome)
            outcome.seconds = monotonic() - began
            self._note(run, outcome)
        return outcome

    def _run(self, described: Described, outcome: Outcome) -> None:
        if not (described.chosen or described.parts):
            return
        match self.into:
            case Layer.BRONZE:
                self._bronze(described, outcome)
            case Layer.SILVER:
                self._silver(described.chosen, outcome)
            case Layer.GOLD:
                outcome.diffs += self._replay.gold(described.chosen)
            case Layer.WAREHOUSE:
                outcome.diffs += self._replay.load_again(described.chosen)
            case _:
                for part in described.parts:
                    diff, read = self._kafka.live(part)
                    outcome.diffs.append(diff)
                    outcome.read += read

    def _bronze(self, described: Described, outcome: Outcome) -> None:
        for part in described.parts:
            topic = asdict(part.opened.identity)
            decisive = (self._request(), topic, self._replay.code)
            with workspace(self._workspaces, f"bronze-{part.entity}", *decisive) as folder:
                done = self._kafka.bronze(part, folder)
            outcome.diffs.append(done.diff)
            outcome.notes += done.notes
            outcome.read += done.read
            if done.has_replaced:
                self._replay.forget(part.entity)
        self._silver(self._above(described), outcome)

    def _above(self, described: Described) -> list[ChosenRange]:
        """Return the range of bronze that the layers above apply again."""
        if self.into is not Layer.BRONZE:
            return described.chosen
        # If silver has no table yet, nothing above needs a replay: it will read bronze as it is.
        meant = [part for part in described.parts if self._has_silver(part) and not self.only]
        ranges = [
            choose(self._replay.lake, self._contracts[part.entity], part.as_selection())
            for part in meant
        ]
        return [one for one in ranges if one.ranges]

    def _has_silver(self, part: TableRecords) -> bool:
        entity = self._contracts.get(part.entity)
        return entity is not None and self._replay.lake.open("silver", entity.silver) is not None

    def _silver(self, chosen: Sequence[ChosenRange], outcome: Outcome) -> None:
        for one in chosen:
            done = self._replay.silver(one, self._request())
            outcome.diffs += done.diffs
            outcome.read += done.read
            if done.went_on:
                ranges = [
                    (coordinate.partition, offsets) for coordinate, offsets in done.ranges.items()
                ]
                outcome.notes.append(went_on(f"silver/{one.entity.silver}", ranges))
        if chosen and not self.only:
            self._replay.follow()
            outcome.notes.append("Gold and the warehouse have followed silver.")

    def plan(self, described: Described) -> Iterator[dict[str, object]]:
        """Yield what is recomputed, and what follows; the warehouse follows in all affected rows.

        Into bronze: by the present silver and bronze. Repairing bronze may reveal further keys.

        Grain: one row per table of a layer.
        """
        rows: dict[str, Rows] = {}
        for one in self._above(described):
            keys = one.keys()
            rows |= one.rows(keys)
            if self.into is Layer.GOLD:
                continue
            found = months(self._replay.lake, one, keys)
            where = f"{found[0]} to {found[-1]} ({len(found)})" if found else None
            layer = Layer.WAREHOUSE if self.into is Layer.WAREHOUSE else Layer.SILVER
            table = f"entity.{one.entity.table}" if layer is Layer.WAREHOUSE else one.entity.silver
            yield {"layer": layer, "table": table, "keys": len(keys), "months": where, "days": None}
        if self.into is Layer.WAREHOUSE or (self.only and self.into is Layer.SILVER):
            return
        for name, days in affected_days(self._replay.lake, rows).items():
            where = f"{days[0]} to {days[-1]} ({len(days)})" if days else "all"
            yield {"layer": Layer.GOLD, "table": name, "keys": None, "months": None, "days": where}

    def _note(self, run: Run, outcome: Outcome) -> None:
        run.note(
            rows_read=outcome.read,
            rows_written=sum(one.differences.count for one in outcome.diffs),
            digest=outcome.digests(),
            details={"notes": outcome.notes},
        )

    def _request(self) -> dict[str, object]:
        chosen = self.selection
        return {
            "into": self.into,
            "entities": list(self.entities) or "all",
            "from_offset": {str(number): at for number, at in chosen.first.items()},
            "to_offset": {str(number): at for number, at in chosen.last.items()},
            "from_time": chosen.since and chosen.since.isoformat(),
            "to_time": chosen.until and chosen.until.isoformat(),
            "only": self.only,
        }

    def _alone(self) -> AbstractContextManager[None]:
        """Allow one replay into a layer at a time; bronze and silver share validated changes."""
        layer = "the lake" if self.into in (Layer.BRONZE, Layer.SILVER) else self.into
        return first_of(warehouse("batch"), f"replay into {self.into}", f"replay into {layer}")

    @cached_property
    def _contracts(self) -> Mapping[str, Entity]:
        """Return the contracts of tables that the layer has."""
        has_all = self.into in (Layer.BRONZE, Layer.SILVER)
        return known_contracts(lambda: self._replay.lake) if has_all else ENTITIES

    @property
    def _workspaces(self) -> Path:
        return StackSettings().data_dir / "replay"

    @cached_property
    def _kafka(self) -> FromKafka:
        return FromKafka.of_settings(secrets(), self.on_progress)

    @cached_property
    def _replay(self) -> Replay:
        return Replay(
            lake=writing_lake(),
            rules=SilverRules.of_settings(),
            limit=QuarantineLimit.of_settings(),
            warehouse=warehouse("batch"),
            workspaces=self._workspaces,
            code=f"{code_version()} {contracts_version()}",
            on_progress=self.on_progress,
            cluster=self.cluster,
            processes=Processes.of_settings(),
        )
