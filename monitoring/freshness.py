"""Latency of orders from their commit in the shop to bronze and the charts, hop by hop.

All instants are of one machine: the source's commit (`source.ts_us`), the Kafka record's timestamp,
the first appearance of the order in the charts' view, and the time at which the object store
completed the commit to bronze, when it becomes readable. Grain of the frames: one row per change,
or per order; instants in microseconds since 1970.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from queue import SimpleQueue

import orjson
import polars as pl
import psycopg
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.delta import open_table, retry_later
from lakehouse.errors import RetryLaterError
from lakehouse.kafka import QuietLog, explain_kafka
from lakehouse.lake import storage_options, table_uri
from lakehouse.object_store import addressed, explain_client, object_store
from lakehouse.postgres import explaining, warehouse_dsn
from lakehouse.secrets import Secrets
from lakehouse.settings import ConnectSettings, KafkaSettings, MinioSettings, WarehouseSettings
from lakehouse.trouble import Service

_TABLE = "raw_sales"
_POLL_SECONDS = 0.02
_COMMIT = re.compile(r"/\d{20}\.json$")
_COMMITTED = pl.col("value").cast(pl.String).str.json_path_match("$.source.ts_us").cast(pl.Int64)
_SHOWN = """
select distinct s.order_id
from mart.live_sales as s
where s.date_key >= (now() - interval '2 days')::date and s.order_id = any(%s)"""
_GRACE_SECONDS = 30.0
"""Wait for orders that arrive after the measurement has ended, so that late ones count, too."""

Placed = SimpleQueue[int | None]
"""Queue of orders seen in Kafka; None marks its end."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Connections that are needed to observe orders at each hop.

    Attributes:
        kafka: configuration of Kafka's clients.
        topic: topic with the changes of orders.
        warehouse_dsn: connection as the role of the charts.
        bronze_uri: URI of the bronze table of orders.
        bronze_options: storage options of the object store.
        store: client of the object store.
        bucket: bucket of bronze.
    """

    kafka: Mapping[str, str]
    topic: str
    warehouse_dsn: str
    bronze_uri: str
    bronze_options: Mapping[str, str]
    store: Minio
    bucket: str

    @classmethod
    def of(
        cls,
        *,
        kafka: KafkaSettings,
        connect: ConnectSettings,
        minio: MinioSettings,
        warehouse: WarehouseSettings,
        secrets: Secrets,
    ) -> "Route":
        """Return the route of orders in this stack, with read-only credentials."""
        return cls(
            kafka=kafka.client,
            topic=f"{connect.topic_prefix}.public.orders",
            warehouse_dsn=warehouse_dsn(warehouse, secrets, role="reader"),
            bronze_uri=table_uri(minio.bronze_bucket, _TABLE),
            bronze_options=storage_options(minio, secrets, user="reader"),
            store=object_store(minio, secrets, user="reader"),
            bucket=minio.bronze_bucket,
        )


def measure(route: Route, seconds: float) -> list[dict[str, object]]:
    """Measure for this many seconds.

    Returns:
        For each hop its name, median and 99th percentile in milliseconds, the number of samples,
        and how many of them did not arrive, which rank as slower than all others. A percentile
        that falls among these is None, as are those of a hop without samples.

    Raises:
        RetryLaterError: Kafka, the warehouse or the object store does not answer, or nothing has
            landed there yet.
    """
    placed: Placed = SimpleQueue()
    with _reachable(), ThreadPoolExecutor(2) as pool, _until(seconds) as is_over:
        orders = pool.submit(_watch_kafka, route, placed, is_over)
        orders.add_done_callback(lambda _: placed.put(None))
        shown = pool.submit(_watch_view, route, placed)
        version = _version(route)
        live = orders.result().join(shown.result(), on="order_id", how="left")
        landed = _changes(route, _commits_after(route, version))
    return [
        *_metrics(live, {"shop to Kafka": ("committed", "in_kafka")}),
        *_metrics(live, {"Kafka to live": ("in_kafka", "shown")}),
        *_metrics(live, {"shop to live": ("committed", "shown")}),
        *_metrics(landed, {"Kafka to bronze": ("in_kafka", "readable")}),
        *_metrics(landed, {"shop to bronze": ("committed", "readable")}),
    ]


@contextmanager
def _reachable() -> Iterator[None]:
    what = "Freshness cannot be measured"
    try:
        with explaining(Service.WAREHOUSE, what), retry_later(what):
            yield
    except KafkaException as error:
        raise explain_kafka(error, what) from error
    except (S3Error, HTTPError) as error:
        raise explain_client(error, what) from error


@contextmanager
def _until(seconds: float) -> Iterator[Callable[[], bool]]:
    deadline = time.monotonic() + seconds
    given_up = threading.Event()
    try:
        yield lambda: given_up.is_set() or time.monotonic() > deadline
    finally:
        given_up.set()


def _now() -> int:
    return time.time_ns() // 1_000


def _watch_kafka(route: Route, placed: Placed, is_over: Callable[[], bool]) -> pl.DataFrame:
    """Collect placed orders from Kafka and queue each one: `order_id`, `committed`, `in_kafka`."""
    consumer = Consumer(
        {
            **route.kafka,
            "group.id": "freshness",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        },
        logger=QuietLog(),
    )
    found = []
    try:
        topic = consumer.list_topics(route.topic, timeout=10).topics[route.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        numbers = topic.partitions
        consumer.assign([TopicPartition(route.topic, n, OFFSET_END) for n in numbers])
        while not is_over():
            for message in consumer.consume(1_000, 0.1):
                if message.error() is not None:
                    continue
                change = orjson.loads(message.value() or b"{}")
                if change.get("op") == "c":
                    in_kafka = message.timestamp()[1] * 1_000
                    committed = change["source"]["ts_us"]
                    found.append((change["after"]["order_id"], committed, in_kafka))
                    placed.put(change["after"]["order_id"])
    finally:
        consumer.close()
    names = ["order_id", "committed", "in_kafka"]
    return pl.DataFrame(found, schema=dict.fromkeys(names, pl.Int64), orient="row")


def _watch_view(route: Route, placed: Placed) -> pl.DataFrame:
    """Return when the charts' view first showed each order: `order_id`, `shown`."""
    seen: dict[int, int] = {}
    pending: set[int] = set()
    deadline = math.inf
    with psycopg.connect(route.warehouse_dsn, autocommit=True) as connection:
        while (pending or math.isinf(deadline)) and time.monotonic() < deadline:
            while not placed.empty():
                order = placed.get()
                if order is None:
                    deadline = time.monotonic() + _GRACE_SECONDS
                else:
                    pending.add(order)
            if pending:
                shown = {order for (order,) in connection.execute(_SHOWN, [list(pending)])}
                seen |= dict.fromkeys(shown, _now())
                pending -= shown
            time.sleep(_POLL_SECONDS)
    columns = {"order_id": list(seen), "shown": list(seen.values())}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int64))


