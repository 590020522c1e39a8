"""Writes a shop's past into a lake, and lands new changes on top of it. See `past`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.past import DAYS, END, FRAMES, Size
from consumers.buffer import Batch
from lakehouse.contracts import ENTITIES, Derivation, Entity
from lakehouse.contracts.schemas import (
    QUARANTINE,
    QUARANTINE_SCHEMA,
    RULE_COUNTS,
    RULE_COUNTS_SCHEMA,
    history_schema,
    silver_schema,
)
from lakehouse.delta import open_or_create, table_properties, with_watermarks
from lakehouse.lake import BRONZE_SCHEMA, EPOCHS_PROPERTY, Lake
from lakehouse.offsets import OffsetRange, TopicPartition, bronze_app_id, kafka_app_id

_ZONE = "Europe/Paris"
PARTITIONS = 4
_PIECE = 500_000
Change = tuple[str, str, dict[str, Any]]
"""Table of the shop, operation, and the row afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A past in a lake: silver as if it had read it all, bronze without it."""

    lake: Lake
    size: Size

    def write(self) -> None:
        """Write all silver tables, and bronze tables that end where these have read to."""
        watermarks: dict[str, int] = {}
        for entity in ENTITIES.values():
            count = self.size.rows(entity.table)
            land(self.lake, entity, _batch(entity.table, [], count, _ends(count)))
            for first in range(0, count, _PIECE):
                numbers = pl.int_range(first, min(first + _PIECE, count), eager=True).alias("n")
                rows = FRAMES[entity.table](pl.DataFrame(numbers), self.size)
                _append(self.lake, entity, _with_coordinates(rows, entity), count)
            watermarks |= _watermarks(entity, count)
        for name, schema, split in (
            (QUARANTINE, QUARANTINE_SCHEMA, "entity"),
            (RULE_COUNTS, RULE_COUNTS_SCHEMA, None),
        ):
            _write(self.lake, name, schema, split, schema.empty_table(), watermarks)

    def land(self, changes: Iterator[Change]) -> int:
        """Append changes to bronze, as Debezium writes them; returns how many."""
        batches = self.batches(changes)
        for table, batch in batches.items():
            land(self.lake, ENTITIES[table], batch)
        return sum(batch.rows.num_rows for batch in batches.values())

    def topics(self) -> "dict[str, Topic]":
        """By table: its topic, which continues after the past."""
        return {
            table: Topic(name=table, table=table, ends=_ends(self.size.rows(table)))
            for table in ENTITIES
        }

    def batches(self, changes: Iterator[Change]) -> dict[str, Batch]:
        """By table: what a consumer polls of the changes that come after the past."""
        rows: dict[str, list[Mapping[str, object]]] = {}
        ends = {table: _ends(self.size.rows(table)) for table in ENTITIES}
        at = self.size.end + timedelta(days=DAYS)
        for number, change in enumerate(changes):
            table, _, after = change
            key = after[ENTITIES[table].key]
            offset = ends[table][key % PARTITIONS]
            ends[table][key % PARTITIONS] += 1
            rows.setdefault(table, []).append(record(number, change, offset, at=at))
        return {
            table: _batch(table, records, self.size.rows(table), ends[table])
            for table, records in rows.items()
        }


def _batch(
    table: str, records: list[Mapping[str, object]], past: int, ends: Mapping[int, int]
) -> Batch:
    ranges = {
        TopicPartition(topic=table, topic_id=topic_id(table), partition=p): OffsetRange(
            start=start, stop=ends[p]
        )
        for p, start in _ends(past).items()
    }
    return Batch(rows=pa.Table.from_pylist(records, schema=BRONZE_SCHEMA), ranges=ranges)


def topic_id(table: str) -> str:
    """Return the id of a table's topic."""
    return f"topic-{table}"


@dataclass(kw_only=True)
class Topic:
    """A topic of Kafka, by default empty: changes of `table`, whose topic is named after `name`."""

    name: str
    table: str
    ends: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))

    def batch(self, changes: Iterable[tuple[str, Mapping[str, Any]]]) -> Batch:
        """Return the next records, of operation and row, as a consumer polls them."""
        before, rows, topic = dict(self.ends), [], topic_id(self.name)
        key = ENTITIES[self.table].key
        at = END + timedelta(days=DAYS)
        for number, (operation, row) in enumerate(changes):
            partition = row[key] % PARTITIONS
            change = (self.table, operation, dict(row))
            told = record(number, change, self.ends[partition], at=at)
            rows.append({**told, "_topic_id": topic})
            self.ends[partition] += 1
        ranges = {
            TopicPartition(topic=self.name, topic_id=topic, partition=p): OffsetRange(
                start=start, stop=self.ends[p]
            )
            for p, start in before.items()
        }
        return Batch(rows=pa.Table.from_pylist(rows, BRONZE_SCHEMA), ranges=ranges)


