"""Replays from Kafka, into bronze and live, configured by the environment."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from batch.table_diff import Differences, Example, TableDiff
from consumers.bronze.table import DeltaBronzeTable
from consumers.live.overlay import Overlay
from consumers.live.service import change_readers
from lakehouse.choices import meant
from lakehouse.connections import warehouse
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.bronze import bronze_table
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.kafka import Topic, admin_client, captured_pattern, describe_topics, matching_topics
from lakehouse.lake import storage_options, table_uri
from lakehouse.offsets import OffsetRange, TopicIdentity, next_position
from lakehouse.secrets import Secrets
from lakehouse.selection import Selection
from lakehouse.settings import (
    ConnectSettings,
    ConsolidationSettings,
    KafkaSettings,
    LandingSettings,
    MinioSettings,
    ShopSettings,
)
from replay.bronze import BronzeReplay, BronzeReplayer
from replay.kafka_range import KafkaRange, Range
from replay.live import LiveReplayer, live_identity, live_ranges

Progress = Callable[[str, int, int], None]
_MOST_RECORDS = 200_000
"""Held in memory at a time, or fewer if CONSOLIDATION_CHUNK_ROWS says so: a record as Kafka has it
is JSON with the row before and after, larger than the change that is read from it."""


@dataclass(frozen=True, kw_only=True)
class OpenTopic:
    """A topic, and the range that a layer has applied. Offsets before `starts` do not count."""

    topic: Topic
    entity: str
    into: str
    identity: TopicIdentity
    starts: Mapping[int, int]
    ends: Mapping[int, int]

    def counting(self, ranges: Mapping[int, OffsetRange]) -> dict[int, OffsetRange]:
        """Restrict ranges, by partition, to the offsets that count."""
        starts = {number: self.starts.get(number, 0) for number in ranges}
        return {
            number: OffsetRange(start=max(offsets.start, starts[number]), stop=offsets.stop)
            for number, offsets in ranges.items()
            if offsets.stop > starts[number]
        }


@dataclass(frozen=True, kw_only=True)
class TableRecords:
    """A range of a topic."""

    opened: OpenTopic
    range: Range

    @property
    def entity(self) -> str:
        """Return the shop's table."""
        return self.opened.entity

    def described(self) -> list[dict[str, object]]:
        """Return one row per partition.

        The number of records in a range is known only after reading it, because transaction markers
        and compaction leave holes. `records_at_most` is its number of offsets.
        """
        return [
            {
                "entity": self.entity,
                "epoch": self.opened.identity.epoch,
                "partition": number,
                "first_offset": offsets.start,
                "last_offset": offsets.stop - 1,
                "records_at_most": offsets.stop - offsets.start,
            }
            for number, offsets in sorted(self.range.ranges.items())
        ]

    def notes(self) -> list[str]:
        """Return messages about the part of the range that Kafka no longer has."""
        return [
            f"{self.opened.topic.name}[{number}]: offsets {offsets.start} to {offsets.stop - 1} "
            "are gone from Kafka; bronze keeps what it has of them."
            for number, offsets in sorted(self.range.gone.items())
        ]

    def as_selection(self) -> Selection:
        """Return the same range as a selection for the layers above."""
        ranges = self.range.ranges
        return Selection(
            first={number: offsets.start for number, offsets in ranges.items()},
            last={number: offsets.stop - 1 for number, offsets in ranges.items()},
        )


@dataclass(frozen=True, kw_only=True)
class BronzeDone:
    """Result of a replay into a bronze table."""

    diff: TableDiff
    read: int
    notes: list[str]
    has_replaced: bool


