"""The lock of consolidations, with a message on the console while waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import err_console
from lakehouse.connections import warehouse


@contextmanager
def consolidating(what: str) -> Iterator[None]:
    """Hold the lock under which only one program writes silver, gold and the warehouse."""
    from batch.lock import only_one

    def tell(who: str) -> None:
        err_console.print(f"Waiting: {who}", markup=False)

    with only_one(warehouse("batch"), what, on_wait=tell):
        yield
