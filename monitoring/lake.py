"""The lake by its logs, and Kafka's ends: how far each layer is behind the one below."""

from collections.abc import Iterator, Mapping

import polars as pl
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from batch.catalogue import TableFigures, Unit, lake_figures
from consumers.loss import MENDABLE, LossKind, open_losses
from lakehouse.coordinates import bronze_table
from lakehouse.delta import retry_later, scan
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import ask_ends, captured_pattern, describe_topics, matching_topics
from lakehouse.lake import LOSS_LEDGER, Lake
from monitoring.readings import Reading

Ends = Mapping[str, Mapping[tuple[str, int], int]]
"""By bronze table: the ends of its partitions, by topic id and number."""
_BEHIND = {
    Unit.OFFSETS: "pipeline_behind_offsets",
    Unit.VERSIONS: "pipeline_behind_versions",
}


def look(lake: Lake, admin: AdminClient, topic_prefix: str) -> Iterator[Reading]:
    """All tables, of logs alone.

    Raises:
        RetryLaterError: Kafka or the object store does not answer.
    """
    # Before the lake: asked the other way round, what lands in between would be ahead of Kafka.
    ends = kafka_ends(admin, topic_prefix)
    figures = lake_figures(lake)
    for one in figures:
        yield from of_table(one)
    yield from of_kafka(ends, figures)
    with retry_later("the ledger of losses cannot be read"):
        ledger = lake.open("bronze", LOSS_LEDGER)
        rows = pl.DataFrame() if ledger is None else scan(ledger).collect()
    yield from of_losses(rows)


def kafka_ends(admin: AdminClient, topic_prefix: str) -> Ends:
    """Of every topic with changes.

    Raises:
        RetryLaterError: the broker does not answer.
    """
    topics = describe_topics(admin, matching_topics(admin, captured_pattern(topic_prefix)))
    asked = ask_ends(admin, [place for topic in topics.values() for place in topic.partitions])
    found: dict[str, dict[tuple[str, int], int]] = {}
    try:
        for place, answer in asked.items():
            ends = found.setdefault(bronze_table(place.topic), {})
            ends[place.topic_id, place.partition] = answer.result().offset
    except KafkaException as error:
        message = f"Kafka does not tell its ends: {error}. Try ./pipeline status"
        raise RetryLaterError(message) from error
    return found


def of_table(one: TableFigures) -> Iterator[Reading]:
    """What is known of one table."""
    labels = (one.table.layer, one.table.name)
    known: dict[str, float | None] = {
        "pipeline_passed_offsets": one.position,
        "pipeline_newest_timestamp_seconds": (
            None if one.newest_at is None else one.newest_at.timestamp()
        ),
        "pipeline_table_rows": one.rows,
        "pipeline_table_bytes": one.bytes,
        "pipeline_table_files": one.files,
    }
    if one.behind is not None:
        known[_BEHIND[one.behind.unit]] = one.behind.count
    for name, value in known.items():
        if value is not None:
            yield Reading(name, value, labels)


def of_kafka(ends: Ends, figures: list[TableFigures]) -> Iterator[Reading]:
    """How far Kafka goes, and how far bronze is behind it. Of earlier epochs nothing counts."""
    landed = {one.table.name: one.reached for one in figures if one.table.layer == "bronze"}
    for table, places in ends.items():
        behind = sum(
            max(0, end - 1 - landed.get(table, {}).get(place, -1)) for place, end in places.items()
        )
        yield Reading("pipeline_kafka_offsets", sum(places.values()), (table,))
        yield Reading("pipeline_behind_offsets", behind, ("bronze", table))


def of_losses(ledger: pl.DataFrame) -> Iterator[Reading]:
    """How many ranges nobody has mended, and how many somebody has."""
    rows = ledger.to_dicts()
    lost = sum(row["kind"] != LossKind.READ_AGAIN for row in rows)
    mendable = sum(row["kind"] in MENDABLE for row in rows)
    # What Kafka has dropped nobody can read again.
    done = mendable - len(open_losses(rows))
    yield Reading("pipeline_losses", lost - done, ("open",))
    yield Reading("pipeline_losses", done, ("mended",))
