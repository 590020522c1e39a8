"""What an engine distributes."""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

FOR_CALLER = -1
"""Shard of what the caller gets as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of one task for one shard."""

    shard: int
    name: str
    content: bytes


def for_caller(found: object) -> Part:
    """Return a part that the caller gets as it is."""
    return Part(shard=FOR_CALLER, name="found", content=pickle.dumps(found))


def as_found(parts: Iterable[Part]) -> bytes:
    """Bring such parts together."""
    found: list[Any] = [pickle.loads(part.content) for part in parts]  # noqa: S301 - of ours
    return pickle.dumps(found)


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
