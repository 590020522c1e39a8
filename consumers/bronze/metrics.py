"""Prometheus metrics of the lander, per table."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_COMMIT_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class LandingMetrics:
    """Counters and gauges of one lander."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # for example, its start time
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        labels = ["table"]
        of_partition = [*labels, "partition"]

        self.rows = counter("landing_rows", "Rows landed.", labels)
        self.bytes = counter("landing_bytes", "Bytes of rows landed.", labels)
        self.commits = counter("landing_commits", "Commits.", labels)
        self.retries = counter("landing_retries", "Attempts whose outcome was unknown.", labels)
        self.commit_seconds = Histogram(
            "landing_commit_seconds",
            "Time to commit.",
            labels,
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        lag = "Offsets in Kafka that have not landed."
        self.lag = gauge("landing_lag_offsets", lag, of_partition)
        newest = "Age of the newest landed record while more records are waiting."
        self.lag_seconds = gauge("landing_lag_seconds", newest, of_partition)
        oldest = "Age of the oldest record in the last commit at the time of the commit."
        self.freshness = gauge("landing_freshness_seconds", oldest, labels)
        self.memory = gauge("landing_buffer_bytes", "Bytes of buffered records.")
        self.paused = gauge("landing_paused", "1 while polling is paused.")

    def forget_lags(self) -> None:
        """Drop the lags of partitions that may now belong to another lander."""
        self.lag.clear()
        self.lag_seconds.clear()
