"""Prometheus metrics of the lander, per table."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

_COMMIT_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class LandingMetrics:
    """Counters and gauges of one lander."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # for example, its start time
        labels = ["table"]

        self.rows = Counter("landing_rows", "Rows landed.", labels, registry=registry)
        self.bytes = Counter("landing_bytes", "Bytes of rows landed.", labels, registry=registry)
        self.commits = Counter("landing_commits", "Commits.", labels, registry=registry)
        self.retries = Counter(
            "landing_retries", "Attempts whose outcome was unknown.", labels, registry=registry
        )
        self.commit_seconds = Histogram(
            "landing_commit_seconds",
            "Time to commit.",
            labels,
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self.lag = Gauge(
            "landing_lag_offsets",
            "Offsets in Kafka that have not landed.",
            [*labels, "partition"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "landing_lag_seconds",
            "Age of the newest landed record while more records are waiting.",
            [*labels, "partition"],
            registry=registry,
        )
        self.freshness = Gauge(
            "landing_freshness_seconds",
            "Age of the oldest record in the last commit at the time of the commit.",
            labels,
            registry=registry,
        )
        self.memory = Gauge("landing_buffer_bytes", "Bytes of buffered records.", registry=registry)
        self.paused = Gauge("landing_paused", "1 while polling is paused.", registry=registry)

    def forget_lags(self) -> None:
        """Drop the lags of partitions that may now belong to another lander."""
        self.lag.clear()
        self.lag_seconds.clear()
