"""Conversion of Kafka messages to Arrow columns, a batch at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message
from numpy.typing import NDArray

from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import TopicIdentity

_HEADERS = BRONZE_SCHEMA.field("_headers").type
_INSTANT = itemgetter(1)
_MESSAGE_BYTES = 350
"""Of Python's objects for a message: itself, its topic, what holds key, value and offset; about."""
_HEADER_BYTES = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """Messages of one topic, none with an error: to read a few costs less than their columns do."""

    messages: Sequence[Message]
    identity: TopicIdentity

    @property
    def num_rows(self) -> int:
        """Return the number of messages."""
        return len(self.messages)

    @property
    def nbytes(self) -> int:
        """Return about the memory used."""
        count = len(self.messages) * _MESSAGE_BYTES
        count += sum(map(len, filter(None, self.values())))
        count += sum(map(len, filter(None, map(Message.key, self.messages))))
        for headers in filter(None, _lists_of_headers(self.messages)):
            count += sum(_HEADER_BYTES + len(name) + len(value or b"") for name, value in headers)
        return count

    def values(self) -> list[bytes | None]:
        """Return the value of each."""
        return list(map(Message.value, self.messages))

    def coordinates(self) -> list[tuple[Any, ...]]:
        """Return topic id, epoch, partition and offset of each."""
        topic_id, epoch = self.identity.topic_id, self.identity.epoch
        return [(topic_id, epoch, one.partition(), one.offset()) for one in self.messages]

    def columns(self) -> pa.RecordBatch:
        """Return columns of `BRONZE_SCHEMA`."""
        return _columns(self.messages, self.identity)


def to_arrow(
    messages: Sequence[Message], identities: dict[str, TopicIdentity]
) -> dict[str, pa.RecordBatch]:
    """Return columns of `BRONZE_SCHEMA` for each topic in `messages`, in the order received.

    Args:
        messages: without errors, of any topics and partitions.
        identities: by topic; must name every topic in `messages`.
    """
    topics = cast("list[str]", list(map(Message.topic, messages)))
    if topics.count(topics[0]) == len(topics):
        return {topics[0]: _columns(messages, identities[topics[0]])}
    column = pa.array(topics).dictionary_encode()
    groups = {}
    for code, topic in enumerate(column.dictionary.to_pylist()):
        indexes = np.flatnonzero(column.indices.to_numpy() == code)
        groups[topic] = _columns([messages[i] for i in indexes.tolist()], identities[topic])
    return groups


def _columns(messages: Sequence[Message], identity: TopicIdentity) -> pa.RecordBatch:
    count = len(messages)
    milliseconds = _integers(map(_INSTANT, map(Message.timestamp, messages)), np.int64, count)
    instants = pa.array(milliseconds * 1000).cast(BRONZE_SCHEMA.field("_timestamp").type)
    return pa.record_batch(
        [
            pa.array(list(map(Message.key, messages)), pa.binary()),
            _long(list(map(Message.value, messages))),
            pa.repeat(identity.topic_id, count),
            pa.repeat(pa.scalar(identity.epoch, pa.int32()), count),
            pa.array(_integers(map(Message.partition, messages), np.int32, count)),
            pa.array(_integers(map(Message.offset, messages), np.int64, count)),
            instants,
            _headers(messages),
            pc.cast(instants, pa.date32()),
        ],
        schema=BRONZE_SCHEMA,
    )


def _integers(values: Iterable[int | None], kind: type[np.integer], count: int) -> NDArray[Any]:
    return np.fromiter(cast("Iterable[int]", values), kind, count)


def _long(values: list[bytes | None]) -> pa.Array:
    """Return the same as `pa.array`, which copies long values more than once."""
    kind, texts = pa.binary(), cast("list[bytes]", values)
    try:
        joined = b"".join(texts)
    except TypeError:  # a tombstone, which is rare, has no value
        return pa.array(values, kind)
    if len(joined) > np.iinfo(np.int32).max:
        return pa.array(values, kind)
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(joined)]
    return pa.Array.from_buffers(kind, len(texts), buffers, null_count=0)


def _lists_of_headers(messages: Sequence[Message]) -> list[list[tuple[str, bytes | None]] | None]:
    found = list(map(Message.headers, messages))
    return cast("list[list[tuple[str, bytes | None]] | None]", found)


def _headers(messages: Sequence[Message]) -> pa.Array:
    headers = _lists_of_headers(messages)
    if not any(headers):
        return pa.nulls(len(headers), _HEADERS)
    # Debezium sends none by default, so this is off the hot path.
    return pa.array(
        [None if h is None else [{"key": k, "value": v} for k, v in h] for h in headers], _HEADERS
    )
