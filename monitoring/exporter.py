"""The exporter: runs each probe of the pipeline periodically and serves the last samples.

After a failed probe its samples are not served, since stale values would look healthy. The success
of each probe is a metric itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from monitoring.metrics import Sample, families

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe, and the interval in seconds at which it runs."""

    name: str
    every_seconds: float
    read: Callable[[], Iterable[Sample]]


class Exporter(Collector):
    """Runner of probes, each in its own thread, so that a hanging one does not block others."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._seen: dict[str, Sequence[Sample]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run the probes until `stop` is called."""
        threads = [
            threading.Thread(target=self._poll_forever, args=[probe], daemon=True)
            for probe in self._probes
        ]
        for thread in threads:
            thread.start()
        self._stopping.wait()

    def stop(self) -> None:
        """Make `run` return. May be called from any thread or signal handler."""
        self._stopping.set()

    def poll(self, probe: Probe) -> None:
        """Run one probe once and store its samples."""
        began = time.monotonic()
        try:
            samples = list(probe.read())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others continue
            # Log a repeated error once, not at every interval.
            if self._succeeded(probe.name):
                _log.warning("cannot_see", probe=probe.name, error=str(error))
            samples = []
            is_seen = False
        else:
            is_seen = True
        took = time.monotonic() - began
        self._seen[probe.name] = [
            *samples,
            Sample("pipeline_probe_succeeded", is_seen, (probe.name,)),
            Sample("pipeline_probe_seconds", took, (probe.name,)),
        ]

    @override
    def collect(self) -> Iterator[Metric]:
        seen = list(self._seen.values())
        return families(sample for samples in seen for sample in samples)

    def _succeeded(self, name: str) -> bool:
        """Return whether the last run of the probe succeeded, or it has not run yet."""
        last = self._seen.get(name)
        return last is None or Sample("pipeline_probe_succeeded", 1, (name,)) in last

    def _poll_forever(self, probe: Probe) -> None:
        while not self._stopping.is_set():
            self.poll(probe)
            self._stopping.wait(probe.every_seconds)
