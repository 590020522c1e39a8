"""A silver table at one version, as a load reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from deltalake import DeltaTable

from lakehouse.delta import retry_later


class Pinned(Protocol):
    """A table pinned to one version."""

    @property
    def table_id(self) -> str:
        """Return an id that stays the same unless the table is recreated."""

    @property
    def version(self) -> int:
        """Return the pinned version."""


@dataclass(frozen=True, slots=True)
class PinnedDelta:
    """A table of the lake, at the version at which it was opened."""

    table: DeltaTable

    @property
    def table_id(self) -> str:
        """Return Delta's id of the table."""
        return str(self.table.metadata().id)

    @property
    def version(self) -> int:
        """Return the version that was opened."""
        return self.table.version()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Convert errors of the object store within the block.

        Raises:
            RetryLaterError: the object store does not answer, or has cleaned up that version.
        """
        with retry_later(f"{self.table.table_uri} cannot be read"):
            yield
