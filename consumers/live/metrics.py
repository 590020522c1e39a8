"""Prometheus metrics of the live consumer, per table of the shop."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

_BATCH_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class LiveMetrics:
    """Counters and gauges of one live consumer."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # for example, its start time
        labels = ["table"]

        self.changes = Counter("live_changes", "Changes applied.", labels, registry=registry)
        self.quarantined = Counter(
            "live_quarantined",
            "Changes skipped, to be quarantined by the next consolidation.",
            labels,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "live_batch_seconds",
            "Time from the last record of a batch to its commit.",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "live_retries", "Attempts whose outcome was unknown.", registry=registry
        )
        self.behind = Gauge(
            "live_behind_seconds",
            "Age of the newest change of the last batch when it was committed.",
            registry=registry,
        )
        self.lag = Gauge(
            "live_lag_offsets",
            "Offsets in Kafka that have not been applied.",
            [*labels, "partition"],
            registry=registry,
        )
        self.paused = Gauge("live_paused", "1 while polling is paused.", registry=registry)