@dataclass(frozen=True, kw_only=True)
class FromKafka:
    """Replays from Kafka into bronze and live."""

    kafka: KafkaSettings
    connect: ConnectSettings
    minio: MinioSettings
    secrets: Secrets
    on_progress: Progress

    @classmethod
    def of_settings(cls, secrets: Secrets, on_progress: Progress) -> "FromKafka":
        """Create replays with the environment's settings."""
        return cls(
            kafka=KafkaSettings(), connect=ConnectSettings(), minio=MinioSettings(),
            secrets=secrets, on_progress=on_progress,
        )  # fmt: skip

    def topics(self, into: str, entities: Sequence[str]) -> list[OpenTopic]:
        """Return the topics of these tables; of all captured tables if none is given.

        Raises:
            StopPipelineError: there is no such topic, or it is not the incarnation that was
                applied.
            RetryLaterError: a service does not answer.
        """
        admin = admin_client(self.kafka.client)
        prefix = f"{self.connect.topic_prefix}.public."
        names = [prefix + name for name in entities] or matching_topics(
            admin, captured_pattern(self.connect.topic_prefix)
        )
        described = describe_topics(admin, names)
        missing = [name for name in names if name not in described]
        if missing:
            known = matching_topics(admin, captured_pattern(self.connect.topic_prefix))
            message = (
                f"Kafka has no topic {', '.join(missing)}. {meant(missing, known)}"
                "See ./pipeline connect status."
            )
            raise WrongArgumentError(message)
        opens = self._of_bronze if into == "bronze" else self._of_live
        topics = [opens(described[name], name.removeprefix(prefix)) for name in names]
        return [topic for topic in topics if topic is not None]

    def part(self, opened: OpenTopic, selection: Selection) -> TableRecords:
        """Resolve a selection.

        Raises:
            StopPipelineError: Kafka no longer has some of the requested offsets, or never had them.
            RetryLaterError: the broker does not answer.
        """
        since = self._since(opened, selection)
        with KafkaRange(self.kafka, opened.topic, opened.identity) as source:
            found = source.resolve(selection, opened.ends, known_since=since)
        gone, ranges = opened.counting(found.gone), opened.counting(found.ranges)
        is_asked = selection.since is not None
        asked = {n: offsets for n, offsets in gone.items() if is_asked or n in selection.first}
        Range(ranges=found.ranges, gone=asked).require(opened.topic)
        return TableRecords(opened=opened, range=Range(ranges=ranges, gone=gone))

    def bronze(self, part: TableRecords, folder: Path) -> BronzeDone:
        """Replace bronze's records by Kafka's where they differ.

        Args:
            part: the range.
            folder: workspace, from which an interrupted replay resumes.
        """
        opened = part.opened
        name = bronze_table(opened.topic.name)
        what = f"{opened.entity}: comparing bronze with Kafka"
        replayer = BronzeReplayer(
            name=name,
            table=self._table(name),
            identity=opened.identity,
            ends=opened.ends,
            window=_window(),
            folder=folder,
            on_progress=lambda done, total: self.on_progress(what, done, total),
        )
        with KafkaRange(self.kafka, opened.topic, opened.identity) as source:
            return _bronze_done(replayer.run(source, part.range.ranges))

    def live(self, part: TableRecords) -> tuple[TableDiff, int]:
        """Replay the range into the overlay; return the diff and the number of changes read."""
        opened = part.opened
        reader = change_readers(ShopSettings())[opened.entity]
        overlay = Overlay(dsn=warehouse("live"), readers={opened.entity: reader})
        what = f"{opened.entity}: into live"
        replayer = LiveReplayer(
            overlay=overlay,
            reader=reader,
            identity=opened.identity,
            window=_window(),
            on_progress=lambda done, total: self.on_progress(what, done, total),
        )
        try:
            with KafkaRange(self.kafka, opened.topic, opened.identity) as source:
                done = replayer.run(source, part.range.ranges)
        finally:
            overlay.close()
        diff = TableDiff(
            layer="live", table=opened.entity, before=done.before, after=done.after,
            differences=Differences(),
        )  # fmt: skip
        return diff, done.read

    def _since(self, opened: OpenTopic, selection: Selection) -> dict[int, int]:
        """Return where the range begins by bronze, which keeps records that Kafka drops."""
        if opened.into != "bronze" or selection.since is None:
            return {}
        identity = opened.identity
        found = (
            scan(self._table(bronze_table(opened.topic.name)).delta)
            .filter(
                pl.col("_topic_id") == identity.topic_id,
                pl.col("_epoch") == identity.epoch,
                pl.col("_timestamp") >= selection.since,
            )
            .group_by("_partition")
            .agg(pl.col("_offset").min())
        )
        with retry_later("bronze cannot be read"):
            return dict(found.collect().iter_rows())

    def _of_bronze(self, topic: Topic, entity: str) -> OpenTopic | None:
        table = self._table(bronze_table(topic.name))
        epochs = table.epochs()
        if not epochs:
            return None
        if (epochs[-1].topic_id, epochs[-1].partition_count) != (
            topic.topic_id,
            topic.partition_count,
        ):
            problem = (
                f"{topic.name} was recreated or has another number of partitions, so Kafka has "
                "none of bronze's records"
            )
            raise StopPipelineError(problem, "Check the lander first: ./pipeline logs lander.")
        ends = {p.partition: next_position(table.watermark(p)) for p in topic.partitions}
        identity = TopicIdentity(topic_id=topic.topic_id, epoch=epochs[-1].epoch)
        return OpenTopic(
            topic=topic, entity=entity, into="bronze", identity=identity, starts={}, ends=ends
        )

    def _of_live(self, topic: Topic, entity: str) -> OpenTopic | None:
        if entity not in ENTITIES:
            return None
        # Nothing is applied here, so no parsers are needed.
        overlay = Overlay(dsn=warehouse("live"), readers={})
        try:
            identity = live_identity(overlay, entity)
            if identity is None or identity.topic_id != topic.topic_id:
                return None
            ranges = live_ranges(overlay, entity, identity)
        finally:
            overlay.close()
        return OpenTopic(
            topic=topic, entity=entity, into="live", identity=identity,
            starts={number: offsets.start for number, offsets in ranges.items()},
            ends={number: offsets.stop for number, offsets in ranges.items()},
        )  # fmt: skip

    def _table(self, name: str) -> DeltaBronzeTable:
        options = storage_options(self.minio, self.secrets, user="lander")
        return DeltaBronzeTable.open_or_create(
            table_uri(self.minio.bronze_bucket, name),
            options,
            retention_hours=LandingSettings().retention_hours,
        )


