"""Waiting for the lock of consolidation, on the console."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import err_console
from lakehouse.connections import warehouse
from lakehouse.settings import ConsolidationSettings


@contextmanager
def consolidating(what: str) -> Iterator[None]:
    """Hold the lock that lets one program at a time write silver, gold and the warehouse."""
    from batch.lock import only_one

    def tell(who: str) -> None:
        err_console.print(f"Waiting: {who}", markup=False)

    seconds = ConsolidationSettings().lock_seconds
    with only_one(warehouse("batch"), what, wait_seconds=seconds, on_wait=tell):
        yield
