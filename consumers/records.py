"""Conversion of Kafka messages to Arrow columns, a batch at a time."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import TopicIdentity

_HEADERS = BRONZE_SCHEMA.field("_headers").type


def to_arrow(
    messages: Sequence[Message], identities: dict[str, TopicIdentity]
) -> dict[str, pa.RecordBatch]:
    """Return columns of `BRONZE_SCHEMA` for each topic in `messages`, in the order received.

    Args:
        messages: without errors, of any topics and partitions.
        identities: by topic; must name every topic in `messages`.
    """
    topics = cast("list[str]", list(map(Message.topic, messages)))
    if len(set(topics)) == 1:
        return {topics[0]: _columns(messages, identities[topics[0]])}
    column = pa.array(topics).dictionary_encode()
    groups = {}
    for code, topic in enumerate(column.dictionary.to_pylist()):
        indexes = np.flatnonzero(column.indices.to_numpy() == code)
        groups[topic] = _columns([messages[i] for i in indexes.tolist()], identities[topic])
    return groups


def _columns(messages: Sequence[Message], identity: TopicIdentity) -> pa.RecordBatch:
    count = len(messages)
    _, milliseconds = zip(*map(Message.timestamp, messages), strict=True)
    instants = pa.array(np.array(milliseconds, dtype=np.int64) * 1000).cast(
        BRONZE_SCHEMA.field("_timestamp").type
    )
    return pa.record_batch(
        [
            pa.array(map(Message.key, messages), pa.binary(), size=count),
            pa.array(map(Message.value, messages), pa.binary(), size=count),
            pa.repeat(identity.topic_id, count),
            pa.repeat(pa.scalar(identity.epoch, pa.int32()), count),
            pa.array(map(Message.partition, messages), pa.int32(), size=count),
            pa.array(map(Message.offset, messages), pa.int64(), size=count),
            instants,
            _headers(messages),
            pc.cast(instants, pa.date32()),
        ],
        schema=BRONZE_SCHEMA,
    )


def _headers(messages: Sequence[Message]) -> pa.Array:
    headers = cast("list[list[tuple[str, object]] | None]", list(map(Message.headers, messages)))
    if not any(headers):
        return pa.nulls(len(headers), _HEADERS)
    # Debezium sends none by default, so this is off the hot path.
    return pa.array(
        [None if h is None else [{"key": k, "value": v} for k, v in h] for h in headers], _HEADERS
    )
