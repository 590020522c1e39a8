"""What the lander tells Prometheus, per table."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

_COMMIT_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class LandingMetrics:
    """Counters and gauges of one lander."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # since when it runs, for one
        labels = ["table"]

        self.rows = Counter("landing_rows", "Rows landed.", labels, registry=registry)
        self.bytes = Counter("landing_bytes", "Bytes of rows landed.", labels, registry=registry)
        self.commits = Counter("landing_commits", "Commits.", labels, registry=registry)
        self.retries = Counter(
            "landing_retries", "Tries of unknown outcome.", labels, registry=registry
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
            "Offsets not landed yet.",
            [*labels, "partition"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "landing_lag_seconds",
            "Age of the newest record that is landed, while there are others behind it.",
            [*labels, "partition"],
            registry=registry,
        )
        self.freshness = Gauge(
            "landing_freshness_seconds",
            "Age of the oldest record of the last commit when it became readable.",
            labels,
            registry=registry,
        )
        self.memory = Gauge("landing_buffer_bytes", "Bytes held in memory.", registry=registry)
        self.paused = Gauge("landing_paused", "1 while polling is paused.", registry=registry)

    def forget_lags(self) -> None:
        """Of partitions that may be another lander's now."""
        self.lag.clear()
        self.lag_seconds.clear()

    def serve(self, host: str, port: int) -> None:
        """Answer there; port 0 is off."""
        if port:
            start_http_server(port, addr=host, registry=self.registry)
