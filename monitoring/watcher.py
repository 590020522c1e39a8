"""The watcher: looks at each part of the pipeline again and again, and tells what it saw last.

What could not be seen is not told: an old figure would look like a good one. That a part cannot be
seen is a figure itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from monitoring.readings import Reading, families

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something to look at every so many seconds."""

    name: str
    every_seconds: float
    read: Callable[[], Iterable[Reading]]


class Watcher(Collector):
    """Looks at parts, each in a thread of its own, so that one that hangs hides no other."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._seen: dict[str, Sequence[Reading]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        threads = [
            threading.Thread(target=self._watch, args=[part], daemon=True) for part in self._parts
        ]
        for thread in threads:
            thread.start()
        self._stopping.wait()

    def stop(self) -> None:
        """Let `run` return. May come from anywhere."""
        self._stopping.set()

    def look(self, part: Part) -> None:
        """Look once."""
        began = time.monotonic()
        try:
            readings = list(part.read())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            # Once, not every few seconds.
            if self._succeeded(part.name):
                _log.warning("cannot_see", part=part.name, error=str(error))
            readings = []
            is_seen = False
        else:
            is_seen = True
        took = time.monotonic() - began
        self._seen[part.name] = [
            *readings,
            Reading("pipeline_watch_succeeded", is_seen, (part.name,)),
            Reading("pipeline_watch_seconds", took, (part.name,)),
        ]

    @override
    def collect(self) -> Iterator[Metric]:
        seen = list(self._seen.values())
        return families(reading for readings in seen for reading in readings)

    def _succeeded(self, name: str) -> bool:
        """Whether it has been seen the last time, or never been looked at."""
        last = self._seen.get(name)
        return last is None or Reading("pipeline_watch_succeeded", 1, (name,)) in last

    def _watch(self, part: Part) -> None:
        while not self._stopping.is_set():
            self.look(part)
            self._stopping.wait(part.every_seconds)
