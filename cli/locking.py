"""The lock of consolidations, with a message on the console while waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import err_console
from lakehouse.connections import warehouse
from lakehouse.settings import ConsolidationSettings


@contextmanager
def consolidating(what: str) -> Iterator[None]:
    """Hold the lock under which only one program writes silver, gold and the warehouse.

    Waits for up to CONSOLIDATION_LOCK_SECONDS.
    """
    from batch.lock import only_one

    def tell(who: str) -> None:
        err_console.print(f"Waiting: {who}", markup=False)

    seconds = ConsolidationSettings().lock_seconds
    with only_one(warehouse("batch"), what, wait_seconds=seconds, on_wait=tell):
        yield
