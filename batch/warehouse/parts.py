"""The parts of a load: their durations, and the time that is left of a load of everything."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

SHARES: Mapping[str, float] = {
    "entities read from silver": 0.13,
    "entities": 0.08,
    "dimensions": 0.02,
    "facts": 0.47,
    "sums by day and customer": 0.20,
    "checks": 0.10,
}
"""Share of each part in the time of a first load or a rebuild, as measured."""


@dataclass(kw_only=True)
class Parts:
    """The parts so far, in order, with their seconds."""

    on_progress: Callable[[str], None]
    done: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, name: str, *, of_everything: bool = False) -> Iterator[None]:
        """Report a part, and record its duration.

        Args:
            name: a key of `SHARES`.
            of_everything: all rows are loaded: report the time that is left, too.
        """
        left = self._seconds_left() if of_everything else None
        self.on_progress(name if left is None else f"{name}, about {_rounded(left)} left")
        started = monotonic()
        yield
        self.done.append((name, monotonic() - started))

    def _seconds_left(self) -> float | None:
        share = sum(SHARES[name] for name, _ in self.done)
        return sum(seconds for _, seconds in self.done) * (1 - share) / share if share else None


def _rounded(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
