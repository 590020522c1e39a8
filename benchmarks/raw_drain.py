"""Reads a topic as fast as the client can and does nothing with it; prints messages per second.

A process of its own: `python -m benchmarks.raw_drain TOPIC MESSAGES default|lander`.
"""

import sys
import time
import uuid

from confluent_kafka import Consumer

from consumers.bronze.service import landing_client
from lakehouse.kafka import QuietLog
from lakehouse.settings import ConnectSettings, KafkaSettings


def main(topic: str, messages: int, client: str) -> None:
    """Drain `topic`, with librdkafka's defaults or with the lander's settings."""
    config: dict[str, str | int | float | bool] = {}
    if client == "lander":
        config = landing_client(ConnectSettings(), KafkaSettings())
    config |= {
        "bootstrap.servers": KafkaSettings().bootstrap_servers,
        "group.id": f"raw-{uuid.uuid4()}",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": False,
    }
    consumer = Consumer(config, logger=QuietLog())
    consumer.subscribe([topic])
    count, began = 0, 0.0
    while count < messages:
        found = consumer.consume(10_000, timeout=0.1)
        if found and not began:
            began = time.monotonic()
        count += len(found)
    sys.stdout.write(f"{count / (time.monotonic() - began)}\n")
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
