"""A table of silver at one version, as a load reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from deltalake import DeltaTable

from lakehouse.delta import retry_later


class Pinned(Protocol):
    """A table, pinned to one version."""

    @property
    def table_id(self) -> str:
        """Stays the same while the table's history goes on."""

    @property
    def version(self) -> int:
        """The pinned version."""


@dataclass(frozen=True, slots=True)
class PinnedDelta:
    """A table of the lake, at the version at which it was opened."""

    table: DeltaTable

    @property
    def table_id(self) -> str:
        """Delta's own id of the table."""
        return str(self.table.metadata().id)

    @property
    def version(self) -> int:
        """The version that was opened."""
        return self.table.version()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read it within the block.

        Raises:
            RetryLaterError: the object store does not answer, or has cleaned that version up.
        """
        with retry_later(f"{self.table.table_uri} cannot be read"):
            yield
