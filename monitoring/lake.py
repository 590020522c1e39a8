"""Probe of the lake's Delta logs and Kafka's end offsets: lag of each layer."""

from collections.abc import Iterator

import polars as pl
from confluent_kafka.admin import AdminClient

from batch.catalogue import LakeReader, LakeTable, TableMetrics, Unit, landed_behind
from consumers.bronze.loss import RESOLVABLE, LossKind, open_losses
from lakehouse.delta import retry_later, scan
from lakehouse.kafka import Ends, captured_ends
from lakehouse.lake import LOSS_LEDGER
from monitoring.metrics import Sample

_BEHIND = {
    Unit.OFFSETS: "pipeline_behind_offsets",
    Unit.VERSIONS: "pipeline_behind_versions",
}


def read(lake: LakeReader, admin: AdminClient, topic_prefix: str) -> Iterator[Sample]:
    """Return samples of all tables; reads only their logs.

    Raises:
        RetryLaterError: Kafka or the object store does not answer.
    """
    # Kafka's ends are read first: records that land in between would seem ahead of Kafka.
    ends = captured_ends(admin, topic_prefix)
    metrics = lake.metrics()
    for one in metrics:
        yield from of_table(one)
    yield from of_kafka(ends, metrics)
    with retry_later("the loss ledger cannot be read"):
        ledger = lake.deltas.get(LakeTable(layer="bronze", name=LOSS_LEDGER))
        rows = pl.DataFrame() if ledger is None else scan(ledger).collect()
    yield from of_losses(rows)


def of_table(one: TableMetrics) -> Iterator[Sample]:
    """Return the samples of one table."""
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
            yield Sample(name, value, labels)


def of_kafka(ends: Ends, metrics: list[TableMetrics]) -> Iterator[Sample]:
    """Return Kafka's end offsets and bronze's lag by table, of the current epoch only."""
    behind = landed_behind(ends, metrics)
    for table, partition_ends in ends.items():
        yield Sample("pipeline_kafka_offsets", sum(partition_ends.values()), (table,))
        yield Sample("pipeline_behind_offsets", behind[table], ("bronze", table))


def of_losses(ledger: pl.DataFrame) -> Iterator[Sample]:
    """Return the numbers of open and of resolved ranges in the loss ledger."""
    rows = ledger.to_dicts()
    lost = sum(row["kind"] != LossKind.READ_AGAIN for row in rows)
    resolvable = sum(row["kind"] in RESOLVABLE for row in rows)
    # Ranges that expired in Kafka cannot be resolved by an extraction.
    done = resolvable - len(open_losses(rows))
    yield Sample("pipeline_losses", lost - done, ("open",))
    yield Sample("pipeline_losses", done, ("resolved",))