def _version(route: Route) -> int:
    table = open_table(route.bronze_uri, route.bronze_options)
    if table is None:
        problem = "No order has landed in bronze yet"
        raise RetryLaterError(problem, "Run ./pipeline simulate meanwhile.")
    return table.version()


def _commits_after(route: Route, version: int) -> dict[int, int]:
    """Return when the object store completed each later version of the table."""
    log = f"{_TABLE}/_delta_log/"
    last = f"{log}{version:020}.json"
    return {
        int(PurePosixPath(found.object_name).stem): int(found.last_modified.timestamp() * 1e6)
        for found in route.store.list_objects(route.bucket, log, start_after=last)
        if found.object_name and found.last_modified and _COMMIT.search(found.object_name)
    }


def _changes(route: Route, seen: Mapping[int, int]) -> pl.DataFrame:
    """Return all changes of orders in those versions: `committed`, `in_kafka`, `readable`."""
    names = ("committed", "in_kafka", "readable")
    frames = [pl.DataFrame(schema=dict.fromkeys(names, pl.Int64))]
    options = addressed(route.bronze_uri, route.bronze_options)
    for version, at in seen.items():
        paths = _files_of(route, version)
        if paths:
            rows = pl.read_parquet(paths, storage_options=options, hive_partitioning=False)
            frames.append(
                rows.select(
                    committed=_COMMITTED,
                    in_kafka=pl.col("_timestamp").dt.epoch("us"),
                    readable=pl.lit(at, pl.Int64),
                )
            )
    return pl.concat(frames)


def _files_of(route: Route, version: int) -> list[str]:
    log = f"{route.bronze_uri}/_delta_log/{version:020}.json"
    actions = (
        pl.scan_lines(log, storage_options=addressed(log, route.bronze_options))
        .collect()
        .to_series()
    )
    added = (json.loads(line).get("add") for line in actions)
    # A compaction writes rows again that were readable before.
    return [f"{route.bronze_uri}/{one['path']}" for one in added if one and one["dataChange"]]


def _metrics(
    seen: pl.DataFrame, hops: Mapping[str, tuple[str, str]]
) -> Iterator[dict[str, object]]:
    for hop, (start, end) in hops.items():
        milliseconds = seen.select((pl.col(end) - pl.col(start)) / 1_000).to_series()
        yield {
            "hop": hop,
            "p50_ms": _quantile(milliseconds, 0.5),
            "p99_ms": _quantile(milliseconds, 0.99),
            "samples": milliseconds.len(),
            "never_arrived": milliseconds.null_count(),
        }


def _quantile(milliseconds: pl.Series, share: float) -> float | None:
    found = milliseconds.fill_null(math.inf).quantile(share)
    return None if found is None or math.isinf(found) else round(found, 1)
