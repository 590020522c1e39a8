"""The exporter: looks at each probe of the pipeline again and again, and tells what it saw last.

What could not be seen is not told: an old metric would look like a good one. That a probe cannot be
seen is a metric itself.
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
    """Something to look at every so many seconds."""

    name: str
    every_seconds: float
    read: Callable[[], Iterable[Sample]]


class Exporter(Collector):
    """Looks at probes, each in a thread of its own, so that one that hangs hides no other."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._seen: dict[str, Sequence[Sample]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        threads = [
            threading.Thread(target=self._poll_forever, args=[probe], daemon=True)
            for probe in self._probes
        ]
        for thread in threads:
            thread.start()
        self._stopping.wait()

    def stop(self) -> None:
        """Let `run` return. May come from anywhere."""
        self._stopping.set()

    def poll(self, probe: Probe) -> None:
        """Look once."""
        began = time.monotonic()
        try:
            samples = list(probe.read())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            # Once, not every few seconds.
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
        """Whether it has been seen the last time, or never been looked at."""
        last = self._seen.get(name)
        return last is None or Sample("pipeline_probe_succeeded", 1, (name,)) in last

    def _poll_forever(self, probe: Probe) -> None:
        while not self._stopping.is_set():
            self.poll(probe)
            self._stopping.wait(probe.every_seconds)
