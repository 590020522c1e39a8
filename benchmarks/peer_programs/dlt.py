"""dlt: a resource like its verified Kafka source, in Arrow batches of 10,000, appended to Delta.

As that source does, it reads to the ends that the partitions have at its start, and keeps its
offsets in the state of the resource, which dlt stores with each load package.
"""

from collections.abc import Iterator

import dlt
import pyarrow as pa
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.peer_programs.task import Task, begin, land_each

_BATCH = 10_000


def _messages(task: Task) -> Iterator[pa.Table]:
    offsets = dlt.current.resource_state().setdefault("offsets", {})
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap_servers,
            "group.id": "dlt",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # the default, a second, halves its speed
        }
    )
    partitions = consumer.list_topics(task.topic).topics[task.topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(task.topic, p))[1] for p in partitions}
    consumer.assign([TopicPartition(task.topic, p, offsets.get(str(p), 0)) for p in partitions])
    while any(offsets.get(str(p), 0) < end for p, end in ends.items()):
        if found := consumer.consume(_BATCH, timeout=1):
            for message in found:
                offsets[str(message.partition())] = 1 + (message.offset() or 0)
            yield _table(found)
    consumer.close()


def _table(messages: list[Message]) -> pa.Table:
    return pa.table(
        {
            "partition": pa.array([m.partition() for m in messages], pa.int32()),
            "offset": pa.array([m.offset() for m in messages], pa.int64()),
            "timestamp": pa.array([m.timestamp()[1] for m in messages], pa.int64()),
            "key": pa.array([m.key() for m in messages], pa.binary()),
            "value": pa.array([m.value() for m in messages], pa.binary()),
        }
    )


def _land(task: Task, table: str) -> None:
    destination = dlt.destinations.filesystem(
        bucket_url=f"s3://{task.bucket}",
        credentials={
            "aws_access_key_id": task.access_key,
            "aws_secret_access_key": task.secret_key,
            "endpoint_url": task.endpoint,
            "region_name": task.region,
        },
        deltalake_storage_options=task.delta_options,
    )
    pipeline = dlt.pipeline(
        pipeline_name=table,
        pipelines_dir=str(task.state_of(table)),
        destination=destination,
        dataset_name=table,
    )
    begin()
    if pipeline.has_pending_data:
        pipeline.run()  # such a run loads what is pending, and reads nothing
    source = dlt.resource(
        _messages, name="messages", write_disposition="append", table_format="delta"
    )
    pipeline.run(source(task))


if __name__ == "__main__":
    land_each(_land)
