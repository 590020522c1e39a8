"""Waiting for the lock of consolidation, on the console."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import err_console
from lakehouse.connections import warehouse


@contextmanager
def consolidating(what: str) -> Iterator[None]:
    """Hold the lock that lets one program at a time write silver, gold and the warehouse."""
    from batch.lock import PATIENCE_SECONDS, only_one

    def tell(who: str) -> None:
        err_console.print(f"Waiting: {who}", markup=False)

    with only_one(warehouse("batch"), what, wait_seconds=PATIENCE_SECONDS, on_wait=tell):
        yield
