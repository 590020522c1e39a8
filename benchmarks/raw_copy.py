"""Copies all changes as they come into one table, unread: the least that a consumer has to do.

A process of its own: `python -m benchmarks.raw_copy`. It polls as the live consumer does, and
commits each batch with its offsets.
"""

import psycopg
from confluent_kafka import Consumer, Message

from consumers.client import consumer_config
from consumers.live.service import BATCH_ROWS, LINGER_SECONDS
from lakehouse.connections import warehouse
from lakehouse.contracts import ENTITIES
from lakehouse.kafka import QuietLog, pattern_of_tables
from lakehouse.settings import ConnectSettings, KafkaSettings
from lakehouse.signals import stop_on_signals

_MAKE = """
create unlogged table if not exists raw_copy (
    topic text, partition integer, "offset" bigint, key bytea, value bytea
)"""
_COPY = "copy raw_copy from stdin"


def main() -> None:
    """Copy until stopped."""
    config = consumer_config(KafkaSettings(), client_id="raw-copy", group_id="raw-copy")
    consumer = Consumer(config | {"auto.offset.reset": "latest"}, logger=QuietLog())
    consumer.subscribe([pattern_of_tables(ConnectSettings().topic_prefix, ENTITIES)])
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True

    stop_on_signals(stop)
    with psycopg.connect(warehouse("admin"), autocommit=True) as connection:
        connection.execute(_MAKE)
        connection.execute("set synchronous_commit = off")
        while not is_stopped:
            first = consumer.poll(0.1)
            if first is not None:
                rest = consumer.consume(BATCH_ROWS - 1, LINGER_SECONDS)
                _copy(connection, [one for one in (first, *rest) if one.error() is None])
                consumer.commit(asynchronous=True)
    consumer.close()


def _copy(connection: psycopg.Connection, messages: list[Message]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for one in messages:
            copy.write_row((one.topic(), one.partition(), one.offset(), one.key(), one.value()))


if __name__ == "__main__":
    main()