def went_on(what: str, ranges: Iterable[tuple[int, OffsetRange]]) -> str:
    """Return a message that a replay has resumed an interrupted one, with its range."""
    told = ", ".join(f"{number}:{offsets.start}-{offsets.stop - 1}" for number, offsets in sorted(
        ranges, key=lambda one: (one[0], one[1].start)
    ))  # fmt: skip
    return f"{what}: resumed an interrupted replay; its range was {told}."


def _bronze_done(done: BronzeReplay) -> BronzeDone:
    found = done.found
    examples = [
        Example(
            key={"partition": one["_partition"], "offset": one["_offset"]},
            kind="added" if one["kind"] == "missing" else str(one["kind"]),
            columns=one["columns"],
        )
        for one in found.examples
    ]
    differences = Differences(
        added=found.missing, changed=found.different + found.doubled, examples=examples
    )
    notes = [went_on(f"bronze/{done.table}", done.ranges.items())] if done.went_on else []
    if found.only_in_bronze:
        notes.append(
            f"bronze/{done.table}: {found.only_in_bronze:,} records are not in Kafka (any more) "
            "and were kept."
        )
    diff = TableDiff(
        layer="bronze", table=done.table, before=done.before, after=done.after,
        differences=differences,
    )  # fmt: skip
    return BronzeDone(diff=diff, read=found.read, notes=notes, has_replaced=bool(found.replaced))


def _window() -> int:
    return min(_MOST_RECORDS, ConsolidationSettings().chunk_rows)