def record(number: int, change: Change, offset: int, *, at: datetime) -> dict[str, object]:
    """Return a change as a row of bronze, in the partition of its key."""
    table, operation, after = change
    key = after[ENTITIES[table].key]
    source = {"table": table, "lsn": number, "txId": number, "ts_us": int(at.timestamp() * 1e6)}
    value = {"before": None, "after": after, "source": source, "op": operation}
    return {
        "key": orjson.dumps({ENTITIES[table].key: key}),
        "value": orjson.dumps(value),
        "_topic_id": topic_id(table),
        "_epoch": 0,
        "_partition": key % PARTITIONS,
        "_offset": offset,
        "_timestamp": at,
        "_headers": None,
        "_date": at.date(),
    }


def _with_coordinates(rows: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    key = pl.col(entity.key)
    at = pl.col("updated_at")
    dated = rows.with_columns(
        pl.col(d.inputs[0]).dt.convert_time_zone(_ZONE).dt.date().alias(d.name)
        for d in entity.derived
        if d.how is Derivation.BUSINESS_DATE
    )
    return dated.with_columns(
        *(
            pl.col(d.inputs[0]).dt.strftime("%Y-%m").alias(d.name)
            for d in entity.derived
            if d.how is Derivation.MONTH
        ),
        _topic_id=pl.lit(topic_id(entity.table)),
        _epoch=pl.lit(0, pl.Int32),
        _partition=(key % PARTITIONS).cast(pl.Int32),
        _offset=key // PARTITIONS,
        _committed_at=at,
        valid_from_at=at,
    )


def _ends(rows: int) -> dict[int, int]:
    """The position after a history's last change, by partition."""
    return dict.fromkeys(range(PARTITIONS), rows // PARTITIONS + 2)


def _append(lake: Lake, entity: Entity, rows: pl.DataFrame, count: int) -> None:
    tables = [(entity.silver, silver_schema(entity), entity.partition)]
    if entity.history is not None:
        tables.append((entity.history, history_schema(entity), None))
    for name, schema, split in tables:
        absent = [pl.lit(None).alias(n) for n in schema.names if n not in rows.columns]
        table = rows.with_columns(absent).select(schema.names).to_arrow().cast(schema)
        _write(lake, name, schema, split, table, _watermarks(entity, count))


def _watermarks(entity: Entity, rows: int) -> dict[str, int]:
    topic = topic_id(entity.table)
    return {bronze_app_id(topic, 0, p): end - 1 for p, end in _ends(rows).items()}


def _write(
    lake: Lake,
    name: str,
    schema: pa.Schema,
    split: str | None,
    rows: pa.Table,
    watermarks: Mapping[str, int],
) -> None:  # fmt: skip
    delta = open_or_create(
        lake.uri("silver", name),
        lake.options,
        schema,
        partition_by=[split] if split else [],
        properties=table_properties(retention_hours=168, has_change_feed=True),
    )
    write_deltalake(delta, rows, mode="append", commit_properties=with_watermarks(watermarks))


def land(lake: Lake, entity: Entity, batch: Batch) -> None:
    """Append rows of bronze, with their watermarks."""
    epochs = [{"epoch": 0, "topic_id": topic_id(entity.table), "partition_count": PARTITIONS}]
    properties = table_properties(retention_hours=168, has_change_feed=False)
    delta = open_or_create(
        lake.uri("bronze", entity.bronze),
        lake.options,
        BRONZE_SCHEMA,
        partition_by=["_date"],
        properties={**properties, EPOCHS_PROPERTY: json.dumps(epochs)},
    )
    watermarks = {
        kafka_app_id(p.topic_id, p.partition): offsets.stop - 1
        for p, offsets in batch.ranges.items()
    }
    write_deltalake(delta, batch.rows, mode="append", commit_properties=with_watermarks(watermarks))
