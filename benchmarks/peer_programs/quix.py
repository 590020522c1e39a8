"""Quix Streams. It has no Delta sink of its own: a BatchingSink, as it documents, over delta-rs.

A checkpoint every second, as the lander; its default is 5 s. Processing guarantee as it comes: at
least once. A checkpoint commits each partition to Delta, then the offsets to Kafka.
"""

from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.peer_programs.task import Task, begin, land_each

_SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)
_IDLE_SECONDS = 10.0


class _DeltaSink(BatchingSink):  # type: ignore[misc] # Quix Streams is not in our environment
    def __init__(self, uri: str, options: dict[str, str]) -> None:
        super().__init__()
        self._uri = uri
        self._options = options
        self._table: DeltaTable | None = None
        self._has_begun = False

    def setup(self) -> None:
        self._table = DeltaTable.create(
            self._uri, _SCHEMA, mode="ignore", storage_options=self._options
        )

    def add(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - those of Quix
        if not self._has_begun:
            begin()
            self._has_begun = True
        super().add(*args, **kwargs)

    def write(self, batch: SinkBatch) -> None:
        items = list(batch)
        rows = pa.table(
            [
                pa.repeat(pa.scalar(batch.partition, pa.int32()), len(items)),
                [item.offset for item in items],
                [item.timestamp for item in items],
                [item.key for item in items],
                [item.value for item in items],
            ],
            schema=_SCHEMA,
        )
        write_deltalake(self._table or self._uri, rows, mode="append")


def _land(task: Task, table: str) -> None:
    application = Application(
        broker_address=task.bootstrap_servers,
        consumer_group=table,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        state_dir=str(task.state_of(table)),
        loglevel="WARNING",
    )
    topic = application.topic(task.topic, value_deserializer="bytes", key_deserializer="bytes")
    sink = _DeltaSink(f"s3://{task.path_of(table)}", task.delta_options)
    application.dataframe(topic).sink(sink)
    application.run(timeout=_IDLE_SECONDS, collect=False)


if __name__ == "__main__":
    land_each(_land)
