"""What an engine distributes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of one task for one shard."""

    shard: int
    name: str
    content: bytes


class Job(Protocol):
    """A job of `tasks` and `shards`. Can be pickled; both functions may run more than once."""

    @property
    def tasks(self) -> int:
        """Return the number of tasks."""

    @property
    def shards(self) -> int:
        """Return the number of shards."""

    def map(self, task: int) -> Iterator[Part]:
        """Run a task; yield its files."""

    def reduce(self, shard: int, parts: Iterable[Part]) -> bytes:
        """Bring the files of a shard together; return what the caller commits, pickled."""
