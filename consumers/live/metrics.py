"""Prometheus metrics of the live consumer, per table of the shop."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_BATCH_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class LiveMetrics:
    """Counters and gauges of one live consumer."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # for example, its start time
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        labels = ["table"]

        self.changes = counter("live_changes", "Changes applied.", labels)
        skipped = "Changes skipped, which a consolidation quarantines or stops their table at."
        self.quarantined = counter("live_quarantined", skipped, labels)
        self.batch_seconds = Histogram(
            "live_batch_seconds",
            "Time from the last record of a batch to its commit.",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self.retries = counter("live_retries", "Attempts whose outcome was unknown.")
        age = "Age of the newest change of the last batch when it was committed."
        self.behind = gauge("live_behind_seconds", age)
        lag = "Offsets in Kafka that have not been applied."
        self.lag = gauge("live_lag_offsets", lag, [*labels, "partition"])
        self.paused = gauge("live_paused", "1 while polling is paused.")
