"""Metrics of each hop between the shop and bronze, for the live view of `demo`.

Metrics of services that do not answer are left out.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
import psycopg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from prometheus_client.parser import text_string_to_metric_families

from lakehouse.errors import PipelineError
from lakehouse.http import http_client
from lakehouse.kafka import admin_client, captured_pattern, describe_topics, matching_topics
from lakehouse.postgres import oltp_dsn
from lakehouse.secrets import Secrets
from stack.paths import StackConfig

_TIMEOUT_SECONDS = 2
_WINDOW_SECONDS = 10.0
_SLOT_LAG = """
select pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)
from pg_replication_slots as s
where s.slot_name = %s and s.confirmed_flush_lsn is not null
"""
_LATEST_ORDERS = """
select
    o.order_id,
    o.ship_country,
    o.channel,
    o.status,
    o.total_amount,
    o.currency
from public.orders as o
order by o.order_id desc
limit 6
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFlow:
    """The lander's metrics of one bronze table. Rows since it started; lag in Kafka offsets."""

    table: str
    rows: int
    rows_per_second: float
    lag_offsets: int
    freshness_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The current state of an order in the shop."""

    order_id: int
    country: str
    channel: str
    status: str
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One sample of all hops; None or empty where a service did not answer.

    `offsets_per_second` is the growth of Kafka's log, transaction markers included.
    """

    slot_lag_bytes: int | None = None
    offsets_per_second: float | None = None
    tables: tuple[TableFlow, ...] = ()
    orders: tuple[Order, ...] = ()

    @property
    def rows_per_second(self) -> float:
        """Rows per second that became readable in bronze."""
        return sum(table.rows_per_second for table in self.tables)

    @property
    def lag_offsets(self) -> int:
        """Offsets in Kafka that have not landed in bronze."""
        return sum(table.lag_offsets for table in self.tables)

    @property
    def freshness_seconds(self) -> float | None:
        """Largest age of the oldest record in a table's last commit."""
        return max((table.freshness_seconds for table in self.tables), default=None)


@dataclass(slots=True)
class _Rate:
    """Growth of a counter per second, over the last 10 seconds."""

    measurements: deque[tuple[float, float]] = field(default_factory=deque)

    def __call__(self, value: float) -> float:
        now = time.monotonic()
        if self.measurements and value < self.measurements[-1][1]:
            self.measurements.clear()  # the counter was reset: its process restarted
        self.measurements.append((now, value))
        while len(self.measurements) > 2 and now - self.measurements[0][0] > _WINDOW_SECONDS:
            self.measurements.popleft()
        began, first = self.measurements[0]
        return (value - first) / (now - began) if now > began else 0.0


class FlowSampler:
    """Reader of metrics of the shop's database, Kafka and the lander."""

    def __init__(self, config: StackConfig, secrets: Secrets) -> None:
        port = config.monitoring.metrics_port("lander")
        self._lander = http_client(f"http://127.0.0.1:{port}", timeout=_TIMEOUT_SECONDS)
        self._admin: AdminClient = admin_client(config.kafka.client)
        self._pattern = captured_pattern(config.connect.topic_prefix)
        self._slot = config.connect.slot_name
        self._monitor = oltp_dsn(config.oltp, secrets, role="monitor")
        self._reader = oltp_dsn(config.oltp, secrets, role="reconcile")
        self._kafka_rate = _Rate()
        self._table_rates: dict[str, _Rate] = {}

    def sample(self) -> Flow:
        """Query every hop once; takes up to a few seconds when services do not answer."""
        return Flow(
            slot_lag_bytes=self._slot_lag(),
            offsets_per_second=self._offsets_per_second(),
            tables=self._tables(),
            orders=self._orders(),
        )

    def _slot_lag(self) -> int | None:
        try:
            with psycopg.connect(self._monitor, autocommit=True) as connection:
                row = connection.execute(_SLOT_LAG, [self._slot]).fetchone()
        except psycopg.Error:
            return None
        return None if row is None else int(row[0])

    def _orders(self) -> tuple[Order, ...]:
        try:
            with psycopg.connect(self._reader, autocommit=True) as connection:
                rows = connection.execute(_LATEST_ORDERS).fetchall()
        except psycopg.Error:
            return ()
        return tuple(
            Order(
                order_id=order_id,
                country=country,
                channel=channel,
                status=status,
                total=f"{total:,.2f} {currency}",
            )
            for order_id, country, channel, status, total, currency in rows
        )

    def _offsets_per_second(self) -> float | None:
        try:
            names = matching_topics(self._admin, self._pattern, timeout_seconds=_TIMEOUT_SECONDS)
            topics = describe_topics(self._admin, names, timeout_seconds=_TIMEOUT_SECONDS)
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            wanted = {
                TopicPartition(name, partition.partition): latest
                for name, topic in topics.items()
                for partition in topic.partitions
            }
            if not wanted:
                return None
            futures = self._admin.list_offsets(wanted, request_timeout=_TIMEOUT_SECONDS)
            ends = sum(future.result().offset for future in futures.values())
        except (KafkaException, PipelineError):
            return None
        return self._kafka_rate(ends)

    def _tables(self) -> tuple[TableFlow, ...]:
        try:
            answer = self._lander.get("/metrics")
        except httpx.TransportError:
            return ()
        found = read_metrics(answer.text)
        rows = found.get("landing_rows_total", {})
        return tuple(
            TableFlow(
                table=table,
                rows=int(rows[table]),
                rows_per_second=self._table_rates.setdefault(table, _Rate())(rows[table]),
                lag_offsets=int(found.get("landing_lag_offsets", {}).get(table, 0)),
                freshness_seconds=found.get("landing_freshness_seconds", {}).get(table, 0.0),
            )
            for table in sorted(rows)
        )


def read_metrics(text: str) -> Mapping[str, Mapping[str, float]]:
    """Return values by metric and table, summed over partitions, from Prometheus' text format."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "table" in sample.labels:
                values, table = found.setdefault(sample.name, {}), sample.labels["table"]
                values[table] = values.get(table, 0.0) + sample.value
    return found
